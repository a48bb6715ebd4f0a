"""Is it alive, can it work, which code is it?"""

from __future__ import annotations

import os
import shutil

from fastapi import APIRouter, Response
from pydantic import BaseModel

from apps.api.deps import ServicesDep
from apps.common.version import source_fingerprint

router = APIRouter(tags=["health"])


class Live(BaseModel):
    status: str = "ok"


class Dependency(BaseModel):
    ok: bool
    detail: str


class Ready(BaseModel):
    status: str
    dependencies: dict[str, Dependency]


class Version(BaseModel):
    version: str
    git_sha: str
    started_at: str
    source_fingerprint: str
    stale: bool


@router.get("/health/live")
async def live() -> Live:
    """The event loop answers."""
    return Live()


@router.get("/health/ready", responses={503: {"model": Ready}})
def ready(services: ServicesDep, response: Response) -> Ready:
    """Each dependency with its state."""
    dependencies = {"data_root": _data_root(services)}
    ok = all(dependency.ok for dependency in dependencies.values())
    response.status_code = 200 if ok else 503
    return Ready(status="ready" if ok else "not_ready", dependencies=dependencies)


@router.get("/version")
def version(services: ServicesDep) -> Version:
    """`stale` is true when the source on disk is no longer what this process loaded."""
    code = services.code
    return Version(
        version=code.version,
        git_sha=code.git_sha,
        started_at=code.started_at,
        source_fingerprint=code.fingerprint,
        stale=source_fingerprint() != code.fingerprint,
    )


def _data_root(services: ServicesDep) -> Dependency:
    root = services.layout.root
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Dependency(ok=False, detail="The data root is not writable.")
    free_mb = shutil.disk_usage(existing).free / 1e6
    enough = free_mb >= services.settings.min_free_mb
    return Dependency(ok=enough, detail=f"{free_mb:.0f} MB free")
