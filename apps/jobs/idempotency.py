"""Answers to requests that carry an `Idempotency-Key`: who sends one again gets the first answer.

Source: draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from apps.common.errors import IdempotencyKeyReused, StillAnswering
from apps.jobs.store import PREFIX, JobStore

HOLD_SECONDS = 30.0
"""So often whoever answers says that it still does."""
_ANSWERING_SECONDS = 120  # after which a server that died over it is in nobody's way
_KEPT_SECONDS = 24 * 3600


class Answer(BaseModel):
    """What was answered."""

    model_config = ConfigDict(frozen=True)

    status: int
    body: dict[str, Any]
    location: str


class _Record(BaseModel):
    """A request, by its digest, and what it was answered; None while it is not yet."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    request: str
    answer: Answer | None = None


class IdempotencyKeys:
    """Keys that clients have sent, and what each was answered.

    Args:
        jobs: whose Redis it is.

    Every method raises `QueueUnavailable` where Redis does not do its part.
    """

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    def take(self, key: str, request: str) -> Answer | None:
        """None for the first request of a key, which has to be answered; else the first answer.

        Args:
            request: what is asked for, as text.

        Raises:
            IdempotencyKeyReused: the key has come with another request.
            StillAnswering: the first one is not answered yet.
        """
        digest = _digest(request)
        record = _Record(request=digest).model_dump_json()
        with self._jobs.answering():
            if self._jobs.redis.set(_key(key), record, nx=True, ex=_ANSWERING_SECONDS):
                return None
            found = self._jobs.redis.get(_key(key))
        try:
            before = _Record.model_validate_json(str(found))
        except ValidationError:  # it was given back just now
            before = _Record(request=digest)
        if before.request != digest:
            raise IdempotencyKeyReused(
                "This Idempotency-Key has come with another request.",
                hint="Use a new key for each thing that is wanted.",
            )
        if before.answer is None:
            raise StillAnswering(
                "The first request of this Idempotency-Key is not answered yet.",
                hint="Send it again in a moment.",
            )
        return before.answer

    def hold(self, key: str) -> None:
        """The first request is still being worked on."""
        with self._jobs.answering():
            self._jobs.redis.expire(_key(key), _ANSWERING_SECONDS)

    def keep(self, key: str, request: str, answer: Answer) -> None:
        """Keeps the answer for a day."""
        record = _Record(request=_digest(request), answer=answer)
        with self._jobs.answering():
            self._jobs.redis.set(_key(key), record.model_dump_json(), ex=_KEPT_SECONDS)

    def give_back(self, key: str) -> None:
        """The request was refused: it may come again."""
        with self._jobs.answering():
            self._jobs.redis.delete(_key(key))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _key(key: str) -> str:
    return f"{PREFIX}:idempotency:{_digest(key)}"
