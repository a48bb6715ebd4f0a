"""Batches: many episodes in one request."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter
from fastapi.responses import Response

from apps.api.batch import batch_status, cancel_batch, retry_batch, start_batch
from apps.api.deps import ServicesDep
from apps.api.idempotent import IdempotencyKey, answered_once
from apps.api.importing import import_folder
from apps.api.problems import DOCUMENTED_QUEUE, Documented, documented
from apps.common.batch_schemas import (
    Batches,
    BatchRequest,
    BatchStatus,
    BatchSummary,
    ImportedBatch,
    ImportsStatus,
    NothingToQueue,
)
from apps.common.errors import BatchNotFound, QueueUnavailable
from apps.common.names import BatchId
from apps.jobs.batches import BatchStore
from apps.jobs.idempotency import Answer
from apps.jobs.submit import check_queue

PATH = "/celery_jobs/detect_track/batch"
router = APIRouter(prefix=PATH, tags=["detect/track"])

_NOT_FOUND: Documented = {**DOCUMENTED_QUEUE, **documented({404: "There is no such batch."})}


@router.post(
    "",
    status_code=202,
    responses={
        200: {"model": NothingToQueue, "description": "The folder has nothing new."},
        202: {
            "model": BatchStatus | ImportedBatch,
            "description": "What can be queued is queued.",
        },
        **DOCUMENTED_QUEUE,
        **documented(
            {
                409: "Nothing could be queued, since an episode is running already; or the first "
                "request of this Idempotency-Key is not answered yet.",
                422: "Bad input, or the Idempotency-Key was used for another request.",
            }
        ),
    },
)
async def add_batch(
    body: BatchRequest, services: ServicesDep, key: IdempotencyKey = None
) -> Response:
    """Queues many episodes: those that are named, whose names match, or that a folder has anew.

    One that cannot be queued says why (`refused`), and keeps no other one from it. New videos of a
    `folder` of the server become episodes first; `imports` tells what became of each file.
    """

    async def make() -> Answer:
        if body.folder is None:
            return _answer(await start_batch(services, body))
        await services.ask_redis(check_queue, services.jobs)  # before hours of copying
        async with services.imports.alone():
            imports, ep_ids = await import_folder(services, body.folder)
            if not ep_ids:
                nothing = NothingToQueue(imports=imports)
                return Answer(status=200, body=nothing.model_dump(mode="json"), location=PATH)
            status = await start_batch(services, body, ep_ids)
        return _answer(ImportedBatch(**status.model_dump(), imports=imports))

    return await answered_once(services, key, f"{PATH} {body.model_dump_json()}", make)


def _answer(status: BatchStatus) -> Answer:
    return Answer(
        status=202, body=status.model_dump(mode="json"), location=f"{PATH}/{status.batch_id}"
    )


@router.get("")
async def batches(services: ServicesDep) -> Batches:
    """The newest batches, the newest first, without their episodes.

    Where the queue is away there are none, and it is said why, as in `GET /celery_jobs`.
    """
    items = list[BatchSummary]()
    try:
        for batch_id in await services.ask_redis(BatchStore(services.jobs).newest):
            with suppress(BatchNotFound):  # just forgotten
                status = await batch_status(services, batch_id)
                items.append(BatchSummary.model_validate(status.model_dump(exclude={"items"})))
    except QueueUnavailable as error:
        return Batches(items=[], total=0, queue_problem=error.detail)
    return Batches(items=items, total=len(items), queue_problem=None)


@router.get("/imports")
async def imports(services: ServicesDep) -> ImportsStatus:
    """How far the import of a folder is, while its request waits for what comes of it."""
    running = services.imports.running
    return ImportsStatus(running=None if running is None else running.told())


@router.get("/{batch_id}", responses=_NOT_FOUND)
async def batch(batch_id: BatchId, services: ServicesDep) -> BatchStatus:
    """How far a batch is, as a whole and by episode."""
    return await batch_status(services, batch_id)


@router.post("/{batch_id}/cancel", responses=_NOT_FOUND)
async def cancel(batch_id: BatchId, services: ServicesDep) -> BatchStatus:
    """Ends all of its jobs: those that wait at once, those that run with their process trees."""
    return await cancel_batch(services, batch_id)


@router.post("/{batch_id}/retry", responses=_NOT_FOUND)
async def retry(batch_id: BatchId, services: ServicesDep) -> BatchStatus:
    """Queues those again that failed, were cancelled or refused."""
    return await retry_batch(services, batch_id)
