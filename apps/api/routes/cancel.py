"""Stopping a run, by its name."""

from __future__ import annotations

from fastapi import APIRouter

from apps.api.cancel import cancel_run
from apps.api.deps import ServicesDep
from apps.api.problems import documented
from apps.common.contracts.manifest import RunManifest
from apps.common.names import EpisodeId, RunIdOrLatest

router = APIRouter(prefix="/episodes/{ep_id}/runs", tags=["runs"])

_RESPONSES = documented({409: "The run was started from a command line or by another server."})


@router.post("/{run_id}/cancel", responses=_RESPONSES)
async def cancel(ep_id: EpisodeId, run_id: RunIdOrLatest, services: ServicesDep) -> RunManifest:
    """Ends the run with all its processes, by whatever way it was started through this service.

    Whoever waits for it is told so. A run that has ended already: its manifest as it is.
    """
    return await cancel_run(services, ep_id, run_id)
