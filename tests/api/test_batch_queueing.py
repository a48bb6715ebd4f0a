"""What a batch knows of its jobs where Redis, or the last worker, goes away while it is queued."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.api.batch import batch_status, cancel_batch, retry_batch, start_batch
from apps.api.services import Services
from apps.common.batch_schemas import BatchRequest, BatchStatus
from apps.common.errors import QueueUnavailable
from apps.common.settings import Settings
from apps.common.webhooks import WebhookSettings
from apps.jobs.batches import BatchStore
from apps.jobs.queue import Publisher
from apps.jobs.store import JobRequest, JobStore
from lab.processes.queue import Redis
from tests.support.jobs import IDLER

EPISODES = ["talk", "show", "street"]


class Sender(Publisher):
    """The publisher, with something that happens just before or after it sends a job."""

    def __init__(self, settings: Settings, what: Callable[[], Any], *, before: bool) -> None:
        super().__init__(settings)
        self._what, self._before = what, before

    def send(self, request: JobRequest) -> None:
        if self._before:
            self._what()
        super().send(request)
        if not self._before:
            self._what()


@pytest.fixture
def settings(data_root: Path, broker: Redis) -> Settings:
    return Settings(data_root=data_root, redis_url=broker.url)


@pytest.fixture
def services(settings: Settings, idle: JobStore) -> Iterator[Services]:
    made = Services.create(settings, WebhookSettings())
    yield made
    asyncio.run(made.close())


def started(services: Services, sender: Sender) -> BatchStatus:
    request = BatchRequest(episodes=EPISODES, stride=60, det_size=160)
    return asyncio.run(start_batch(replace(services, publisher=sender), request))


def states(batch: BatchStatus) -> list[str]:
    return [item.state for item in batch.items]


@pytest.mark.parametrize("before", [False, True], ids=["sent", "not-sent"])
def test_the_job_over_which_redis_went_away_is_found(
    services: Services, settings: Settings, idle: JobStore, broker: Redis, before: bool
) -> None:
    """One that is known and was not sent is sent later, like any that nobody has heard of."""
    dies = Sender(settings, lambda: broker.stop(signal.SIGKILL), before=before)
    with pytest.raises(QueueUnavailable):
        started(services, dies)
    broker.start()
    batch_id = BatchStore(idle).newest()[0]
    found = asyncio.run(batch_status(services, batch_id))
    assert states(found) == ["queued", "refused", "refused"]
    [job] = idle.active()
    item, refused, _ = found.items
    assert (item.job_id, item.run_id) == (job.request.job_id, job.request.spec.run_id)
    assert (refused.job_id, refused.run_id) == (None, None)
    again = asyncio.run(retry_batch(services, batch_id))
    assert states(again) == ["queued"] * 3
    assert again.items[0] == item
    assert asyncio.run(cancel_batch(services, batch_id)).counts == {"cancelled": 3}


def test_what_was_never_sent_has_no_job(
    services: Services, settings: Settings, idle: JobStore
) -> None:
    last = Sender(settings, lambda: idle.sign_off(IDLER.name), before=False)
    batch = started(services, last)
    assert states(batch) == ["queued", "refused", "refused"]
    for item in batch.items[1:]:
        assert (item.job_id, item.run_id) == (None, None)
        assert "No worker listens" in str(item.error)
    asyncio.run(cancel_batch(services, batch.batch_id))
