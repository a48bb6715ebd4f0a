"""Differences of two real runs over HTTP."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.common.layout import Layout
from apps.results.differences import Differences
from lab.processes.service import Server

KEPT = "private, max-age=86400, immutable"


@pytest.fixture(scope="module")
def runs(server: Server) -> tuple[str, str]:
    """The same clip at strides 6 and 12."""
    made = []
    for stride in (6, 12):
        answer = server.detect_track("show", stride=stride, det_size=320, cpu_threads=1)
        assert answer.status_code == 200, answer.text
        made.append(answer.json()["run_id"])
    return made[0], made[1]


def get(server: Server, a: str, b: str, ep_id: str = "show") -> httpx.Response:
    return server.client.get(f"/episodes/{ep_id}/differences", params={"a": a, "b": b})


def differences(server: Server, a: str, b: str) -> dict[str, Any]:
    answer = get(server, a, b)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def folder(server: Server, run_id: str, ep_id: str = "show") -> Path:
    return Layout(server.data_root).run(ep_id, run_id).folder


def copy_of(server: Server, run_id: str, name: str, **changes: Any) -> Path:
    """A run whose manifest says otherwise."""
    copy = folder(server, name)
    shutil.copytree(folder(server, run_id), copy)
    manifest = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**manifest, "run_id": name, **changes}))
    return copy


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_two_strides_of_one_episode(server: Server, runs: tuple[str, str]) -> None:
    body = differences(server, *runs)
    assert (body["a"]["run_id"], body["b"]["run_id"]) == runs
    assert body["same_video"] is True
    assert (body["a"]["stride"], body["b"]["stride"], body["compared_stride"]) == (6, 12, 12)
    options = {one["name"]: one for one in body["options"]}
    assert list(options) == ["stride"]
    assert (options["stride"]["a"], options["stride"]["b"]) == (6, 12)
    assert options["stride"]["source_a"] == options["stride"]["source_b"] == "request"
    assert [fact["name"] for fact in body["facts"]] == ["effective_stride"]
    for side, run_id in zip("ab", runs, strict=True):
        metrics = server.client.get(f"/episodes/show/runs/{run_id}/metrics").json()
        totals = body[side]
        assert totals["faces"] == metrics["detections_total"]
        assert totals["tracks"] == metrics["tracks_born"]
        assert totals["screen_s"] == pytest.approx(metrics["screen_s"], abs=0.01)
        assert totals["screen_error_s"] == pytest.approx(metrics["screen_error_s"], abs=0.01)
        assert totals["with_faces_s"] > 0
        assert totals["unreadable_rows"] == 0
        # Every track is somewhere, and once.
        tracks = rows_of(folder(server, run_id) / "tracks.jsonl")
        named = [name for group in body["matched"] for name in group[side]]
        named += [track["track_id"] for track in body[f"only_{side}"]]
        assert sorted(named) == sorted(track["track_id"] for track in tracks)
    assert body["difference_s"] == pytest.approx(
        body["b"]["screen_s"] - body["a"]["screen_s"], abs=1e-3
    )
    assert body["error_s"] > 0
    assert body["matched"]
    assert all(group["overlap"] > 0.9 for group in body["matched"])  # the same frames
    starts = [group["start_s"] for group in body["matched"]]
    assert starts == sorted(starts)


def test_turned_round_it_is_turned_round(server: Server, runs: tuple[str, str]) -> None:
    body, turned = differences(server, *runs), differences(server, *runs[::-1])
    assert body["only_a"] == turned["only_b"]
    assert body["faces_only_a"] == turned["faces_only_b"]
    assert body["difference_s"] == -turned["difference_s"]
    assert len(body["matched"]) == len(turned["matched"])


def test_a_run_and_itself(server: Server, runs: tuple[str, str]) -> None:
    body = differences(server, runs[0], runs[0])
    lists = ("options", "facts", "only_a", "only_b", "faces_only_a", "faces_only_b")
    assert [body[name] for name in lists] == [[]] * len(lists)
    assert body["difference_s"] == 0
    assert all(group["a"] == group["b"] for group in body["matched"])


def test_a_track_less(server: Server, runs: tuple[str, str]) -> None:
    copy = copy_of(server, runs[0], "less")
    tracks = rows_of(copy / "tracks.jsonl")
    lost = max(tracks, key=lambda track: float(track["screen_s"]))
    write(copy / "tracks.jsonl", [track for track in tracks if track is not lost])
    faces = rows_of(copy / "detections.jsonl")
    write(copy / "detections.jsonl", [f for f in faces if f["track_id"] != lost["track_id"]])
    body = differences(server, runs[0], "less")
    [only] = body["only_a"]
    assert only["track_id"] == lost["track_id"]
    assert (only["first_s"], only["last_s"]) == (lost["start_s"], lost["end_s"])
    assert only["screen_s"] == pytest.approx(lost["screen_s"], abs=1e-3)
    assert only["moments"] == lost["stats"]["detections"]
    assert body["only_b"] == []
    assert body["difference_s"] == pytest.approx(-lost["screen_s"], abs=1e-3)
    assert body["faces_only_b"] == []


def test_answers_may_be_kept_where_they_cannot_change(
    server: Server, runs: tuple[str, str]
) -> None:
    assert get(server, *runs).headers["cache-control"] == KEPT
    for a, b in ((runs[0], "latest"), ("latest", runs[0])):
        answer = get(server, a, b)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


def test_damaged_lines_are_counted_and_damaged_runs_told(
    server: Server, runs: tuple[str, str]
) -> None:
    copy = copy_of(server, runs[0], "torn")
    with (copy / "detections.jsonl").open("a") as stream:
        stream.write('{"frame_idx": 3')
    with (copy / "tracks.jsonl").open("a") as stream:
        stream.write('nothing\n{"track_id": "track-00001"}\n')
    body = differences(server, runs[0], "torn")
    assert (body["a"]["unreadable_rows"], body["b"]["unreadable_rows"]) == (0, 3)
    assert body["only_a"] == body["only_b"] == []
    (copy / "tracks.jsonl").unlink()
    assert_problem(get(server, runs[0], "torn"), 404, "run-not-found")
    copy_of(server, runs[0], "blind", video=None)
    assert_problem(get(server, "blind", runs[0]), 404, "run-not-found")


def test_runs_that_cannot_be_compared(server: Server, runs: tuple[str, str]) -> None:
    copy_of(server, runs[0], "half", status="cancelled")
    manifest = json.loads((folder(server, runs[0]) / "run.json").read_text())
    other = {**manifest["video_file"], "fingerprint": "0" * 64}
    copy_of(server, runs[0], "other-video", video_file=other)
    copy_of(server, runs[0], "other-stream", video={**manifest["video"], "stream": 7})
    assert_problem(get(server, runs[0], "half"), 404, "run-not-found")
    assert_problem(get(server, runs[0], "nobody"), 404, "run-not-found")
    assert_problem(get(server, runs[0], runs[1], "nobody"), 404, "run-not-found")
    for name in ("other-video", "other-stream"):
        assert_problem(get(server, runs[0], name), 409, "video-replaced")
    copy_of(server, runs[0], "older", video_file=None)
    assert differences(server, runs[0], "older")["same_video"] is None


@pytest.mark.parametrize(
    "query", ["", "a=x", "b=x", "a=..&b=x", "a=x&b=%2e%2e%2fy", "a=x&b=y&c=z", "a=x&b=" + "y" * 999]
)
def test_questions_that_are_none(server: Server, query: str) -> None:
    assert_problem(server.client.get(f"/episodes/show/differences?{query}"), 422, "invalid-input")


def assert_problem(answer: httpx.Response, status: int, slug: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.json()["type"] == f"urn:screenalytics:problem:{slug}"


def test_faces_are_not_kept_in_memory(
    server: Server, runs: tuple[str, str], tmp_path: Path
) -> None:
    """1,000 tracks of 40 sightings a run; what is held grows with the tracks alone."""
    layout = Layout(tmp_path)
    for name in runs:
        source, copy = folder(server, name), layout.run("show", name).folder
        copy.mkdir(parents=True)
        manifest = json.loads((source / "run.json").read_text())
        manifest["video"] |= {"frames": 1000 * 240}
        (copy / "run.json").write_text(json.dumps({**manifest, "effective_stride": 6}))
        track, face = (rows_of(source / f)[0] for f in ("tracks.jsonl", "detections.jsonl"))
        write(
            copy / "tracks.jsonl",
            [{**track, "track_id": f"track-{n + 1:05d}"} for n in range(1000)],
        )
        faces = (
            {**face, "frame_idx": 6 * n, "track_id": f"track-{n // 40 + 1:05d}"}
            for n in range(40_000)
        )
        with (copy / "detections.jsonl").open("w") as stream:
            stream.writelines(json.dumps(one) + "\n" for one in faces)
    tracemalloc.start()
    found = Differences(layout).of("show", *runs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(found.matched), found.only_a, found.only_b) == (1000, [], [])
    assert peak < 10_000_000  # the rows of one run are 13 MB of text
