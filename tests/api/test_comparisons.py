"""Comparisons from the web service: the tool against the server itself, while somebody waits."""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from apps.common.files import read_json
from apps.common.layout import Layout
from apps.runs.lock import current_holder
from lab.processes.queue import LEASE_SECONDS, redis_server, worker
from lab.processes.service import Server, add_episode, gone, serving, wait_for

KEY = "correct-horse-battery"
QUICK = {"stride": 48, "det_size": 320}
# No run of it comes to its end: longer than what it takes to see that client or server are gone.
LONG = {"stride": 2, "det_size": 320, "cpu_threads": 1, "max_cpu_percent": 40}
NDJSON = {"accept": "application/x-ndjson"}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("comparisons") / "data folder"
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    return root


@pytest.fixture(scope="module")
def server(data_root: Path) -> Iterator[Server]:
    """Behind a key, and without Redis."""
    settings = {
        "SCREENALYTICS_API_KEY": KEY,
        "SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0",
        "SCREENALYTICS_SAVE_CROPS": "true",
    }
    with serving(data_root, **settings) as running:
        running.client.headers["x-api-key"] = KEY
        yield running


def compare(server: Server, ep_id: str = "talk", **body: Any) -> httpx.Response:
    return server.client.post(f"/episodes/{ep_id}/comparisons", json=body)


def listed(server: Server, ep_id: str = "talk") -> list[dict[str, Any]]:
    answer = server.client.get(f"/episodes/{ep_id}/comparisons")
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] == len(answer.json()["items"])
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def tools(server: Server) -> list[psutil.Process]:
    """The comparison's process, with its descendants."""
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        try:
            if any("apps.comparison.command" in part for part in process.cmdline()):
                found += [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
    return found


@dataclass(frozen=True)
class Compared:
    """A comparison by every mode that there is, and what was seen of it on its way."""

    answer: httpx.Response
    tool: list[psutil.Process]
    command: list[str]
    meanwhile: httpx.Response
    runs: list[str]


@pytest.fixture(scope="module")
def compared(server: Server) -> Compared:
    before = runs_of(server, "talk")
    answers: list[httpx.Response] = []
    options = {**QUICK, "profile": "balanced", "save_crops": False}
    thread = threading.Thread(
        daemon=True, target=lambda: answers.append(compare(server, repeat=1, options=options))
    )
    thread.start()
    tool = wait_for(lambda: tools(server), what="the tool")
    command, meanwhile = tool[0].cmdline(), compare(server)
    thread.join()
    runs = [run for run in runs_of(server, "talk") if run not in before]
    return Compared(answers[0], tool, command, meanwhile, runs)


def runs_of(server: Server, ep_id: str) -> list[str]:
    items = server.client.get(f"/episodes/{ep_id}/runs").json()["items"]
    return [str(run["run_id"]) for run in items]


def test_blocking(server: Server, compared: Compared) -> None:
    """The key reaches the tool, but not by its command line; a mode that is away is left out."""
    assert not any(KEY in part for part in compared.command)
    assert compared.meanwhile.json()["type"].endswith("comparison-busy")
    assert compared.answer.status_code == 200, compared.answer.text
    body = compared.answer.json()
    assert [mode["mode"] for mode in body["summaries"]] == ["cli", "sse", "local"]
    assert body["ep_id"] == "talk"
    assert any("redis was left out" in note for note in body["notes"])
    assert body["warnings"] == []
    assert all(mode["wall_seconds"] > 0 and mode["runs"] == 1 for mode in body["summaries"])
    assert str(server.data_root) not in compared.answer.text
    assert body in listed(server)
    assert len(compared.runs) == 3
    for run_id in compared.runs:
        manifest = server.client.get(f"/episodes/talk/runs/{run_id}").json()
        assert manifest["options"]["save_crops"] is False  # though the environment says true
        assert (manifest["options"]["stride"], manifest["options"]["det_size"]) == (48, 320)
    assert gone(compared.tool)


@pytest.mark.alone
def test_streamed(server: Server) -> None:
    before = listed(server)
    slow = {**QUICK, "cpu_threads": 1, "max_cpu_percent": 40}  # silent for more than a second
    body = {"modes": ["local"], "repeat": 1, "options": slow}
    times, lines = [time.monotonic()], []
    with server.client.stream(
        "POST", "/episodes/talk/comparisons", json=body, headers=NDJSON
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        for text in answer.iter_lines():
            times.append(time.monotonic())
            lines.append(json.loads(text))
    gaps = [after - first for first, after in itertools.pairwise(times)]
    assert statistics.median(gaps) < 1.5
    assert max(gaps) < 3  # of a busy machine
    assert {line["type"] for line in lines[:-1]} == {"log", "heartbeat"}
    said = [line["message"] for line in lines if line["type"] == "log"]
    assert [text.split()[2] for text in said if "begins" in text] == ["cli", "local"]
    assert any("round 1/1  local" in text and "CPU" in text for text in said)
    result = lines[-1]
    assert result.pop("type") == "result"
    assert listed(server) == [result, *before]


def test_refusals_before_anything_starts(server: Server) -> None:
    expected = {
        404: [compare(server, "nothing")],
        422: [
            compare(server, options={"profile": "fast"}),
            compare(server, options={"profile": "--help"}),
            compare(server, options={"stride": 0}),
            compare(server, modes=[]),
            compare(server, modes=["cli"]),
            compare(server, repeat=21),
            compare(server, "a..b"),
            compare(server, unknown=1),
        ],
    }
    for status, answers in expected.items():
        for answer in answers:
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
    assert "repeat" in expected[422][-1].json()["hint"]
    hint = compare(server, options={"unknown": 1}).json()["hint"]
    assert "stride" in hint  # of the fields where it stands
    assert "repeat" not in hint
    assert not tools(server)


def test_a_run_that_fails(server: Server, data_root: Path) -> None:
    """One error at the end: its problem, as a line or as the answer."""
    video = data_root / "videos/talk/episode.mp4"
    whole = video.read_bytes()
    video.write_bytes(b"no video" * 1000)
    try:
        blocked = compare(server, modes=["local"], options=QUICK)
        body = {"modes": ["local"], "options": QUICK}
        streamed = server.client.post("/episodes/talk/comparisons", json=body, headers=NDJSON)
    finally:
        video.write_bytes(whole)
    assert blocked.status_code == 500
    assert blocked.headers["content-type"] == "application/problem+json"
    last = json.loads(streamed.text.splitlines()[-1])
    assert last["type"] == "error"
    assert last["detail"] == last["problem"]["detail"] == blocked.json()["detail"]
    for text in (blocked.text, streamed.text):
        assert "Traceback" not in text
        assert str(data_root) not in text


@contextmanager
def asked_for(server: Server, mode: str, *, stream: bool) -> Iterator[None]:
    """A client that asks for a comparison and does not read; it leaves with the block."""
    body = json.dumps({"modes": [mode], "repeat": 1, "options": LONG})
    head = (
        "POST /episodes/show/comparisons HTTP/1.1\r\nHost: localhost\r\n"
        f"X-API-Key: {KEY}\r\nAccept: {NDJSON['accept'] if stream else '*/*'}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )

    def accepted() -> socket.socket | None:
        """None where the server has not yet seen the end of the comparison before."""
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        connection.sendall((head + body).encode())
        wait_for(lambda: tools(server) or select.select([connection], [], [], 0)[0])
        if tools(server) or not connection.recv(12, socket.MSG_PEEK).endswith(b" 409"):
            return connection
        connection.close()
        return None

    with wait_for(accepted, what="the comparison to be accepted"):
        yield


def under_way(server: Server, mode: str) -> dict[str, Any]:
    """The run of that mode, as soon as it can be stopped in the middle."""
    layout = Layout(server.data_root)

    def look() -> str | None:
        holder = current_holder(layout, "show")
        if holder is None or holder.execution_mode != mode:
            return None
        progress = read_json(layout.run("show", holder.run_id).progress)
        return holder.run_id if progress and progress["phase"] == "running" else None

    run_id = wait_for(look, 60, f"the {mode} run")
    (run,) = active(server)
    assert (run["run_id"], run["execution_mode"]) == (run_id, mode)
    return run


def active(server: Server) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = server.client.get("/celery_jobs").json()["items"]
    return items


def run_process(server: Server, run: dict[str, Any]) -> psutil.Process:
    manifest = server.client.get(f"/episodes/{run['ep_id']}/runs/{run['run_id']}").json()
    return psutil.Process(manifest["pid"])


def all_ended(server: Server, run: dict[str, Any], family: list[psutil.Process]) -> None:
    wait_for(lambda: gone(family) and not active(server), what="the end of tool and run")
    manifest = server.client.get(f"/episodes/show/runs/{run['run_id']}").json()
    # Its tool has less than two seconds to let the bare command line end in order.
    assert manifest["status"] in (
        {"cancelled", "interrupted"} if run["execution_mode"] == "cli" else {"cancelled"}
    )
    assert listed(server, "show") == []


def was_cut_off(root: Path, run: dict[str, Any]) -> bool:
    """It did not end by itself."""
    manifest = read_json(Layout(root).run("show", run["run_id"]).manifest)
    return manifest is not None and manifest["status"] != "completed"


def test_it_dies_with_its_client(server: Server) -> None:
    """One after the other: then all is free for the next. (Local runs: see the killed tool.)"""
    for mode, stream in (("cli", True), ("sse", False)):
        with asked_for(server, "local" if mode == "cli" else mode, stream=stream):
            run = under_way(server, mode)
            family = [*tools(server), run_process(server, run)]
        all_ended(server, run, family)


def test_a_tool_that_is_killed_is_reported(server: Server) -> None:
    """And the run that it had started goes with it."""
    answers: list[httpx.Response] = []
    body = {"modes": ["local"], "options": LONG}
    thread = threading.Thread(
        daemon=True, target=lambda: answers.append(compare(server, "show", **body))
    )
    thread.start()
    run = under_way(server, "local")
    family = [*tools(server), run_process(server, run)]
    family[0].kill()
    all_ended(server, run, family)
    thread.join(60)
    assert answers[0].status_code == 500
    assert "ended with code -9" in answers[0].json()["detail"]
    assert server.detect_track("show", **QUICK).status_code == 200


def test_a_queued_run_goes_with_its_client(tmp_path: Path, test_data: Path) -> None:
    root = tmp_path / "data"
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    with redis_server(tmp_path / "redis") as broker:
        settings = {
            "SCREENALYTICS_API_KEY": KEY,
            "SCREENALYTICS_REDIS_URL": broker.url,
            "SCREENALYTICS_LEASE_S": LEASE_SECONDS,
        }
        with serving(root, **settings) as server, worker(root, broker.url) as one:
            server.client.headers["x-api-key"] = KEY
            with asked_for(server, "redis", stream=True):
                run = under_way(server, "redis")
                family = [*tools(server), *one.runs()]
                tools(server)[0].kill()  # it cannot cancel its job any more
            all_ended(server, run, family)
            with asked_for(server, "redis", stream=True):
                run = under_way(server, "redis")
                family = [*tools(server), *one.runs()]
                server.process.kill()  # nor can the server
                server.process.wait()
                wait_for(lambda: gone(family), what="the end of tool and run")
    assert was_cut_off(root, run)


def test_it_dies_with_its_server(data_root: Path) -> None:
    """Here in the tool's own run; the server's are ended by it, and a queued one see above."""
    with serving(data_root, SCREENALYTICS_API_KEY=KEY) as server:
        server.client.headers["x-api-key"] = KEY
        with asked_for(server, "local", stream=True):
            run = under_way(server, "cli")
            family = [*tools(server), run_process(server, run)]
            server.process.kill()
            server.process.wait()
            wait_for(lambda: gone(family), what="the end of tool and run")
    assert was_cut_off(data_root, run)


def test_a_server_that_stops_says_so(data_root: Path) -> None:
    with serving(data_root, "--timeout-graceful-shutdown", "60") as server:
        answers: list[httpx.Response] = []
        body = {"modes": ["local"], "options": LONG}
        thread = threading.Thread(
            daemon=True, target=lambda: answers.append(compare(server, "show", **body))
        )
        thread.start()
        run = under_way(server, "local")
        family = [*tools(server), run_process(server, run)]
        server.process.terminate()
        server.process.wait(timeout=60)
        assert gone(family)
        thread.join(60)
    assert answers[0].status_code == 503
    assert "during the comparison" in answers[0].json()["detail"]


def test_foreign_files_are_passed_over(
    server: Server, data_root: Path, compared: Compared, tmp_path: Path
) -> None:
    listed_before = listed(server)
    assert compared.answer.json() in listed_before
    folder = data_root / "comparisons"
    own = set(folder.iterdir())
    good = json.loads(next(folder.glob("talk-*/comparison.json")).read_text())
    broken = {
        "text": "{",
        "list": "[]",
        "part": json.dumps({"ep_id": "talk"}),
        "infinite": json.dumps(good | {"summaries": [good["summaries"][0] | {"nice": 1}]}).replace(
            '"nice": 1', '"nice": 1, "wall_seconds": 1e999'
        ),
        "surrogate": json.dumps(good | {"created_at": "\ud800"}),
        "other": json.dumps(good | {"ep_id": "show"}),
    }
    try:
        for name, text in broken.items():
            (folder / name).mkdir()
            (folder / name / "comparison.json").write_text(text)
        (folder / "file").write_text("x")
        (folder / "pipe").mkdir()
        os.mkfifo(folder / "pipe" / "comparison.json")
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "comparison.json").write_text(json.dumps(good))
        (folder / "linked").symlink_to(outside)
        assert listed(server) == listed_before
        assert [found["comparison_id"] for found in listed(server, "show")] == ["other"]
        assert listed(server, "nobody") == []
    finally:
        for path in set(folder.iterdir()) - own:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
