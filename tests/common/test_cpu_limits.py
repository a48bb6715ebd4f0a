"""Thread limits reach the libraries, and the host's limits are read right.

Limits hold for a whole process, so most tests look at one of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apps.common.cpu_limits import (
    BLAS_VARIABLES,
    HOST_LIMIT_VARIABLE,
    POOL_VARIABLES,
    apply_global_cpu_limits,
    cgroup_cpu_quota,
    host_thread_limit,
    usable_cores,
)
from apps.common.errors import InvalidInput
from lab.paths import CHECKOUT

POOLS = {"SCREENALYTICS_MAX_CPU_THREADS", "OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS"}
BLAS = {"MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"}
NAMES = POOLS | BLAS
needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity"
)


def in_a_process(code: str, **variables: str) -> Any:
    """What a new process, free of our own limits, prints as JSON."""
    environ = {key: value for key, value in os.environ.items() if key not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env={**environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- applying ---------------------------------------------------------------------------------


def test_numpy_gets_one_thread() -> None:
    found = in_a_process(
        "from apps.common.cpu_limits import apply_global_cpu_limits\n"
        "set_to = apply_global_cpu_limits(1)\n"
        "import json, os, numpy, threadpoolctl\n"
        "numpy.ones((64, 64)) @ numpy.ones((64, 64))\n"
        "pools = [pool['num_threads'] for pool in threadpoolctl.threadpool_info()]\n"
        "print(json.dumps([set_to, pools, dict(os.environ)]))"
    )

    set_to, pools, environ = found
    assert set_to == 1
    assert pools
    assert set(pools) == {1}
    assert {name: environ.get(name) for name in NAMES} == dict.fromkeys(NAMES, "1")


def test_libraries_make_no_threads_when_they_are_imported() -> None:
    """Those of BLAS spin before they sleep: a fifth of a short run's CPU."""
    load = "import psutil, numpy, cv2, av, onnxruntime; print(psutil.Process().num_threads())"
    limit = "from apps.common.cpu_limits import apply_global_cpu_limits as limit; limit(8)"

    assert in_a_process(f"import apps; {load}") == 1
    assert in_a_process(f"{limit}; {load}") == 1


def test_the_module_loads_the_standard_library_only() -> None:
    """Else it could not come first: one import of numpy beside it would make it useless."""
    foreign = in_a_process(
        "import sys, json\n"
        "before = set(sys.modules)\n"
        "import apps.common.cpu_limits\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(json.dumps(sorted(new - set(sys.stdlib_module_names))))"
    )

    assert foreign == ["apps"]


def test_too_late_is_an_error() -> None:
    message = in_a_process(
        "import json, numpy\n"
        "from apps.common.cpu_limits import apply_global_cpu_limits\n"
        "try:\n"
        "    apply_global_cpu_limits(1)\n"
        "except RuntimeError as error:\n"
        "    print(json.dumps(str(error)))"
    )

    assert "too late" in message
    assert "numpy" in message


def test_the_variables_are_the_six() -> None:
    assert (set(POOL_VARIABLES), set(BLAS_VARIABLES)) == (POOLS, BLAS)


@pytest.mark.parametrize(
    ("asked", "host", "expected"),
    [
        (1, None, 1),
        (0, None, 1),
        (-5, None, 1),
        (10_000, None, usable_cores()),
        (None, None, usable_cores()),
        (8, "1", 1),
        (None, "1", 1),
        (None, " 1 ", 1),
        (None, "10000", usable_cores()),
        (None, "", usable_cores()),
    ],
)
def test_threads_stay_within_the_host(asked: int | None, host: str | None, expected: int) -> None:
    environ = (
        {"KEPT": "as it is"} if host is None else {HOST_LIMIT_VARIABLE: host, "KEPT": "as it is"}
    )

    assert apply_global_cpu_limits(asked, environ) == expected

    pools = dict.fromkeys(POOLS, str(expected))
    assert environ == {**pools, **dict.fromkeys(BLAS, "1"), "KEPT": "as it is"}


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "all", "1e3", "²", "٣", "0x2", "1 2"])
def test_a_bad_host_limit_is_named(text: str) -> None:
    environ = {HOST_LIMIT_VARIABLE: text}

    with pytest.raises(InvalidInput, match=HOST_LIMIT_VARIABLE):
        host_thread_limit(environ)
    with pytest.raises(InvalidInput, match=HOST_LIMIT_VARIABLE):
        apply_global_cpu_limits(1, environ)

    assert environ == {HOST_LIMIT_VARIABLE: text}


@pytest.mark.skipif(usable_cores() < 2, reason="one core: nothing is lower")
def test_the_variable_is_named_where_it_binds() -> None:
    assert host_thread_limit({HOST_LIMIT_VARIABLE: "1"}) == (
        1,
        "limit:SCREENALYTICS_MAX_CPU_THREADS",
    )


@pytest.mark.parametrize("environ", [{}, {HOST_LIMIT_VARIABLE: "10000"}])
def test_else_the_cores_are_named(environ: dict[str, str]) -> None:
    assert host_thread_limit(environ) == (usable_cores(), "limit:cores")


# --- affinity ---------------------------------------------------------------------------------


@needs_affinity
def test_affinity_counts() -> None:
    found = in_a_process(
        "import json, os\n"
        "from apps.common.cpu_limits import apply_global_cpu_limits, usable_cores\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "print(json.dumps([usable_cores(), apply_global_cpu_limits(8)]))"
    )

    assert found == [1, 1]


# --- cgroups ----------------------------------------------------------------------------------


def write_tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


QUOTA_V1 = "cpu.cfs_quota_us"
PERIOD_V1 = "cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("files", "membership", "quota"),
    [
        pytest.param({}, "0::/\n", None, id="no cgroups"),
        pytest.param({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5, id="v2"),
        pytest.param({"cpu.max": "50000 100000\n"}, "0::/\n", 0.5, id="v2, under one core"),
        pytest.param({"cpu.max": "max 100000\n"}, "0::/\n", None, id="v2, max"),
        pytest.param({"a/b/cpu.max": "200000 100000\n"}, "0::/a/b\n", 2.0, id="v2, nested"),
        pytest.param(
            {
                "cpu.max": "max 100000\n",
                "a/cpu.max": "100000 100000\n",
                "a/b/cpu.max": "300000 100000\n",
                "a/b/c/cpu.max": "max 100000\n",
            },
            "0::/a/b/c\n",
            1.0,
            id="v2, the tightest ancestor",
        ),
        pytest.param(
            {"a/cpu.max": "400000 100000\n", "other/cpu.max": "100000 100000\n"},
            "0::/a\n",
            4.0,
            id="v2, a stranger's quota",
        ),
        pytest.param(
            {f"cpu/{QUOTA_V1}": "250000\n", f"cpu/{PERIOD_V1}": "100000\n"},
            "4:cpu,cpuacct:/\n",
            2.5,
            id="v1",
        ),
        pytest.param(
            {f"cpu/{QUOTA_V1}": "-1\n", f"cpu/{PERIOD_V1}": "100000\n"},
            "4:cpu,cpuacct:/\n",
            None,
            id="v1, -1",
        ),
        pytest.param(
            {
                f"cpu/{QUOTA_V1}": "-1\n",
                f"cpu/{PERIOD_V1}": "100000\n",
                f"cpu/docker/{QUOTA_V1}": "100000\n",
                f"cpu/docker/{PERIOD_V1}": "50000\n",
                f"cpu/docker/x/{QUOTA_V1}": "300000\n",
                f"cpu/docker/x/{PERIOD_V1}": "100000\n",
            },
            "9:memory:/elsewhere\n4:cpuacct,cpu:/docker/x\n",
            2.0,
            id="v1, the tightest ancestor",
        ),
        pytest.param(
            {f"cpu/x/{QUOTA_V1}": "100000\n", f"cpu/x/{PERIOD_V1}": "100000\n"},
            "5:cpuset:/x\n",
            None,
            id="v1, cpuset is not cpu",
        ),
        pytest.param(
            {
                "u/cpu.max": "300000 100000\n",
                f"cpu/{QUOTA_V1}": "150000\n",
                f"cpu/{PERIOD_V1}": "100000\n",
            },
            "4:cpu,cpuacct:/\n0::/u\n",
            1.5,
            id="both",
        ),
        pytest.param({"a:b/cpu.max": "100000 100000\n"}, "0::/a:b\n", 1.0, id="colon in a name"),
        pytest.param({"cpu.max": "100000\n"}, "0::/\n", None, id="half a line"),
        pytest.param({"cpu.max": "100000 0\n"}, "0::/\n", None, id="no period"),
        pytest.param({"cpu.max": "soon often\n"}, "0::/\n", None, id="not numbers"),
        pytest.param({"cpu.max": "100000 100000\n"}, "\nnonsense\n", 1.0, id="odd membership"),
    ],
)
def test_cgroup_quota(
    tmp_path: Path, files: dict[str, str], membership: str, quota: float | None
) -> None:
    root, member_of = tmp_path / "cgroup", tmp_path / "self"
    write_tree(root, files)
    member_of.write_text(membership)

    assert cgroup_cpu_quota(root, member_of) == quota


def test_no_membership_file(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cpu.max": "200000 100000\n"})

    assert cgroup_cpu_quota(tmp_path, tmp_path / "missing") == 2.0
    assert cgroup_cpu_quota(tmp_path / "missing", tmp_path / "missing") is None
