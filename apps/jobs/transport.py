"""Kombu's transport over Redis, which survives an entry in the queue that is no job's message."""

from __future__ import annotations

import base64
import json
import logging
from queue import Empty
from typing import Any

from kombu.transport import redis

from apps.jobs.queue import HELP_TASK, QUEUE, TASK

_log = logging.getLogger("screenalytics.jobs")


class _Channel(redis.Channel):  # type: ignore[misc]
    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except ValueError as error:  # not JSON, or not text
            _log.error("dropped an entry of the queue: %s", error)
            raise Empty from None


class Transport(redis.Transport):  # type: ignore[misc]
    """Drops such an entry and says so; it would end the worker, and come again to the next one."""

    Channel = _Channel

    def _deliver(self, message: Any, queue: str) -> None:
        if queue == QUEUE and not _is_job(message):
            _log.error("dropped an entry of the queue that is no job's message")
        else:
            super()._deliver(message, queue)


def _is_job(message: Any) -> bool:
    """It has what kombu and Celery read without asking whether it is there."""
    try:
        properties, headers = message["properties"], message["headers"]
        texts = [
            properties["delivery_tag"],
            properties["delivery_info"]["exchange"],
            properties["delivery_info"]["routing_key"],
            headers["id"],
        ]
        positional, named, _ = json.loads(base64.b64decode(message["body"], validate=True))
        return (
            all(isinstance(text, str) for text in texts)
            and headers["task"] in (TASK, HELP_TASK)
            and properties["body_encoding"] == "base64"
            and (message["content-type"], message["content-encoding"])
            == ("application/json", "utf-8")
            and isinstance(positional, list)
            and isinstance(named, dict)
        )
    except (KeyError, TypeError, ValueError, RecursionError):
        return False
