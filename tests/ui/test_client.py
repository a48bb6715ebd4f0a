"""The typed client against a real server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from apps.common.contracts.events import (
    ErrorEvent,
    Event,
    LogEvent,
    PreviewResultEvent,
    ProgressEvent,
    ResultEvent,
)
from apps.common.schemas import (
    ComparisonRequest,
    ComparisonSummary,
    DetectTrackRequest,
    PlanRequest,
)
from apps.ui.client import ApiProblem, Client, ServerUnreachable
from apps.ui.settings import PageSettings
from lab.processes.ports import free_port
from lab.processes.queue import Worker, redis_server, worker
from lab.processes.service import Server, add_episode, gone, serving, wait_for

KEY = "correct-horse-battery"
SLOW = {"stride": 1, "fps": 1000.0, "max_cpu_percent": 30.0}


@contextmanager
def client_of(url: str, key: str | None = None) -> Iterator[Client]:
    secret = None if key is None else SecretStr(key)
    with closing(Client(PageSettings(api_url=url, api_key=secret))) as client:
        yield client


@pytest.fixture(scope="module")
def product(
    tmp_path_factory: pytest.TempPathFactory, test_data: Path
) -> Iterator[tuple[Server, Worker]]:
    folder = tmp_path_factory.mktemp("client")
    root = folder / "data"
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    with (
        redis_server(folder / "redis") as redis,
        serving(root, SCREENALYTICS_REDIS_URL=redis.url, SCREENALYTICS_API_KEY=KEY) as server,
        worker(root, redis.url) as one,
    ):
        server.client.headers["x-api-key"] = KEY
        yield server, one


@pytest.fixture(scope="module")
def server(product: tuple[Server, Worker]) -> Server:
    return product[0]


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[Client]:
    with client_of(server.url + "/", KEY) as client:
        yield client


@pytest.fixture(scope="module")
def reported(api: Client) -> list[object]:
    """What a local run reports, in order."""
    return list(api.run_local(local("talk", stride=12)))


@pytest.fixture(scope="module")
def result(reported: list[object]) -> ResultEvent:
    last = reported[-1]
    assert isinstance(last, ResultEvent)
    return last


def local(ep_id: str = "show", **options: float) -> DetectTrackRequest:
    return DetectTrackRequest(ep_id=ep_id, execution_mode="local", **options)  # type: ignore[arg-type]


def test_episodes(api: Client) -> None:
    assert [item.ep_id for item in api.episodes().items] == ["show", "talk"]
    assert [item.ep_id for item in api.episodes("AL").items] == ["talk"]
    assert api.episodes(limit=1).total == 2
    facts = api.episode("talk").facts
    assert facts is not None
    assert (facts.width, facts.height, facts.frames) == (193, 144, 120)  # with square pixels


def test_a_run_and_its_figures(api: Client, result: ResultEvent) -> None:
    run_id = result.run_id
    assert run_id in [run.run_id for run in api.runs("talk").items]
    manifest = api.run("talk", run_id)
    assert manifest.result is not None
    assert manifest.result.tracks == result.tracks
    assert api.run("talk", "latest").status == "completed"
    assert api.diagnosis("talk", run_id).status == "completed"
    assert api.charts("talk", run_id).duration_s == pytest.approx(4.0, abs=0.1)
    assert "Using CPUExecutionProvider" in api.log("talk", run_id)


def test_what_a_run_would_do(api: Client, result: ResultEvent) -> None:
    offer = api.offer()
    assert [profile.name for profile in offer.profiles] == ["low_power", "balanced", "performance"]
    plan = api.plan(PlanRequest(ep_id="talk", stride=12))
    assert plan.frames_total == result.frames_total == 10
    assert plan.sources["stride"] == "request"
    assert plan.estimate_runs >= 1


def test_bounds_are_those_of_the_servers_document(api: Client) -> None:
    bounds = api.bounds()
    assert (bounds["stride"].minimum, bounds["stride"].maximum) == (1, 100_000)
    assert bounds["det_thresh"].minimum == pytest.approx(0.01)
    assert bounds["save_crops"].minimum is None
    assert bounds["stride"].description == "Process every n-th frame."


def test_version_and_health(api: Client) -> None:
    assert api.version().version
    ready = api.ready()
    assert ready.dependencies["redis"].ok
    assert len(ready.workers) == 1


def test_a_local_run_tells_how_it_goes(reported: list[object]) -> None:
    kinds = {type(event) for event in reported if event is not None}
    assert kinds == {ProgressEvent, LogEvent, ResultEvent}
    assert isinstance(reported[-1], ResultEvent)


def wait_until_it_works(events: Iterator[Event | None]) -> None:
    """A run that ends before it does may have left no manifest."""
    next(e for e in events if isinstance(e, ProgressEvent) and e.phase == "running")


def is_free(api: Client) -> None:
    """A run's process and manifest end a moment before its claim on the episode."""
    wait_for(lambda: api.active().items == [], what="the episode to be free")


@pytest.mark.trap(31)
def test_a_local_run_ends_with_its_iterator(api: Client, server: Server) -> None:
    with closing(api.run_local(local(**SLOW))) as events:
        wait_until_it_works(events)
        processes = server.wait_for_run()
    wait_for(lambda: gone(processes), what="the run to be gone")
    wait_for(lambda: api.runs("show").items[0].status == "cancelled", what="its manifest")
    is_free(api)


@pytest.mark.trap(31)
def test_a_run_that_says_nothing_ends_with_its_iterator(api: Client, server: Server) -> None:
    with closing(api.run_local(local(**SLOW))) as events:
        next(events)
        processes = server.wait_for_run()
        for process in processes:
            process.suspend()  # now there is nothing to say
        assert next(event for event in events if event is None) is None
    wait_for(lambda: gone(processes), what="the run to be gone")
    is_free(api)


def test_a_run_refuses_another_and_that_is_cancelled_elsewhere_ends_with_an_error(
    api: Client,
) -> None:
    with closing(api.run_local(local(**SLOW))) as events:
        wait_until_it_works(events)
        busy = problem_of(lambda: list(api.run_local(local())))
        [active] = api.active("show").items
        assert api.cancel_run("show", active.run_id).status == "cancelled"
        *_, last = events
    assert busy.status == 409
    assert "locally (direct)" in busy.detail
    assert isinstance(last, ErrorEvent)
    assert last.detail == "The run was stopped from elsewhere."
    is_free(api)


def test_a_job(api: Client) -> None:
    accepted = api.submit(DetectTrackRequest(ep_id="talk", execution_mode="redis", stride=12))
    wait_for(lambda: api.job(accepted.job_id).state == "success", what="the job")
    job = api.job(accepted.job_id)
    assert job.result is not None
    assert job.result.run_id == accepted.run_id
    assert accepted.job_id in [run.job_id for run in api.active("talk").items]


def test_a_job_is_cancelled(api: Client, product: tuple[Server, Worker]) -> None:
    request = DetectTrackRequest(ep_id="show", execution_mode="redis", **SLOW)  # type: ignore[arg-type]
    accepted = api.submit(request)
    processes = wait_for(product[1].runs, what="the worker's run")
    api.cancel_job(accepted.job_id)
    wait_for(lambda: api.job(accepted.job_id).state == "cancelled", what="the job's end")
    wait_for(lambda: gone(processes), what="the run to be gone")
    is_free(api)


def test_a_comparison(api: Client) -> None:
    request = ComparisonRequest(modes=["local"])
    events = list(api.run_comparison("talk", request))
    assert any(isinstance(event, LogEvent) for event in events)
    assert isinstance(events[-1], ComparisonSummary)
    [kept] = api.comparisons("talk").items
    assert kept.comparison_id == events[-1].comparison_id


def test_a_preview_is_made(api: Client, result: ResultEvent) -> None:
    *_, last = list(api.make_preview("talk", result.run_id))
    assert last is not None
    assert isinstance(last, PreviewResultEvent)
    manifest = api.run("talk", result.run_id)
    assert manifest.result is not None
    assert "preview" in manifest.result.artifacts


def problem_of(call: object) -> ApiProblem:
    assert callable(call)
    with pytest.raises(ApiProblem) as raised:
        call()
    return raised.value


def test_a_refusal_is_a_sentence_with_what_to_do(api: Client) -> None:
    missing = problem_of(lambda: api.episode("nobody"))
    assert (missing.status, missing.detail) == (404, "Episode 'nobody' does not exist.")
    assert missing.hint
    unknown = problem_of(lambda: api.plan(PlanRequest(profile="fast")))
    assert unknown.status == 422
    assert "low_power" in unknown.detail + unknown.hint


def test_a_wrong_key_is_a_sentence(server: Server) -> None:
    with client_of(server.url, "another-key") as stranger:
        assert problem_of(stranger.episodes).status == 401
        assert problem_of(lambda: list(stranger.run_local(local()))).status == 401


def test_nobody_there() -> None:
    with client_of(f"http://127.0.0.1:{free_port()}") as away:
        for call in (away.version, away.ready, lambda: list(away.run_local(local()))):
            problem = problem_of(call)
            assert isinstance(problem, ServerUnreachable)
            assert "does not answer" in problem.detail
            assert "make up" in problem.hint


@pytest.mark.parametrize("url", ["http://[::1", "ftp://127.0.0.1/", "nonsense", "http://a b/", ""])
def test_an_address_that_is_none_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ValidationError, match="api_url"):
        PageSettings(api_url=url)


def test_health_is_an_answer_where_something_is_missing_and_a_server_that_dies_is_gone(
    tmp_path: Path, test_data: Path
) -> None:
    root, aside = tmp_path / "data", tmp_path / "aside"
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    settings = {"SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0"}
    with serving(root, **settings) as server, client_of(server.url) as api:
        root.rename(aside)
        root.write_text("no folder")
        ready = api.ready()
        root.unlink()
        aside.rename(root)
        assert ready.status == "not_ready"
        assert not ready.dependencies["redis"].ok
        events = api.run_local(local(**SLOW))
        wait_until_it_works(events)
        server.process.kill()
        with pytest.raises(ServerUnreachable):
            list(events)


ANSWERS = {
    "a page": (200, b"<html>hello</html>", "text/html"),
    "another object": (200, b'{"hello": 1}', "application/json"),
    "a list": (200, b"[1, 2]", "application/json"),
    "nothing": (200, b"", "application/json"),
    "half an object": (200, b'{"version": "0', "application/json"),
    "no text": (200, b"\xff\xfe\x00", "application/json"),
    "an error page": (502, b"<html>Bad gateway</html>", "text/html"),
    "an error with a list": (500, b'{"detail": [1]}', "application/json"),
    "deep nesting": (200, b"[" * 100_000, "application/json"),
}


@contextmanager
def foreign_server(status: int, body: bytes, kind: str) -> Iterator[str]:
    """Something else that listens where the API should."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@pytest.mark.parametrize("name", ANSWERS)
def test_foreign_answers(name: str) -> None:
    with foreign_server(*ANSWERS[name]) as url, client_of(url) as api:
        for call in (api.version, api.bounds, api.ready, lambda: list(api.run_local(local()))):
            assert problem_of(call).detail


def test_a_server_that_says_nothing_leaves_the_caller_the_say() -> None:
    """It takes the connection and never answers: a tick every half second, and it can be left."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        client_of(f"http://127.0.0.1:{silent.getsockname()[1]}") as api,
        closing(api.run_local(local())) as events,
    ):
        assert [next(events) for _ in range(3)] == [None, None, None]
