"""Whether the server is alive, whether it can work, and which code it is."""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool

from apps.api.deps import ServicesDep
from apps.common.errors import QueueUnavailable, ScreenalyticsError, StorageFailed
from apps.common.schemas import Dependency, Live, Ready, Version, WorkerSummary
from apps.jobs.store import WorkerFacts
from apps.runs.storage import check_storage

router = APIRouter(tags=["health"])

LIVE_PATH = "/health/live"


@router.get(LIVE_PATH)
async def live() -> Live:
    """The event loop answers."""
    return Live()


@router.get("/health/ready", responses={503: {"model": Ready}})
async def ready(services: ServicesDep, response: Response) -> Ready:
    """Each dependency with its state."""
    dependencies = {
        "data_root": await run_in_threadpool(_data_root, services),
        "detector": await _detector(services),
    }
    storage = await run_in_threadpool(services.storage.state)
    if storage is not None:
        waiting = f"{storage.waiting} runs wait to be stored" if storage.waiting else "answers"
        dependencies["storage"] = Dependency(
            ok=not storage.problem, required=False, detail=storage.problem or waiting
        )
    queue, workers = await services.ask_redis(_queue, services)
    dependencies |= queue
    ok = all(dependency.ok for dependency in dependencies.values() if dependency.required)
    response.status_code = 200 if ok else 503
    return Ready(status="ready" if ok else "not_ready", dependencies=dependencies, workers=workers)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(services: ServicesDep) -> Response:
    """Runs by mode and outcome, frames, durations, CPU and the queue, for Prometheus."""
    text = await services.ask_redis(generate_latest, services.metrics)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


@router.get("/version")
def version(services: ServicesDep) -> Version:
    """`stale` is true when the source on disk is no longer what this process loaded."""
    return services.code.version_now(services.source)


async def _detector(services: ServicesDep) -> Dependency:
    try:
        loaded = await services.detector.model_id()
    except ScreenalyticsError as error:
        return Dependency(ok=False, required=True, detail=error.detail)
    return Dependency(ok=True, required=True, detail=f"{loaded} loads")


def _data_root(services: ServicesDep) -> Dependency:
    try:
        free_mb = check_storage(services.layout, services.settings.min_free_mb)
    except StorageFailed as error:
        return Dependency(ok=False, required=True, detail=error.detail)
    return Dependency(ok=True, required=True, detail=f"{free_mb / 1000:.1f} GB free")


def _queue(services: ServicesDep) -> tuple[dict[str, Dependency], list[WorkerSummary]]:
    """Redis and the workers, which queued mode needs and local mode does not."""
    try:
        services.jobs.check()
        workers, taken = services.jobs.workers(), services.jobs.running()
    except QueueUnavailable as error:
        gone = Dependency(ok=False, required=False, detail=error.detail)
        return {"redis": gone, "workers": gone}, []
    running = Counter(job.worker for job in taken if job.state == "in_progress")
    names = ", ".join(f"{worker.name} (version {worker.version})" for worker in workers)
    dependencies = {
        "redis": Dependency(ok=True, required=False, detail="answers and takes jobs"),
        "workers": Dependency(
            ok=bool(workers), required=False, detail=names or "No worker listens to the queue."
        ),
    }
    return dependencies, [_summary(worker, running[worker.name]) for worker in workers]


def _summary(worker: WorkerFacts, running: int) -> WorkerSummary:
    return WorkerSummary(
        name=worker.name,
        host=worker.host,
        version=worker.version,
        source_fingerprint=worker.fingerprint,
        concurrency=worker.concurrency,
        running=running,
    )
