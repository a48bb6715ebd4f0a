"""Webhooks are sent until somebody has taken them: by the real code, to a real server, in Redis."""

from __future__ import annotations

import json
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from apps.api.end_command import run_command
from apps.api.webhook_post import PostFailed, post
from apps.api.webhooks import Retries, Webhooks
from apps.common.layout import Layout
from apps.common.webhooks import AllowedHosts, WebhookSettings
from apps.jobs.outbox import Outbox
from apps.jobs.store import ENDINGS, JobRequest, JobStore
from lab.processes.queue import Redis, redis_server
from lab.processes.service import wait_for
from tests.support.jobs import job_request
from tests.support.receiver import BREAK_OFF, DRIP, SECRET, SILENT, Receiver, receiving

SOON = Retries(first_s=0.01, factor=1)
PROBLEM = {"type": "urn:screenalytics:problem:run-cancelled", "detail": "No longer wanted."}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def store(broker: Redis) -> Iterator[JobStore]:
    broker.ask("FLUSHALL")
    opened = JobStore(broker.url, 60)
    yield opened
    opened.close()


@contextmanager
def telling(
    root: Path, store: JobStore, *to: Receiver, retries: Retries = SOON, command: str = ""
) -> Iterator[Webhooks]:
    settings = WebhookSettings.read(
        webhook_hosts="127.0.0.1",
        webhook_secret=SECRET,
        webhook_url=" ".join(receiver.url for receiver in to),
        end_command=command,
    )
    webhooks = Webhooks(settings, Layout(root), store, retries)
    webhooks.start()
    try:
        wait_for(lambda: store.redis.exists(f"{ENDINGS}:wanted"), what="the first look")
        yield webhooks
    finally:
        webhooks.close()


def cancelled(store: JobStore, root: Path, name: str = "show") -> JobRequest:
    request = job_request(root, name)
    assert store.register(request) is None
    assert store.cancel_now(request.job_id, PROBLEM)
    return request


def count(webhooks: Webhooks, how: str) -> int:
    figures = webhooks.figures()
    assert figures is not None
    return figures.counts.get(how, 0)


def test_it_is_sent_until_it_is_taken(store: JobStore, tmp_path: Path) -> None:
    troubles = (500, BREAK_OFF, 302, 200)
    with ExitStack() as stack:
        first = stack.enter_context(receiving(*troubles))
        second = stack.enter_context(receiving(SILENT, SILENT, SILENT))
        third = stack.enter_context(receiving())
        webhooks = stack.enter_context(telling(tmp_path, store, first, second, third))
        request = cancelled(store, tmp_path)
        wait_for(lambda: count(webhooks, "sent") == 2, 40, "the others than the silent one")
        assert [one.path for one in first.received] == ["/hook"] * len(troubles)
        assert all(one.is_signed for one in (*first.received, *third.received))
        assert len({one.body for one in (*first.received, *third.received)}) == 1
        assert len({one.headers["webhook-id"] for one in first.received}) == 1
        event = third.received[0].event
        assert event["id"] == third.received[0].headers["webhook-id"]
        assert event["type"] == "run.ended"
        spec = request.spec
        assert event["data"] == {
            "ep_id": "show",
            "run_id": spec.run_id,
            "job_id": request.job_id,
            "batch_id": None,
            "execution_mode": "redis",
            "status": "cancelled",
            "elapsed_seconds": None,
            "problem": PROBLEM,
            "links": {
                "run": f"/episodes/show/runs/{spec.run_id}",
                "job": f"/celery_jobs/{request.job_id}",
            },
        }
        figures = webhooks.figures()
        assert figures is not None
        assert (figures.waiting, figures.counts["retried"]) == (1, len(troubles) - 1)
        assert len(third.received) == 1
        # Ended twice, told once.
        assert not store.cancel_now(request.job_id, PROBLEM)


@pytest.mark.parametrize(("answer", "tries"), [(410, 1), (500, 3)])
def test_it_is_given_up(store: JobStore, tmp_path: Path, answer: int, tries: int) -> None:
    retries = Retries(first_s=0.01, factor=1, tries=3)
    with receiving(*[answer] * 9) as to, telling(tmp_path, store, to, retries=retries) as webhooks:
        cancelled(store, tmp_path)
        wait_for(lambda: count(webhooks, "given_up"), 20, "the end of trying")
        figures = webhooks.figures()
        assert figures is not None
        assert figures.waiting == 0
        assert len(to.received) == tries


def test_what_is_left_is_sent_by_whoever_serves_next(store: JobStore, tmp_path: Path) -> None:
    with receiving(500) as to:
        later = Retries(first_s=3600, factor=1)
        with telling(tmp_path, store, to, retries=later) as before:
            first = cancelled(store, tmp_path)
            wait_for(lambda: count(before, "retried"), what="the first try")
        second = cancelled(store, tmp_path, "talk")  # while no server is there
        name = before.names[0]
        assert (
            store.redis.zadd(f"screenalytics:webhook:due:{name}", {to.received[0].event["id"]: 0})
            == 0
        )
        with telling(tmp_path, store, to) as after:
            wait_for(lambda: count(after, "sent") == 2, what="both")
    sent = [one.event["data"]["job_id"] for one in to.received]
    assert sorted(sent) == sorted([first.job_id, first.job_id, second.job_id])


def test_what_a_dead_server_has_taken_is_due_again(store: JobStore) -> None:
    outbox = Outbox(store)
    outbox.post("evt-1", "{}", ["here"])
    assert outbox.take("elsewhere", 60) is None
    taken = outbox.take("here", 0)
    assert taken is not None
    again = outbox.take("here", 60)
    assert again is not None
    assert (again.event_id, again.tries) == ("evt-1", 2)
    assert outbox.take("here", 60) is None


def test_without_a_destination_nothing_is_kept(store: JobStore, tmp_path: Path) -> None:
    webhooks = Webhooks(WebhookSettings.read(webhook_url=""), Layout(tmp_path), store)
    webhooks.start()
    cancelled(store, tmp_path)
    webhooks.begun(job_request(tmp_path, "show").spec)
    webhooks.close()
    assert webhooks.figures() is None
    assert [key for key in store.redis.keys("*") if "webhook" in key or "endings" in key] == []


def test_a_name_that_leads_to_a_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the name is allowed, and its owner lets it lead to this host."""
    real = socket.getaddrinfo

    def lead_here(host: str, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == "hooks.example.org" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lead_here)
    with receiving() as to:
        url = f"http://hooks.example.org:{to.port}/token"
        with pytest.raises(PostFailed, match=r"leads to 127\.0\.0\.1") as refused:
            post(url, b"{}", {}, AllowedHosts.parse("hooks.example.org"))
        assert "token" not in str(refused.value)
        assert to.received == []
        assert post(url, b"{}", {}, AllowedHosts.parse("hooks.example.org,127.0.0.0/8")) == 204


@pytest.mark.parametrize("answer", [DRIP, SILENT])
def test_whoever_answers_too_slowly_has_not_answered(answer: str) -> None:
    with receiving(answer) as to, pytest.raises(PostFailed, match="Timeout"):
        post(to.url, b"{}", {}, AllowedHosts.parse("127.0.0.1"), whole_seconds=0.5)


def test_nobody_listens() -> None:
    with receiving() as to:
        url = to.url
    with pytest.raises(PostFailed):
        post(url, b"{}", {}, AllowedHosts.parse("127.0.0.1"))


# Refuses the first event that it is given, then writes down what it gets.
COMMAND = """
import json, os, pathlib, sys
told = pathlib.Path(sys.argv[1])
first = told.with_suffix(".first")
if not first.exists():
    first.touch()
    sys.exit(3)
mine = [name for name in os.environ if name.startswith("SCREENALYTICS_")]
told.write_text(json.dumps([json.load(sys.stdin), sys.argv[2:], mine]))
"""


def test_a_command_is_told_until_it_ends_well(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCREENALYTICS_WEBHOOK_SECRET", SECRET)
    told = tmp_path / "told.json"
    words = [sys.executable, "-c", COMMAND, str(told), "$(id)", "a b; touch c"]
    with telling(tmp_path, store, command=shlex.join(words)) as webhooks:
        request = cancelled(store, tmp_path)
        wait_for(lambda: count(webhooks, "sent"), what="the command")
        assert count(webhooks, "retried") == 1
    event, arguments, settings = json.loads(told.read_text())
    assert event["data"]["job_id"] == request.job_id
    assert (arguments, settings) == (["$(id)", "a b; touch c"], [])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["false"], "ended with code 1"),
        (["sleep", "60"], "took longer than 0.2 s"),
        (["no-such-program"], "cannot be started"),
        (["sh", "-c", "kill -9 $$"], "was killed by SIGKILL"),
    ],
)
def test_a_command_that_was_not_told(words: list[str], says: str) -> None:
    assert says in (run_command(words, b"{}" * 100_000, 0.2 if "60" in words else 30) or "")
    assert run_command(["true"], b"{}" * 100_000, 30) is None  # it need not read
