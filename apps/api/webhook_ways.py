"""The ways to tell somebody that a run or a batch has ended: a POST to a URL, or a command."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from apps import __version__
from apps.api.end_command import run_command
from apps.common.webhooks import Destination, WebhookSettings, signed_headers

_COMMAND = "command"  # stands for it among the names of URLs
_COMMAND_SECONDS = 60.0


@dataclass(frozen=True)
class Way:
    """How somebody is told.

    Args:
        shown: in the log.
        tell: takes an event's id and body; raises `NotTold`.
    """

    shown: str
    tell: Callable[[str, bytes], None]


class NotTold(Exception):
    """Nobody has taken it.

    Args:
        why: without a URL or a secret.
        for_good: it need not be tried again.
    """

    def __init__(self, why: str, *, for_good: bool = False) -> None:
        super().__init__(why)
        self.for_good = for_good


def ways_of(settings: WebhookSettings) -> dict[str, Way]:
    """By the names under which it is stored what is still to be told."""
    ways = {to.name: _posting(settings, to) for to in settings.destinations}
    if settings.command:
        ways[_COMMAND] = _commanding(settings.command)
    return ways


def _posting(settings: WebhookSettings, to: Destination) -> Way:
    def tell(event_id: str, body: bytes) -> None:
        from apps.api.webhook_post import PostFailed, post  # only those who need it load it

        headers = {
            "content-type": "application/json",
            "user-agent": f"screenalytics/{__version__}",
            **signed_headers(event_id, int(time.time()), body, settings.keys),
        }
        try:
            status = post(to.url, body, headers, settings.allowed)
        except PostFailed as error:
            raise NotTold(str(error)) from None
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise NotTold(f"answered {status}", for_good=status == HTTPStatus.GONE)

    return Way(to.shown, tell)


def _commanding(words: tuple[str, ...]) -> Way:
    def tell(event_id: str, body: bytes) -> None:  # noqa: ARG001
        problem = run_command(words, body, _COMMAND_SECONDS)
        if problem is not None:
            raise NotTold(problem)

    return Way(words[0], tell)
