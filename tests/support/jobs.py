"""Jobs as the API registers them, without an API."""

from __future__ import annotations

import secrets
from pathlib import Path

from apps.common.contracts import RunSpec
from apps.common.names import new_run_id
from apps.common.options import HostFacts, RunRequest, resolve
from apps.jobs.store import JobRequest
from apps.runs.record import now

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
