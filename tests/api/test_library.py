"""Names, deleting and restoring over HTTP, beside real runs; and what the library lists."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.common.names import comparison_run_id
from apps.jobs.store import JobStore
from lab.processes.queue import Redis
from lab.processes.service import Server, add_episode, serving, wait_for
from tests.api.test_episodes import check_problem
from tests.support.jobs import IDLER
from tests.support.progress import under_way

SLOW = {"stride": 1, "det_size": 320, "max_cpu_percent": 30}  # lasts long enough to be looked at
OF_COMPARISON = comparison_run_id("20261128T090000-0a1b2c", 1, "local")


@pytest.fixture(scope="module")
def server(data_root: Path, broker: Redis) -> Iterator[Server]:
    """With a queue, and no worker that would take a job from it."""
    with serving(data_root, SCREENALYTICS_REDIS_URL=broker.url) as running:
        yield running


@pytest.fixture
def copy(server: Server, data_root: Path, request: pytest.FixtureRequest) -> str:
    """An episode of the test's own, with a short video."""
    ep_id = str(request.node.name).removeprefix("test_")[:60]
    [video] = (data_root / "videos" / "talk").glob("episode.*")
    add_episode(data_root, ep_id, video)
    return ep_id


def run(server: Server, ep_id: str, run_id: str) -> None:
    answer = server.detect_track(ep_id, run_id=run_id, stride=60, det_size=320)
    assert answer.status_code == 200, answer.text


def entry(server: Server, ep_id: str) -> dict[str, Any]:
    items = library(server, q=ep_id)["items"]
    [found] = [item for item in items if item["ep_id"] == ep_id]
    return dict(found)


def library(server: Server, **query: Any) -> dict[str, Any]:
    answer = server.client.get("/library", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def delete(server: Server, path: str) -> dict[str, Any]:
    answer = server.client.delete(path)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def restore(server: Server, trash_id: str) -> httpx.Response:
    return server.client.post(f"/trash/{trash_id}/restore")


def files_below(root: Path, ep_id: str) -> dict[str, bytes]:
    folders = (root / "videos" / ep_id, root / "manifests" / ep_id)
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_a_title_and_a_pin_stay_apart_from_the_id(server: Server, copy: str) -> None:
    path, title = f"/episodes/{copy}", "Ein Titel <b>mit</b> HTML · 第一集"
    assert server.client.patch(path, json={"title": f"  {title} "}).json() == {
        "ep_id": copy,
        "title": title,
        "pinned": False,
        "show": None,
    }
    server.client.patch(path, json={"pinned": True})
    assert entry(server, copy)["title"] == title  # the other field stayed
    assert library(server)["items"][0]["ep_id"] == copy
    [state] = server.client.get("/states", params={"ep_id": copy}).json()["items"]
    assert (state["title"], state["pinned"], state["state"]) == (title, True, "never_run")
    assert [one["ep_id"] for one in library(server, q="TITEL")["items"]] == [copy]
    assert server.client.patch(path, json={"title": None, "pinned": False}).status_code == 200
    assert (entry(server, copy)["title"], entry(server, copy)["pinned"]) == (None, False)
    assert server.client.get(path).json()["video"] == "episode.mp4"  # still the video alone


@pytest.mark.parametrize("title", ["x" * 201, "two\nlines", "a\u0000b", "a\u2028b", "\x1b[31m", 7])
@pytest.mark.parametrize("field", ["title", "show"])
def test_no_other_titles(server: Server, title: object, field: str) -> None:
    problem = check_problem(server.client.patch("/episodes/talk", json={field: title}), 422)
    assert field in problem["detail"]


def test_what_is_not_there_is_not_named_or_deleted(server: Server) -> None:
    for method, path in (
        ("PATCH", "/episodes/none"),
        ("DELETE", "/episodes/none"),
        ("PATCH", "/episodes/talk/runs/none"),
        ("DELETE", "/episodes/talk/runs/none"),
        ("DELETE", "/episodes/talk/runs/latest"),
        ("DELETE", "/trash/none"),
        ("POST", "/trash/none/restore"),
    ):
        body = {"title": "x"} if method == "PATCH" else None
        check_problem(server.client.request(method, path, json=body), 404)
    for path in ("/trash/..%2f..%2fvideos", "/trash/.moving-x", "/trash/a..b"):
        assert server.client.delete(path).status_code in (404, 422), path


def test_an_episode_goes_as_a_whole_and_comes_back_as_it_was(
    server: Server, copy: str, data_root: Path
) -> None:
    run(server, copy, "one")
    server.client.patch(f"/episodes/{copy}", json={"title": "Kept"})
    before = files_below(data_root, copy)
    gone = delete(server, f"/episodes/{copy}")
    assert gone["frees_bytes"] == sum(len(content) for content in before.values())
    assert gone["title"] == "Kept"
    assert gone["undo_until"] > gone["deleted_at"]
    check_problem(server.client.get(f"/episodes/{copy}"), 404)
    assert files_below(data_root, copy) == {}
    listed = server.client.get("/trash").json()
    assert gone in listed["items"]
    assert listed["size_bytes"] >= gone["frees_bytes"]
    assert library(server)["disk"]["trash"] >= gone["frees_bytes"]
    assert restore(server, gone["trash_id"]).status_code == 200
    assert files_below(data_root, copy) == before
    check_problem(restore(server, gone["trash_id"]), 404)


def test_the_place_may_be_taken_again(server: Server, copy: str, data_root: Path) -> None:
    gone = delete(server, f"/episodes/{copy}")
    [video] = (data_root / "videos" / "talk").glob("episode.*")
    add_episode(data_root, copy, video)
    problem = check_problem(restore(server, gone["trash_id"]), 409)
    assert problem["type"].endswith("episode-exists")
    assert gone in server.client.get("/trash").json()["items"]
    assert server.client.delete(f"/trash/{gone['trash_id']}").status_code == 204
    check_problem(server.client.delete(f"/trash/{gone['trash_id']}"), 404)
    assert not (data_root / "trash" / gone["trash_id"]).exists()
    assert entry(server, copy)["video_bytes"] == video.stat().st_size  # the other one stayed


def test_latest_is_the_newest_that_is_left_and_never_a_comparisons(
    server: Server, copy: str
) -> None:
    runs = f"/episodes/{copy}/runs"
    for name in ("one", "two", OF_COMPARISON):
        run(server, copy, name)
    assert server.client.get(f"{runs}/latest").json()["run_id"] == "two"
    marks = {
        item["run_id"]: item["of_comparison"] for item in server.client.get(runs).json()["items"]
    }
    assert marks == {"one": False, "two": False, OF_COMPARISON: True}
    shown = entry(server, copy)
    assert (shown["latest_run_id"], shown["newest_run"]["run_id"], shown["runs"]) == (
        "two",
        "two",
        3,
    )
    assert server.client.patch(f"{runs}/two", json={"title": "Best"}).json()["title"] == "Best"
    gone = delete(server, f"{runs}/latest")
    assert (gone["kind"], gone["run_id"], gone["title"]) == ("run", "two", "Best")
    assert server.client.get(f"{runs}/latest").json()["run_id"] == "one"
    assert entry(server, copy)["latest_run_id"] == "one"
    delete(server, f"{runs}/one")
    check_problem(server.client.get(f"{runs}/latest"), 404)
    assert restore(server, gone["trash_id"]).status_code == 200
    assert server.client.get(f"{runs}/latest").json()["run_id"] == "two"
    titles = {item["run_id"]: item["title"] for item in server.client.get(runs).json()["items"]}
    assert titles == {"two": "Best", OF_COMPARISON: None}


def test_nothing_is_deleted_while_a_run_is_on(server: Server, copy: str) -> None:
    run(server, copy, "before")
    with server.another_client(120) as client:
        body = {"ep_id": copy, "execution_mode": "local", "run_id": "now", **SLOW}
        on = threading.Thread(target=lambda: client.post("/celery_jobs/detect_track", json=body))
        on.start()
        under_way(server.data_root, copy, "now")
        for path in (copy, f"{copy}/runs/before", f"{copy}/runs/now"):
            problem = check_problem(server.client.delete(f"/episodes/{path}"), 409)
            assert problem["run_id"] == "now"
        assert entry(server, copy)["newest_run"]["status"] == "running"
        assert server.client.patch(f"/episodes/{copy}", json={"title": "Now"}).status_code == 200
        server.client.post(f"/episodes/{copy}/runs/now/cancel")
        on.join()
    wait_for(lambda: server.client.delete(f"/episodes/{copy}/runs/now").status_code == 200)
    delete(server, f"/episodes/{copy}")


def test_a_job_that_waits_is_cancelled_first(server: Server, copy: str, broker: Redis) -> None:
    store = JobStore(broker.url, 30)
    store.announce(IDLER, 60)  # a worker that takes nothing
    body = {"ep_id": copy, "execution_mode": "redis", "stride": 60}
    accepted = server.client.post("/celery_jobs/detect_track", json=body)
    assert accepted.status_code == 202, accepted.text
    job_id = accepted.json()["job_id"]
    problem = check_problem(server.client.delete(f"/episodes/{copy}"), 409)
    assert problem["job_id"] == job_id
    assert "cancel" in problem["hint"].lower()
    server.client.post(f"/celery_jobs/{job_id}/cancel")
    delete(server, f"/episodes/{copy}")


def test_the_list_tells_sizes_facts_and_orders(server: Server, copy: str, data_root: Path) -> None:
    run(server, copy, "one")
    shown = entry(server, copy)
    folder = data_root / "manifests" / copy / "runs" / "one"
    assert shown["result_bytes"] == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert (shown["state"]["state"], shown["state"]["runs"]) == ("done", 1)
    assert shown["duration_s"] == pytest.approx(4.004, abs=0.1)  # the run told it
    assert library(server, sort="newest")["items"][0]["ep_id"] == copy
    # Of a video that never ran, facts are asked for beside the answer.
    wait_for(lambda: entry(server, "street")["duration_s"] is not None, what="facts of a video")
    durations = [item["duration_s"] for item in library(server, sort="duration")["items"]]
    assert durations == sorted(durations, key=lambda one: -(one or 0))
    page = library(server, limit=1, offset=1, sort="title")
    assert len(page["items"]) == 1
    assert page["total"] == library(server)["total"]
    assert page["disk"]["videos"] >= shown["video_bytes"]
    assert page["disk"]["counted"] is True
    check_problem(server.client.get("/library", params={"sort": "nonsense"}), 422)


def test_the_demo_is_drawn_once(server: Server, data_root: Path, demo_episode: Path) -> None:
    shutil.copytree(demo_episode, data_root / "videos" / "demo-s01e01")
    before = files_below(data_root, "demo-s01e01")
    answer = server.client.post("/demo/episode")
    assert (answer.status_code, answer.json()) == (200, {"ep_id": "demo-s01e01"})
    assert files_below(data_root, "demo-s01e01") == before


def test_many_at_once_delete_and_restore_and_lose_nothing(
    server: Server, copy: str, data_root: Path
) -> None:
    run(server, copy, "one")
    before = files_below(data_root, copy)
    answers: list[int] = []

    def try_delete() -> None:
        with server.another_client(20) as client:
            answers.append(client.delete(f"/episodes/{copy}").status_code)

    threads = [threading.Thread(target=try_delete) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(200) == 1
    assert set(answers) <= {200, 404, 409}
    [gone] = [one for one in server.client.get("/trash").json()["items"] if one["ep_id"] == copy]
    assert restore(server, gone["trash_id"]).status_code == 200
    assert files_below(data_root, copy) == before
