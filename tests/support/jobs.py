"""Jobs: asked of an API, and as the API registers them."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import httpx

from apps.common.names import new_run_id
from apps.common.options import RunRequest
from apps.common.resolve import HostFacts, resolve
from apps.jobs.store import JobRequest, WorkerFacts
from apps.runs.record import now
from apps.runs.spec import RunSpec
from lab.processes.service import Server, wait_for

ENDS = ("success", "failed", "cancelled")
IDLER = WorkerFacts(  # announced, it takes no job
    name="nobody", host="here", pid=1, version="0", git_sha="", fingerprint="", concurrency=1
)
_HOST = HostFacts(
    providers=("CPUExecutionProvider",),
    detectors_on_disk=frozenset(),
    thread_limit=2,
    thread_limit_source="limit:cores",
)


def job_request(
    data_root: Path, ep_id: str, timeout_s: float = 60, **options: object
) -> JobRequest:
    """A run of the episode as a job, which nobody knows yet."""
    spec = RunSpec(
        ep_id=ep_id,
        run_id=new_run_id(),
        execution_mode="redis",
        resolution=resolve(RunRequest.model_validate(options), {}, _HOST),
        data_root=str(data_root),
    )
    return JobRequest(
        job_id=f"job-{secrets.token_hex(8)}", spec=spec, timeout_s=timeout_s, submitted_at=now()
    )


def submit(server: Server, ep_id: str, **fields: object) -> httpx.Response:
    return server.client.post("/celery_jobs/detect_track", json={"ep_id": ep_id, **fields})


def job(server: Server, job_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = server.client.get(f"/celery_jobs/{job_id}").json()
    return answer


def ended(server: Server, job_id: str, within: float = 30) -> dict[str, Any]:
    wait_for(lambda: job(server, job_id)["state"] in ENDS, within, "the job's end")
    return job(server, job_id)
