"""Jobs of the old path: runs that go on in the background when the server that started them ends.

Unlike `apps.runs.launch`, there is no lifeline: the options come from a file.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
from filelock import FileLock

from apps.common.errors import EpisodeBusy
from apps.common.files import storage_errors, write_json
from apps.common.layout import Layout, LegacyJobFiles
from apps.common.names import new_run_id
from apps.common.python_module import python_module, same_code
from apps.legacy.limiter import limit_cpu, reap
from apps.legacy.records import (
    CANCELLED,
    LegacyJob,
    LegacyJobStatus,
    ProcessId,
    job_status,
    list_jobs,
)
from apps.runs.launch import RUN_MODULE
from apps.runs.spec import RunSpec
from apps.runs.staging import remove_staging
from apps.runs.store import close_unfinished

_GRACE_SECONDS = 1.2  # between SIGTERM and SIGKILL
_KILL_SECONDS = 2.0  # for the kernel to end what was killed


def start_job(spec: RunSpec) -> LegacyJob:
    """Starts a run in a session of its own, under a CPU limiter. Blocks for a moment.

    Raises:
        EpisodeBusy: another job runs the episode. (A run takes the episode's lock a moment after
            its start; until then only its record tells.)
        StorageFailed: the data root is not writable.
    """
    layout = Layout(Path(spec.data_root))
    with storage_errors():
        layout.jobs.mkdir(parents=True, exist_ok=True)
        with FileLock(layout.jobs / ".lock"):  # two requests at once, also of two servers
            _refuse_second(layout, spec.ep_id)
            return _start(layout, spec)


def cancel_job(layout: Layout, record: LegacyJob) -> LegacyJobStatus:
    """Ends the job's process group, politely at first. Leaves an ended job as it is."""
    if record.process.is_alive():
        record = record.model_copy(update={"cancelled": True})
        with contextlib.suppress(OSError):  # a full disk must not save the run
            write_json(layout.job(record.job_id).record, record.model_dump())
        run = (layout, record.ep_id, record.run_id)
        _end_group(record.process)
        remove_staging(*run)
        close_unfinished(*run, "cancelled", CANCELLED, pid=record.process.pid)
    return job_status(layout, record)


def _refuse_second(layout: Layout, ep_id: str) -> None:
    for job in list_jobs(layout):
        if job.ep_id == ep_id and job.process.is_alive():
            raise EpisodeBusy(
                f"Episode {ep_id!r} is running by the old path as job {job.job_id}.",
                hint=f"Wait until it ends, or POST /jobs/{job.job_id}/cancel.",
                execution_mode="sse",
                run_id=job.run_id,
                job_id=job.job_id,
            )


def _start(layout: Layout, spec: RunSpec) -> LegacyJob:
    job_id = f"job-{new_run_id()}"
    files = layout.job(job_id)
    files.spec.write_text(spec.model_dump_json() + "\n", encoding="utf-8")
    process = _spawn(files)
    try:
        identity = ProcessId.of(process.pid)
        limiter = limit_cpu(process.pid)  # at once, before the process counts its cores
        record = LegacyJob(
            job_id=job_id,
            ep_id=spec.ep_id,
            run_id=spec.run_id,
            profile=spec.resolution.options.profile,
            process=identity,
            limiter=limiter.name,
            limiter_process=_identity(limiter.pid),
        )
        write_json(files.record, record.model_dump(), durable=True)
    except BaseException:
        _signal(process.pid, signal.SIGKILL)  # without a record nobody could find or end it
        process.wait()
        raise
    reap(process)
    return record


def _identity(pid: int | None) -> ProcessId | None:
    if pid is not None:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended with a very short run
            return ProcessId.of(pid)
    return None


def _spawn(files: LegacyJobFiles) -> subprocess.Popen[bytes]:
    with files.output.open("wb") as output:  # a pipe would outlive its reader, and then fill
        return subprocess.Popen(
            [*python_module(RUN_MODULE), "--spec", str(files.spec), "--events", "ndjson"],
            env=same_code(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _end_group(process: ProcessId) -> None:
    _signal(process.pid, signal.SIGTERM)
    _signal(process.pid, signal.SIGCONT)  # a stopped group would never see the first one
    _wait_for_end(process, _GRACE_SECONDS)
    _signal(process.pid, signal.SIGKILL)  # also what outlived its leader
    _wait_for_end(process, _KILL_SECONDS)


def _wait_for_end(process: ProcessId, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
