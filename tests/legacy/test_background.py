"""Background jobs and their limiter, on real processes that are no runs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from apps.common.errors import InvalidInput, JobNotFound
from apps.common.layout import Layout
from apps.legacy.background import cancel_job
from apps.legacy.limiter import cpulimit_arguments, limit_cpu
from apps.legacy.records import LegacyJob, ProcessId, find_job, job_status, list_jobs
from lab.processes.service import gone, wait_for

BUSY = "import threading\nwork = lambda: [None for _ in iter(int, 1)]\n"
TWO_THREADS = BUSY + "threading.Thread(target=work).start()\nwork()"
ZOMBIE_WITH_A_THREAD = (
    "import ctypes, threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
    "ctypes.CDLL(None).pthread_exit(None)"
)
STUBBORN = "trap '' TERM; sh -c \"trap '' TERM; sleep 60; sleep 60\" & echo ready; wait; sleep 60"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs what Linux has")

# As the two programs print them; the first of Debian 12's package, the second of cpulimit 0.2.
HELP_2_8 = """CPUlimit version 2.8
Usage: cpulimit TARGET [OPTIONS...] [-- PROGRAM]
   TARGET must be exactly one of these:
      -p, --pid=N        pid of the process
      -e, --exe=FILE     name of the executable program file
   OPTIONS
      -l, --limit=N      percentage of cpu allowed from 1 up.
      -m, --monitor-forks  Watch children/forks of the target process
      -q, --quiet        run in quiet mode (only print errors).
      -z, --lazy         exit if there is no suitable target process,
                         or if it dies
"""
HELP_0_2 = """Usage: cpulimit [OPTIONS...] TARGET
   OPTIONS
      -l, --limit=N          percentage of cpu allowed from 0 to 400 (required)
      -v, --verbose          show control statistics
      -z, --lazy             exit if there is no target process, or if it dies
      -i, --include-children limit also the children processes
      -h, --help             display this help and exit
   TARGET must be exactly one of these:
      -p, --pid=N            pid of the process (implies -z)
      -e, --exe=FILE         name of the executable program file or path name
      COMMAND [ARGS]         run this command and limit it (implies -z)
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes that lead a group of their own, as runs do."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
        started.append(process)
        return process

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.jobs.mkdir()
    return layout


def save(layout: Layout, process: ProcessId, **fields: object) -> LegacyJob:
    values = {
        "job_id": "job-1", "ep_id": "show", "run_id": "r1", "profile": "balanced",
        "process": process, "limiter": "none", **fields,
    }  # fmt: skip
    record = LegacyJob.model_validate(values)
    layout.job(record.job_id).record.write_text(record.model_dump_json())
    return record


def fake_cpulimit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None) -> None:
    """A PATH that has this `cpulimit` only; None has none."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if script is not None:
        (folder / "cpulimit").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "cpulimit").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.trap(6)
def test_cancel_ends_a_tree_that_ignores_sigterm(layout: Layout, start: Start) -> None:
    process = start("sh", "-c", STUBBORN)
    assert process.stdout is not None
    process.stdout.readline()
    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(tree) >= 2
    tree[-1].suspend()  # a process that is stopped sees no signal but SIGKILL
    status = cancel_job(layout, save(layout, ProcessId.of(process.pid)))
    wait_for(lambda: gone(tree), what="the tree's end")
    assert status.state == "cancelled"
    assert status.problem is not None
    assert status.problem["type"].endswith("run-cancelled")
    assert cancel_job(layout, find_job(layout, "job-1")) == status


def test_a_recycled_pid_is_left_alone(layout: Layout, start: Start) -> None:
    """The job's pid belongs to somebody else by now."""
    process = start("sleep", "60")
    now = ProcessId.of(process.pid)
    record = save(layout, now.model_copy(update={"create_time": now.create_time - 60}))
    assert cancel_job(layout, record).state == "failed"
    assert process.poll() is None
    assert job_status(layout, save(layout, now)).state == "running"


@LINUX
def test_a_zombie_with_a_thread_that_lives_has_not_ended(layout: Layout, start: Start) -> None:
    """So it is for a moment after a kill, and what it had locked still is."""
    process = start(sys.executable, "-c", ZOMBIE_WITH_A_THREAD)
    found = psutil.Process(process.pid)
    wait_for(lambda: found.status() == psutil.STATUS_ZOMBIE, what="the first thread's end")
    record = save(layout, ProcessId.of(process.pid))
    assert job_status(layout, record).state == "running"
    assert cancel_job(layout, record).state == "cancelled"
    assert found.num_threads() == 1


def test_a_job_whose_process_left_nothing_has_failed(layout: Layout, start: Start) -> None:
    process = start("false")
    record = save(layout, ProcessId.of(process.pid))
    process.wait()
    layout.job("job-1").output.write_text("Traceback\nImportError: no such thing\n")
    status = job_status(layout, record)
    assert status.state == "failed"
    assert status.problem is not None
    assert status.problem["logs"][-1] == "ImportError: no such thing"


GOOD = {"job_id": "job-1", "ep_id": "show", "run_id": "r1", "profile": "balanced",
        "process": {"pid": 2, "create_time": 1.0}, "limiter": "none"}  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\x00", b"[]", b"{}", b'{"job_id": "job-1"', b"[" * 100_000,
        *(json.dumps({**GOOD, **change}).encode() for change in (
            {"job_id": "job-2"}, {"ep_id": "../x"}, {"run_id": "../../x"}, {"run_id": "latest"},
            {"limiter": "magic"}, {"process": None}, {"process": {"pid": 1, "create_time": 1.0}},
            {"process": {"pid": 0, "create_time": 1.0}}, {"process": {"pid": -1, "create_time": 1}},
            {"process": {"pid": 10**30, "create_time": 1.0}},
        )),
    ],
)  # fmt: skip
def test_a_record_that_is_none(layout: Layout, content: bytes) -> None:
    layout.job("job-1").record.write_bytes(content)
    layout.job("job-0").record.write_text(json.dumps({**GOOD, "job_id": "job-0"}))
    (layout.jobs / "folder.json").mkdir()
    with pytest.raises(JobNotFound):
        find_job(layout, "job-1")
    assert [job.job_id for job in list_jobs(layout)] == ["job-0"]


@pytest.mark.parametrize("job_id", ["", "..", "../x", "a/b", "a\0", "x" * 129])
def test_illegal_job_ids(layout: Layout, job_id: str) -> None:
    with pytest.raises(InvalidInput):
        find_job(layout, job_id)


@pytest.mark.trap(36)
@pytest.mark.parametrize("help_text", [HELP_2_8, HELP_0_2], ids=["2.8", "0.2"])
def test_arguments_that_either_cpulimit_takes(help_text: str) -> None:
    assert cpulimit_arguments(help_text, 7, 250, cores=8) == ["-p", "7", "-l", "250", "-z"]
    # Both refuse more than the machine has, and would leave the run uncapped.
    assert cpulimit_arguments(help_text, 7, 250, cores=2) == ["-p", "7", "-l", "200", "-z"]
    assert cpulimit_arguments("cpulimit: another program", 7, 250, cores=8) is None


@LINUX
@pytest.mark.parametrize(
    "script",
    [None, "echo what?", f"cat <<E\n{HELP_2_8}\nE\nexit 1", "sleep 9", 'kill -9 "$$"'],
    ids=["missing", "another", "refuses", "hangs", "crashes"],
)
@pytest.mark.trap(36)
def test_without_a_cpulimit_that_works_cores_are_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start, script: str | None
) -> None:
    process = start(sys.executable, "-c", TWO_THREADS)
    wait_for(lambda: psutil.Process(process.pid).num_threads() == 2, what="a second thread")
    search = os.environ["PATH"]
    fake_cpulimit(tmp_path, monkeypatch, script and f"PATH={search}\n{script}")
    assert limit_cpu(process.pid, 150).name == "affinity"
    for thread in psutil.Process(process.pid).threads():
        assert len(os.sched_getaffinity(thread.id)) == 1
    assert process.poll() is None


@pytest.mark.trap(36)
def test_nothing_stays_stopped_when_the_limiter_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """A cpulimit that was killed in the half of its period in which the process is stopped."""
    process = start(sys.executable, "-c", TWO_THREADS)
    run = psutil.Process(process.pid)
    script = (
        f'[ "$1" = --help ] && cat <<E && exit 1\n{HELP_2_8}\nE\nkill -STOP "$2"\nexec sleep 60'
    )
    search = os.environ["PATH"]
    fake_cpulimit(tmp_path, monkeypatch, f"PATH={search}\n{script}")
    limiter = limit_cpu(process.pid, 250)
    assert limiter.name == "cpulimit"
    assert limiter.pid is not None
    wait_for(lambda: run.status() == psutil.STATUS_STOPPED, what="the stop")
    guard = psutil.Process(limiter.pid)
    wait_for(lambda: [c for c in guard.children() if c.name() == "sleep"], what="the limiter")
    guard.children()[0].kill()
    wait_for(lambda: run.status() != psutil.STATUS_STOPPED, what="the run to go on")
    wait_for(lambda: gone([guard]), what="the guard's end")


@pytest.mark.trap(36)
@pytest.mark.skipif(shutil.which("cpulimit") is None, reason="cpulimit is not installed")
def test_the_real_cpulimit_is_there_as_long_as_its_process(start: Start) -> None:
    process = start(sys.executable, "-c", TWO_THREADS)
    limiter = limit_cpu(process.pid, 20)
    assert limiter.name == "cpulimit"
    assert limiter.pid is not None
    guard = psutil.Process(limiter.pid)
    (real,) = guard.children()
    run = psutil.Process(process.pid)
    wait_for(lambda: run.status() == psutil.STATUS_STOPPED, what="the limiter's first stop")
    real.kill()
    wait_for(lambda: gone([guard]), what="the guard's end")
    assert run.status() != psutil.STATUS_STOPPED
    again = limit_cpu(process.pid, 20)
    assert again.pid is not None
    guard = psutil.Process(again.pid)
    processes = [guard, *guard.children()]
    process.kill()
    process.wait()  # as `reap` does for runs: for cpulimit a zombie is alive
    wait_for(lambda: gone(processes), what="the limiter's end")
