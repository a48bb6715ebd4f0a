"""Correcting people over HTTP, on a real run; a later run of the episode gets the corrections."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.processes.service import Server
from tests.api.test_episodes import check_problem
from tests.support.people import copy_run

EP = "show"


class Run:
    """A run's people, by HTTP."""

    def __init__(self, server: Server, ep_id: str, run_id: str) -> None:
        self.client = server.client
        self.ep_id, self.run_id = ep_id, run_id
        self.path = f"/episodes/{ep_id}/runs/{run_id}/people"
        self.episode = server.data_root / "manifests" / ep_id
        self.file = self.episode / "runs" / run_id / "people.jsonl"
        self.log = self.episode / "people_corrections.jsonl"

    def people(self, **query: Any) -> dict[str, Any]:
        answer = self.client.get(self.path, params=query)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def by_id(self) -> dict[str, dict[str, Any]]:
        return {row["person_id"]: row for row in self.people()["items"]}

    def ask(self, action: str, /, *people: str, **more: Any) -> httpx.Response:
        body = {"revision": self.people()["revision"], "action": action}
        return self.client.post(
            f"{self.path}/corrections", json={**body, "person_ids": list(people), **more}
        )

    def correct(self, action: str, *people: str, **more: Any) -> dict[str, Any]:
        answer = self.ask(action, *people, **more)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def refuses(answer: httpx.Response, status: int, problem: str) -> None:
    assert check_problem(answer, status)["type"] == f"urn:screenalytics:problem:{problem}"


@pytest.fixture(scope="module")
def made(server: Server) -> Run:
    """Of a clip with several people."""
    options = {"stride": 12, "det_size": 320, "cpu_threads": 1, "people": True}
    answer = server.detect_track(EP, run_id="first", **options)
    assert answer.status_code == 200, answer.text
    run = Run(server, EP, "first")
    assert len(run.people()["items"]) >= 3
    return run


@pytest.fixture
def run(made: Run) -> Iterator[Run]:
    """Without corrections."""
    made.log.unlink(missing_ok=True)
    yield made
    made.log.unlink(missing_ok=True)


def test_people_as_the_run_wrote_them_and_as_they_were_corrected(run: Run) -> None:
    body = run.people()
    written = [json.loads(line) for line in run.file.read_text().splitlines()]
    assert body == {
        "items": written, "total": len(written), "offset": 0,
        "revision": 0, "unmatched": [], "damaged_lines": 0,
    }  # fmt: skip
    first, second, *others = [row["person_id"] for row in written]
    answer = run.correct("merge", first, second)
    assert answer["revision"] == 1
    assert answer["items"] == run.people()["items"]
    assert len(answer["items"]) == len(written) - 1
    page = run.people(offset=1, limit=1)
    assert (page["items"], page["total"]) == (answer["items"][1:2], len(written) - 1)
    assert run.people(original=True)["items"] == written
    assert run.people(original=True)["revision"] is None
    ndjson = run.client.get(run.path, headers={"accept": "application/x-ndjson"})
    assert [json.loads(line) for line in ndjson.text.splitlines()] == answer["items"]
    assert ndjson.headers["cache-control"] == "private, no-cache"
    assert run.client.head(run.path).headers["cache-control"] == "private, no-cache"
    assert {row["person_id"] for row in answer["items"]} == {first, *others}


def test_exports_have_people_as_they_were_corrected(run: Run) -> None:
    first, second, third, *_ = run.by_id()
    run.correct("name", first, name="Anna")
    run.correct("merge", first, second)
    run.correct("hide", third)
    address = run.path.replace("/people", "/export")
    table = run.client.get(address, params={"format": "people-csv"}).text
    assert "Anna" in table
    assert second not in table
    assert third not in table


def test_a_later_run_gets_the_corrections(server: Server, run: Run) -> None:
    before = run.by_id()
    anna = next(iter(before))
    # Two of one track each: the others may be grouped otherwise in the later run.
    ben, poster = [name for name, row in before.items() if len(row["track_ids"]) == 1][:2]
    run.correct("name", anna, name="Anna")
    run.correct("name", ben, name="Ben")
    run.correct("hide", poster)
    options = {"stride": 5, "det_size": 448, "det_thresh": 0.6, "cpu_threads": 1, "people": True}
    if not (run.episode / "runs/second").exists():
        answer = server.detect_track(EP, run_id="second", **options)
        assert answer.status_code == 200, answer.text
    later = Run(server, EP, "second")
    body = later.people()
    assert body["revision"] == 3
    assert body["unmatched"] == []
    named: dict[str, list[dict[str, Any]]] = {"Anna": [], "Ben": []}
    for row in body["items"]:
        if row["name"] is not None:
            named[row["name"]].append(row)
    for name, person in (("Anna", anna), ("Ben", ben)):
        # Somebody whom the later run took for two people is called so twice.
        common = sum(_common_s(part, before[person]) for part in named[name])
        assert common > 0.7 * before[person]["screen_seconds"]
    [hidden] = [row for row in body["items"] if row["hidden"]]
    assert _common_s(hidden, before[poster]) > 0.5 * before[poster]["screen_seconds"]
    # What is corrected in the later run reaches the earlier one as well.
    later.correct("name", named["Anna"][0]["person_id"], name="Anne")
    assert run.by_id()[anna]["name"] == "Anne"


def _common_s(one: dict[str, Any], other: dict[str, Any]) -> float:
    return float(
        sum(
            max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
            for a in one["appearances"]
            for b in other["appearances"]
        )
    )


def test_of_two_at_once_one_is_told_what_changed(run: Run) -> None:
    [first, *_] = run.by_id()
    answers: list[httpx.Response] = []
    at_once = threading.Barrier(2)

    def editor(name: str) -> None:
        at_once.wait()
        body = {"revision": 0, "action": "name", "person_ids": [first], "name": name}
        answers.append(run.client.post(f"{run.path}/corrections", json=body))

    editors = [threading.Thread(target=editor, args=(name,)) for name in ("Anna", "Eve")]
    for thread in editors:
        thread.start()
    for thread in editors:
        thread.join()
    [kept], [refused] = (
        [answer for answer in answers if answer.status_code == status] for status in (200, 409)
    )
    refuses(refused, 409, "people-changed")
    problem = refused.json()
    [change] = problem["changed"]
    assert (problem["revision"], change["revision"], change["action"]) == (1, 1, "name")
    [row] = [row for row in kept.json()["items"] if row["person_id"] == first]
    assert change["name"] == row["name"] == run.by_id()[first]["name"]
    assert len(run.log.read_text().splitlines()) == 1


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "مريم‏ (RTL)", "a" * 200])
def test_a_name_comes_back_as_it_was_given(run: Run, name: str) -> None:
    [first, *_] = run.by_id()
    run.correct("name", first, name=name)
    assert run.by_id()[first]["name"] == name
    assert f'"name":{json.dumps(name, ensure_ascii=False)}' in run.log.read_text("utf-8")


@pytest.mark.parametrize(
    "more",
    [
        {"name": "x" * 10_000},
        {"name": "two\nlines"},
        {"person_ids": ["../../etc/passwd"]},
        {"track_ids": ["track-1\n"], "action": "move"},
        {"action": "delete"},
        {"unknown": 1},
        {"revision": -1},
    ],
)
def test_bad_corrections_are_refused(run: Run, more: dict[str, Any]) -> None:
    [first, *_] = run.by_id()
    refuses(run.ask("name", first, **more), 422, "invalid-input")
    assert not run.log.exists()


def test_a_damaged_log_is_told_and_goes_on(run: Run) -> None:
    first, second, *_ = run.by_id()
    run.correct("name", first, name="Anna")
    run.correct("name", second, name="Ben")
    run.log.write_bytes(run.log.read_bytes()[:-20])
    body = run.people()
    assert (body["revision"], body["damaged_lines"]) == (1, 1)
    run.correct("name", second, name="Cid")
    assert (run.by_id()[first]["name"], run.by_id()[second]["name"]) == ("Anna", "Cid")
    log = run.client.get(f"/episodes/{EP}/people/corrections").json()
    assert [each["name"] for each in log["items"]] == ["Anna", "Cid"]
    assert (log["revision"], log["damaged_lines"]) == (2, 1)
    assert "embedding" not in json.dumps(log)


def test_a_log_of_a_later_version_is_refused(run: Run) -> None:
    [first, *_] = run.by_id()
    run.correct("name", first, name="Anna")
    row = {**json.loads(run.log.read_text()), "schema_version": "people_correction_v9"}
    run.log.write_text(json.dumps(row) + "\n")
    before = run.log.read_bytes()
    body = {"revision": 1, "action": "hide", "person_ids": [first]}
    for answer in (
        run.client.get(run.path),
        run.client.get(f"/episodes/{EP}/people/corrections"),
        run.client.post(f"{run.path}/corrections", json=body),
    ):
        refuses(answer, 409, "corrections-unreadable")
    assert run.log.read_bytes() == before
    assert run.people(original=True)["items"]


def test_nobody_s_people_are_a_problem(server: Server, run: Run) -> None:
    body = {"revision": 0, "action": "undo"}
    for path in ("/episodes/none/runs/latest/people", f"/episodes/{EP}/runs/none/people"):
        refuses(server.client.get(path), 404, "run-not-found")
        refuses(server.client.post(f"{path}/corrections", json=body), 404, "run-not-found")
    refuses(server.client.get("/episodes/none/people/corrections"), 404, "episode-not-found")
    assert not (run.episode.parent / "none").exists()


def test_the_log_goes_and_comes_with_its_episode(server: Server, data_root: Path, run: Run) -> None:
    copy_run(data_root, EP, "first", "copy")
    copy = Run(server, "copy", "first")
    [first, *_] = copy.by_id()
    copy.correct("name", first, name="Anna")
    deleted = server.client.delete("/episodes/copy").json()
    assert not copy.log.exists()
    refuses(server.client.get(copy.path), 404, "run-not-found")
    server.client.post(f"/trash/{deleted['trash_id']}/restore").raise_for_status()
    assert copy.by_id()[first]["name"] == "Anna"
    server.client.delete("/episodes/copy/runs/first").raise_for_status()
    assert copy.log.exists()  # it is the episode's, for its next run


def test_names_are_suggested_from_another_episode_of_the_show(
    server: Server, data_root: Path, run: Run
) -> None:
    ep_id = "comedy.S01E02"
    copy_run(data_root, EP, "first", ep_id)
    later = Run(server, ep_id, "first")

    def suggestions() -> dict[str, Any]:
        answer = server.client.get(f"{later.path}/suggestions")
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "private, no-cache"
        body: dict[str, Any] = answer.json()
        return body

    first, second, third, *_ = run.by_id()
    run.correct("name", first, name="Anna")
    run.correct("name", second, name="Ben")
    assert (suggestions()["show"], suggestions()["items"]) == ("comedy", [])
    changed = server.client.patch(f"/episodes/{EP}", json={"show": "comedy"})
    assert changed.status_code == 200, changed.text
    body = suggestions()
    assert (body["revision"], body["ep_ids"]) == (0, [EP])
    found = {row["person_id"]: row for row in body["items"]}
    assert (found[first]["name"], found[second]["name"]) == ("Anna", "Ben")
    assert found[first]["likeness"] > 0.9
    assert found[first]["into"] is None
    seen = found[first]["seen_in"][0]
    assert (seen["ep_id"], seen["run_id"], seen["person_id"]) == (EP, "first", first)
    path = f"/episodes/{EP}/runs/first/tracks/{seen['track_id']}/thumbnail"
    assert server.client.get(path).status_code == 200
    # Nothing is named before somebody says so.
    assert {row["name"] for row in later.people()["items"]} == {None}
    later.correct("name", first, name="Anna")
    later.correct("decline", second, name="Ben")
    assert {first, second}.isdisjoint(row["person_id"] for row in suggestions()["items"])
    assert later.by_id()[second]["name"] is None
    refuses(later.ask("decline", third), 422, "invalid-input")
    refuses(later.ask("decline", third, second, name="Ben"), 422, "invalid-input")
    later.correct("undo")
    assert second in {row["person_id"] for row in suggestions()["items"]}
    refuses(server.client.get(f"/episodes/{EP}/runs/none/people/suggestions"), 404, "run-not-found")


def test_people_are_deleted_for_good(server: Server, run: Run) -> None:
    first, second, *_ = run.by_id()
    folder = run.file.parent
    kept = {path: path.read_bytes() for path in (run.file, folder / "embeddings.npz")}
    run.correct("name", first, name="Anna")
    run.correct("name", second, name="Ben")
    try:
        answer = server.client.delete(f"/episodes/{EP}/people", params={"name": "Anna"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["ep_ids"] == [EP]
        assert first not in run.by_id()
        assert run.by_id()[second]["name"] == "Ben"
        refuses(server.client.delete("/people"), 422, "invalid-input")
        refuses(server.client.delete("/episodes/none/people"), 404, "episode-not-found")
        refuses(server.client.delete(f"/episodes/{EP}/people?nam=Ben"), 422, "invalid-input")
        run.log.write_text('{"schema_version": "people_correction_v9"}\n')
        refuses(
            server.client.delete(f"/episodes/{EP}/people?name=Ben"), 409, "corrections-unreadable"
        )
        assert server.client.delete("/people?name=Ben").json()["unreadable"] == [EP]
        assert EP in server.client.delete("/people", params={"everybody": True}).json()["ep_ids"]
        refuses(server.client.get(run.path), 404, "run-not-found")
        refuses(server.client.get(run.path.replace("people", "embeddings")), 404, "run-not-found")
        assert not run.log.exists()
        assert server.client.get(run.path.replace("people", "tracks")).json()["total"] > 0
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
