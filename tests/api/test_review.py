"""What a timeline shows, and boxes of a stretch of time, of real runs over HTTP."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.processes.service import Server

KEPT = "private, max-age=86400, immutable"
TRACKS, FACES, SECONDS, FPS, STRIDE = 2300, 100_000, 2400, 25, 6


class Run:
    """A completed run, by HTTP and on disk."""

    def __init__(self, server: Server, ep_id: str, run_id: str) -> None:
        self.path = f"/episodes/{ep_id}/runs/{run_id}"
        self.folder = server.data_root / "manifests" / ep_id / "runs" / run_id
        self._client = server.client

    def get(self, name: str, **parameters: Any) -> httpx.Response:
        return self._client.get(self.path + name, params=parameters)

    def review(self) -> dict[str, Any]:
        answer = self.get("/review")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def boxes(self, start_s: float, end_s: float) -> dict[str, Any]:
        answer = self.get("/boxes", start_s=start_s, end_s=end_s)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]


def made(server: Server, ep_id: str, **options: Any) -> Run:
    answer = server.detect_track(ep_id, **options)
    assert answer.status_code == 200, answer.text
    return Run(server, ep_id, answer.json()["run_id"])


@pytest.fixture(scope="module")
def show(server: Server) -> Run:
    """Of a clip with cuts that begins late."""
    return made(server, "show", stride=12, det_size=320, cpu_threads=1)


@pytest.fixture(scope="module")
def long(server: Server, show: Run) -> Run:
    """Forty minutes with many tracks."""
    run = copy_of(server, show, "long")
    manifest = json.loads((run.folder / "run.json").read_text())
    manifest["video"] |= {"frames": SECONDS * FPS, "fps": FPS, "duration_s": SECONDS}
    manifest["effective_stride"] = STRIDE
    (run.folder / "run.json").write_text(json.dumps(manifest))
    track, face = show.rows("tracks.jsonl")[0], show.rows("detections.jsonl")[0]
    samples = SECONDS * FPS // STRIDE
    length = FACES // TRACKS
    tracks, faces = [], []
    for number in range(TRACKS):
        first = number * (samples - length) // TRACKS
        name = f"track-{number + 1:05d}"
        span = [first * STRIDE, (first + length - 1) * STRIDE]
        tracks.append(
            {**track, "track_id": name, "frame_span": span, "start_s": span[0] / FPS,
             "end_s": span[1] / FPS}
        )  # fmt: skip
        for sample in range(first, first + length):
            frame = sample * STRIDE
            faces.append({**face, "frame_idx": frame, "ts_s": frame / FPS, "track_id": name})
    faces.sort(key=lambda row: row["frame_idx"])
    write(run, "tracks.jsonl", tracks)
    write(run, "detections.jsonl", faces)
    return run


def copy_of(server: Server, run: Run, run_id: str) -> Run:
    copy = Run(server, "show", run_id)
    shutil.copytree(run.folder, copy.folder)
    manifest = json.loads((copy.folder / "run.json").read_text())
    manifest["run_id"] = run_id
    (copy.folder / "run.json").write_text(json.dumps(manifest))
    return copy


def write(run: Run, name: str, rows: list[dict[str, Any]]) -> None:
    (run.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def check_lanes(body: dict[str, Any]) -> None:
    ends: dict[int, float] = {}
    tracks = body["tracks"]
    for start, end, lane in zip(tracks["start_s"], tracks["end_s"], tracks["lane"], strict=True):
        assert start >= ends.get(lane, -1.0)
        assert end >= start
        ends[lane] = end
    assert set(ends) == set(range(body["lanes"]))


def test_the_tracks_of_a_run(show: Run) -> None:
    body, rows = show.review(), show.rows("tracks.jsonl")
    tracks = body["tracks"]
    assert len({len(column) for column in tracks.values()}) == 1
    assert sorted(tracks["id"]) == sorted(row["track_id"] for row in rows)
    assert tracks["start_s"] == sorted(tracks["start_s"])
    by_name = {row["track_id"]: row for row in rows}
    faces = show.rows("detections.jsonl")
    for place, name in enumerate(tracks["id"]):
        row = by_name[name]
        own = [face for face in faces if face["track_id"] == name]
        heights = sorted(face["bbox"][3] - face["bbox"][1] for face in own)
        assert tracks["first_s"][place] == row["start_s"]
        assert tracks["last_s"][place] == row["end_s"]
        assert tracks["start_s"][place] <= row["start_s"] <= row["end_s"] <= tracks["end_s"][place]
        assert tracks["sightings"][place] == len(own)
        assert tracks["confidence"][place] == row["stats"]["avg_conf"]
        assert heights[0] - 1e-5 <= tracks["face_height"][place] <= heights[-1] + 1e-5
        assert tracks["screen_s"][place] == row["screen_s"]
        assert tracks["screen_error_s"][place] == row["screen_error_s"]
        assert tracks["ended"][place] == row["ended"]
    check_lanes(body)


def test_what_the_tracks_are_drawn_on(server: Server, show: Run) -> None:
    body = show.review()
    manifest = server.client.get(show.path).json()
    video = manifest["video"]
    assert (body["ep_id"], body["run_id"]) == ("show", manifest["run_id"])
    assert (body["width"], body["height"], body["fps"], body["stride"]) == (
        video["width"], video["height"], video["fps"], 12,
    )  # fmt: skip
    assert body["before_s"] == pytest.approx(11 / (2 * video["fps"]), abs=1e-5)
    assert body["after_s"] == pytest.approx(13 / (2 * video["fps"]), abs=1e-5)
    first_s = 10_214 / 11_988  # of the clip, which begins late
    assert body["duration_s"] == pytest.approx(first_s + video["duration_s"], abs=0.05)
    assert max(body["tracks"]["last_s"]) <= body["duration_s"]
    charts = show.get("/charts").json()
    # Charts count from samples; the cuts are at pictures 20, 82 and 211, as the run has found out.
    step_s = 12 / video["fps"]
    assert len(body["cuts_s"]) == len(charts["cuts_s"]) == 3
    for cut, sample, picture in zip(body["cuts_s"], charts["cuts_s"], (20, 82, 211), strict=True):
        assert sample - step_s < cut <= sample
        assert cut == pytest.approx(first_s + picture / video["fps"], abs=0.03)
    for cut in body["cuts_s"]:  # no bar goes over a cut that its sightings do not
        for start, end, first, last in zip(
            *(body["tracks"][name] for name in ("start_s", "end_s", "first_s", "last_s")),
            strict=True,
        ):
            if start < cut < end:
                assert first <= cut <= last


def passes(tracks: dict[str, list[Any]], place: int, wanted: dict[str, Any]) -> bool:
    """The filters of tracks once more, a line each."""
    height, screen_s = tracks["face_height"][place], tracks["screen_s"][place]
    return (
        wanted.get("min_screen_s", 0) <= screen_s <= wanted.get("max_screen_s", 1e9)
        and tracks["confidence"][place] >= wanted.get("min_confidence", 0)
        and height >= wanted.get("min_face_height", 0)
        and tracks["last_s"][place] >= wanted.get("from_s", 0)
        and tracks["first_s"][place] <= wanted.get("to_s", 1e9)
        and not (wanted.get("hide_single") and tracks["sightings"][place] == 1)
    )


@pytest.mark.parametrize(
    "wanted",
    [
        {"min_screen_s": 1.5},
        {"max_screen_s": 1.5},
        {"min_screen_s": 1.0, "max_screen_s": 3.0},
        {"min_confidence": 0.75},
        {"min_face_height": 0.2},
        {"from_s": 4.0},
        {"from_s": 2.0, "to_s": 3.0},
        {"hide_single": True, "min_confidence": 0.6, "to_s": 7.0},
    ],
    ids=str,
)
def test_tracks_are_filtered(show: Run, wanted: dict[str, Any]) -> None:
    tracks = show.review()["tracks"]
    expected = [one for n, one in enumerate(tracks["id"]) if passes(tracks, n, wanted)]
    assert 0 < len(expected) < len(tracks["id"])
    found = show.get("/tracks", **wanted, sort="start").json()
    assert sorted(row["track_id"] for row in found["items"]) == sorted(expected)
    assert found["total"] == len(expected)
    second = show.get("/tracks", **wanted, sort="start", offset=1, limit=1).json()
    assert (second["items"], second["total"]) == (found["items"][1:2], len(expected))
    kept = [row for row in show.rows("tracks.jsonl") if row["track_id"] in expected]
    assert show.get("/tracks", **wanted).json()["items"] == kept  # as they stand in the file


def test_tracks_of_a_single_sighting_are_hidden(server: Server, show: Run) -> None:
    run = copy_of(server, show, "single")
    rows = run.rows("tracks.jsonl")
    rows[1]["stats"]["detections"] = 1
    del rows[2]["stats"]["detections"]  # then its faces are counted
    write(run, "tracks.jsonl", rows)
    assert run.get("/tracks", hide_single=True).json()["items"] == [rows[0], *rows[2:]]


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        ({"min_screen_s": 2, "max_screen_s": 1}, "min_screen_s"),
        ({"from_s": 3.5, "to_s": 3.25}, "from_s"),
        ({"min_screen_s": -1}, "min_screen_s"),
        ({"min_confidence": 1.1}, "min_confidence"),
        ({"min_face_height": "nan"}, "min_face_height"),
        ({"to_s": "inf"}, "to_s"),
        ({"hide_single": "perhaps"}, "hide_single"),
        ({"min_height": 0.1}, "min_height"),
    ],
    ids=str,
)
def test_filters_that_are_none(show: Run, wanted: dict[str, Any], word: str) -> None:
    answer = show.get("/tracks", **wanted)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:screenalytics:problem:invalid-input"
    assert word in answer.json()["detail"]


def test_seconds_with_faces(show: Run, long: Run) -> None:
    body = show.review()
    seen = {face["frame_idx"] for face in show.rows("detections.jsonl") if face["track_id"]}
    share = len(seen) * body["stride"] / body["fps"] / body["length_s"]
    assert body["with_faces_s"] / body["length_s"] == pytest.approx(share, abs=0.06)
    assert 0 < body["with_faces_s"] <= body["length_s"]
    assert body["length_s"] == pytest.approx(275 / body["fps"], abs=0.05)
    assert max(body["tracks"]["screen_s"]) <= body["with_faces_s"] + 0.01
    assert long.review()["with_faces_s"] == pytest.approx(SECONDS, abs=2)  # there is always one


def test_results_may_be_kept_and_latest_not(show: Run, server: Server) -> None:
    for name, parameters in (("/review", {}), ("/boxes", {"start_s": 0, "end_s": 1})):
        assert show.get(name, **parameters).headers["cache-control"] == KEPT
        answer = server.client.get(f"/episodes/show/runs/latest{name}", params=parameters)
        assert answer.headers["cache-control"] == "no-cache"


def test_boxes_of_a_stretch(show: Run) -> None:
    review, faces = show.review(), show.rows("detections.jsonl")
    ids = review["tracks"]["id"]
    for start_s, end_s in ((0.0, 20.0), (3.0, 5.0), (4.4, 4.4), (6.01, 6.02)):
        body = show.boxes(start_s, end_s)
        times = body["time_s"]
        assert times == sorted(times)
        assert len(times) == len(body["track"]) == len(body["confidence"])
        assert len(body["box"]) == 4 * len(times)
        inside = [face for face in faces if start_s <= face["ts_s"] <= end_s]
        got = [n for n, time_s in enumerate(times) if start_s <= time_s <= end_s]
        assert [times[n] for n in got] == [face["ts_s"] for face in inside]
        for n, face in zip(got, inside, strict=True):
            assert body["box"][4 * n : 4 * n + 4] == face["bbox"]
            assert body["confidence"][n] == face["conf"]
            place = body["track"][n]
            assert (ids[place] if place >= 0 else None) == face["track_id"]
        for place, name in enumerate(ids):
            own = [face["ts_s"] for face in faces if face["track_id"] == name]
            if own[0] > end_s or own[-1] < start_s:
                assert place not in body["track"]
                continue
            wanted = [t for t in own if t < start_s][-1:] + [t for t in own if t > end_s][:1]
            outside = [
                t
                for t, other in zip(times, body["track"], strict=True)
                if other == place and not start_s <= t <= end_s
            ]
            assert outside == wanted


@pytest.mark.parametrize(
    "parameters",
    [
        {}, {"start_s": 1}, {"start_s": 5, "end_s": 4}, {"start_s": 0, "end_s": 601},
        {"start_s": "nan", "end_s": 1}, {"start_s": 0, "end_s": "inf"},
        {"start_s": "x", "end_s": 1}, {"start_s": 0, "end_s": 1, "track": 4},
        {"start_s": -1e300, "end_s": 1},
    ],
)  # fmt: skip
def test_stretches_that_are_none(show: Run, parameters: dict[str, Any]) -> None:
    answer = show.get("/boxes", **parameters)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith(":invalid-input")


def test_what_is_damaged_is_left_out(server: Server, show: Run) -> None:
    run = copy_of(server, show, "damaged")
    faces, tracks = (run.folder / name for name in ("detections.jsonl", "tracks.jsonl"))
    faces.write_text("{\n" + faces.read_text() + '{"frame_idx": 3')
    first, *others = tracks.read_text().splitlines(keepends=True)
    tracks.write_text("nothing\n" + "".join(others) + '{"track_id": "track-00001"}\n')
    name = json.loads(first)["track_id"]
    body, whole = run.review(), show.review()
    assert sorted(body["tracks"]["id"]) == sorted(set(whole["tracks"]["id"]) - {name})
    boxes = run.boxes(0, 60)
    assert boxes["time_s"] == show.boxes(0, 60)["time_s"]
    assert -1 in boxes["track"]  # the faces of the track that is not known any more
    (run.folder / "track_metrics.json").write_text("[]")
    tracks.write_text("")
    assert run.review()["tracks"]["id"] == []
    assert run.review()["lanes"] == 0
    faces.unlink()
    for answer in (run.get("/review"), run.get("/boxes", start_s=0, end_s=1)):
        assert answer.status_code == 404
        assert answer.json()["type"].endswith(":run-not-found")
    outside = server.data_root.parent / "outside.jsonl"
    shutil.copyfile(show.folder / "detections.jsonl", outside)
    faces.symlink_to(outside)
    assert run.get("/review").status_code == 404


@pytest.mark.parametrize("run_id", ["nobody", "..", "%2e%2e", ".partial", "..%2f..%2flatest"])
def test_reviews_of_no_run(server: Server, run_id: str) -> None:
    for name in ("review", "boxes?start_s=0&end_s=1"):
        answer = server.client.get(f"/episodes/show/runs/{run_id}/{name}")
        assert answer.status_code in (404, 422)
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_long_run_is_quick(server: Server, long: Run) -> None:
    """Counted in the server's CPU, which others on the machine hardly change."""
    begun = server.cpu_seconds()
    body = long.review()
    first = server.cpu_seconds() - begun
    assert len(body["tracks"]["id"]) == TRACKS
    check_lanes(body)
    assert body["lanes"] in (10, 11)  # so many at once
    begun = server.cpu_seconds()
    assert long.review() == body
    again = server.cpu_seconds() - begun
    begun, count = server.cpu_seconds(), 20
    for number in range(count):
        boxes = long.boxes(number * 100, number * 100 + 60)
        assert 2000 < len(boxes["time_s"]) < 3200
    each = (server.cpu_seconds() - begun) / count
    print(f"first review {first:.2f} s, again {again:.3f} s, a minute of boxes {each:.4f} s of CPU")
    assert first < 2.5
    assert again < 0.2
    assert each < 0.1


def test_too_many_faces_are_refused(server: Server, long: Run) -> None:
    run = copy_of(server, long, "crowded")
    face = long.rows("detections.jsonl")[0]
    write(run, "detections.jsonl", [{**face, "frame_idx": 0, "ts_s": 0.0}] * 50_100)
    answer = run.get("/boxes", start_s=0, end_s=1)
    assert answer.status_code == 422
    assert "shorter" in answer.json()["hint"]
    assert run.get("/boxes", start_s=1, end_s=60).status_code == 200


def test_two_people_at_once_read_a_file_once(server: Server, long: Run) -> None:
    run = copy_of(server, long, "shared")
    answers: list[httpx.Response] = []

    def ask() -> None:
        with server.another_client(60) as client:
            answers.append(client.get(f"{run.path}/review"))

    begun = server.cpu_seconds()
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = server.cpu_seconds() - begun
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    copy = copy_of(server, long, "alone")
    begun = server.cpu_seconds()
    copy.review()
    assert spent < 2 * (server.cpu_seconds() - begun) + 0.3


def test_a_server_remembers_and_a_changed_file_is_read_again(server: Server, show: Run) -> None:
    run = copy_of(server, show, "changing")
    before = run.boxes(0, 60)
    faces = run.rows("detections.jsonl")
    time.sleep(0.02)  # another time of the file
    write(run, "detections.jsonl", faces[::2])
    assert len(run.boxes(0, 60)["time_s"]) == (len(before["time_s"]) + 1) // 2


def test_the_paths_of_the_host_are_not_told(server: Server, show: Run, tmp_path: Path) -> None:
    del tmp_path
    assert str(server.data_root) not in show.get("/review").text
