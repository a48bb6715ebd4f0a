"""The demo episode, for an empty library."""

from __future__ import annotations

import logging

from fastapi import APIRouter

from apps.api.deps import ServicesDep
from apps.api.problems import documented
from apps.common.errors import RunFailed
from apps.common.library_schemas import DemoEpisode
from apps.runs.child import Child

router = APIRouter(prefix="/demo", tags=["library"])
_log = logging.getLogger("screenalytics.api")
_EP_ID = "demo-s01e01"
_MODULE = "apps.demo.episode"


@router.post(
    "/episode",
    responses=documented({409: "It is being made already.", 500: "It could not be made."}),
)
async def demo_episode(services: ServicesDep) -> DemoEpisode:
    """Draws the demo episode, `demo-s01e01`, unless it is there; takes half a minute."""
    with services.runs.moving(_EP_ID):
        child = await Child.start(_MODULE, ["--data-root", str(services.layout.root)])
        try:
            async for _ in child.lines():
                pass
            code = await child.ended()
        finally:
            await child.kill()
    if code != 0:
        _log.warning("the demo episode was not made", extra={"said": list(child.stderr)[-3:]})
        raise RunFailed(
            f"The demo episode was not made (exit code {code}).",
            hint="Try `make demo`, which says why; or upload a video.",
        )
    return DemoEpisode(ep_id=_EP_ID)
