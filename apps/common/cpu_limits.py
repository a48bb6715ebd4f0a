"""How many threads a run may use, and telling every thread pool so.

Only the standard library is imported here: `apply_global_cpu_limits()` must run before numpy,
OpenCV or ONNX Runtime are imported, since OpenMP and the BLAS libraries read their variables
once, when they are loaded. ONNX Runtime's wheels read none of them: its number goes into the
session options (`apps.pipeline.inference.session`).
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from apps.common.errors import InvalidInput

HOST_LIMIT_VARIABLE = "SCREENALYTICS_MAX_CPU_THREADS"
POOL_VARIABLES = (HOST_LIMIT_VARIABLE, "OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# One thread each; why, and OpenBLAS's for processes that set no limits: `apps/__init__.py`.
BLAS_VARIABLES = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_READS_VARIABLES_ON_IMPORT = ("numpy", "cv2", "onnxruntime", "scipy")


def usable_cores() -> int:
    """Cores that this process may really use: affinity and cgroup quota counted, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cgroup_cpu_quota()
    if quota is not None:
        cores = min(cores, math.ceil(quota))
    return max(1, cores)


def cgroup_cpu_quota(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> float | None:
    """The tightest CPU quota of this process's cgroups in cores, or None without one.

    Reads version 2 (`cpu.max`, in every ancestor) and version 1 (`cpu.cfs_quota_us`).
    Source: Linux kernel documentation, admin-guide/cgroup-v2, "CPU Interface Files".
    """
    quotas: list[float] = []
    for folder in _cgroup_folders(root, membership):
        quotas += [q for q in (_quota_v2(folder), _quota_v1(folder)) if q is not None]
    return min(quotas) if quotas else None


def _cgroup_folders(root: Path, membership: Path) -> list[Path]:
    folders = [root, root / "cpu"]
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, name = [*line.split(":", 2), "", ""][:3]
        base = root if controllers == "" else root / "cpu"
        if controllers == "" or "cpu" in controllers.split(","):
            path = Path(name.lstrip("/"))
            folders += [base / part for part in (path, *path.parents)]
    return folders


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def host_thread_limit(environ: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The most threads that a run may have on this host, and which limit that is.

    Returns:
        (threads >= 1, "limit:cores" or "limit:SCREENALYTICS_MAX_CPU_THREADS").

    Raises:
        InvalidInput: the variable is set and is not a whole number >= 1.
    """
    cores = usable_cores()
    text = (os.environ if environ is None else environ).get(HOST_LIMIT_VARIABLE, "").strip()
    if text == "":
        return cores, "limit:cores"
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise InvalidInput(
            f"{HOST_LIMIT_VARIABLE}={text!r} is not a whole number of threads >= 1.",
            hint=f"Set it to a number from 1 to {cores}, or unset it.",
        )
    limit = int(text)
    return (limit, f"limit:{HOST_LIMIT_VARIABLE}") if limit < cores else (cores, "limit:cores")


def apply_global_cpu_limits(
    cpu_threads: int | None = None, environ: MutableMapping[str, str] | None = None
) -> int:
    """Bounds the thread pools of libraries that are imported after this call; BLAS gets one.

    Args:
        cpu_threads: threads of this run; None takes what the host allows.
        environ: where the variables are set; the process's environment by default.

    Returns:
        The number that was set, an integer >= 1: never more than the host allows.

    Raises:
        RuntimeError: a library that reads the variables was imported already, so that the
            limits would silently do nothing.
        InvalidInput: SCREENALYTICS_MAX_CPU_THREADS is not a number.
    """
    target = os.environ if environ is None else environ
    if target is os.environ:
        late = [name for name in _READS_VARIABLES_ON_IMPORT if name in sys.modules]
        if late:
            raise RuntimeError(f"CPU limits come too late: {', '.join(late)} is imported already")
    limit, _ = host_thread_limit(target)
    threads = limit if cpu_threads is None else max(1, min(cpu_threads, limit))
    target.update(dict.fromkeys(POOL_VARIABLES, str(threads)))
    target.update(dict.fromkeys(BLAS_VARIABLES, "1"))
    return threads
