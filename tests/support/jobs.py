"""Jobs: asked of an API, and as the API registers them."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import httpx

from apps.common.names import new_run_id
from apps.jobs.store import JobRequest, WorkerFacts
from apps.runs.record import now
from lab.processes.service import Server, wait_for
from lab.specs import spec_of

ENDS = ("success", "failed", "cancelled")
IDLER = WorkerFacts(  # announced, it takes no job
    name="nobody", host="here", pid=1, version="0", git_sha="", fingerprint="", concurrency=1
)


def job_request(
    data_root: Path, ep_id: str, timeout_s: float = 60, **options: object
) -> JobRequest:
    """A run of the episode as a job, which nobody knows yet."""
    spec = spec_of(data_root, ep_id, new_run_id(), mode="redis", **options)
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
