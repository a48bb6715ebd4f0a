"""Runs and their files over HTTP: exactly what lies on disk, and nothing else from there."""

from __future__ import annotations

import http.client
import io
import json
import shutil
from pathlib import Path
from typing import Any, get_args

import av
import httpx
import pytest

from apps.common.contracts.manifest import TrackEnd
from lab.processes.service import Server, add_episode, wait_for
from tests.api.test_disconnect import send_request

DETECTION_KEYS = {
    "ep_id", "frame_idx", "ts_s", "bbox", "landmarks", "conf", "track_id", "model_id",
    "schema_version",
}  # fmt: skip
TRACK_KEYS = {
    "track_id", "ep_id", "start_s", "end_s", "screen_s", "screen_error_s", "ended", "frame_span",
    "sample_thumbs", "stats", "schema_version",
}  # fmt: skip
METRIC_KEYS = {
    "ep_id", "tracks_born", "tracks_lost", "longest_tracks", "avg_tracks_per_frame",
    "tracks_per_minute", "short_track_fraction", "total_frames", "frames_done", "analyzed_fps",
    "elapsed_sec", "device", "detector", "tracker", "scene_cuts", "scene_cuts_s",
    "scene_cuts_error_s", "detections_total",
    "track_to_detection_ratio", "screen_s", "screen_error_s",
}  # fmt: skip
PROGRESS_KEYS = {
    "phase", "frames_done", "frames_total", "video_frames_total", "elapsed_sec", "analyzed_fps",
    "eta_sec", "run_id", "updated_at",
}  # fmt: skip
NDJSON = {"accept": "application/x-ndjson"}
FRAMES, STRIDE, SAMPLED = 275, 12, 23  # of the clip, and of the run
CHEAP = {"stride": STRIDE, "det_size": 320, "cpu_threads": 1}


class Run:
    """A completed run, by HTTP and on disk."""

    def __init__(self, server: Server, result: dict[str, Any]) -> None:
        self.result = result
        self.id = result["run_id"]
        self.path = f"/episodes/{result['ep_id']}/runs/{self.id}"
        self.folder = server.data_root / "manifests" / result["ep_id"] / "runs" / self.id
        self._client = server.client

    def get(self, name: str = "", **options: Any) -> httpx.Response:
        return self._client.get(self.path + name, **options)

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def older(server: Server) -> Run:
    return Run(server, server.detect_track("show", stride=48, det_size=320).json())


@pytest.fixture(scope="module")
def run(server: Server, older: Run) -> Run:
    answer = server.detect_track("show", **CHEAP, save_crops=True, save_preview=True)
    assert answer.status_code == 200, answer.text
    return Run(server, answer.json())


def check_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(problem)
    assert problem["status"] == status
    return problem


def get_verbatim(server: Server, path: str) -> tuple[int, str, bytes]:
    """Sends the path as it is; httpx would resolve `..` before it leaves."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers["content-type"], answer.read()
    finally:
        connection.close()


def test_runs_newest_first(server: Server, run: Run, older: Run) -> None:
    body = server.client.get("/episodes/show/runs").json()
    assert [item["run_id"] for item in body["items"]] == [run.id, older.id]
    assert body["total"] == 2
    newest = body["items"][0]
    assert newest["status"] == "completed"
    assert newest["execution_mode"] == "local"
    assert newest["frames_done"] == SAMPLED
    assert newest["tracks"] == run.result["tracks"]
    assert newest["started_at"] <= newest["finished_at"]


def test_latest_names_the_newest_completed_run(server: Server, run: Run) -> None:
    for name in ("", "/progress", "/tracks", "/detections", "/metrics", "/log", "/preview"):
        latest = server.client.get(f"/episodes/show/runs/latest{name}")
        assert latest.status_code == 200
        assert latest.content == run.get(name).content
    stored = json.loads((server.data_root / "manifests/show/latest.json").read_text())
    assert stored["run_id"] == run.id
    assert server.client.get("/episodes/show").json()["latest_run_id"] == run.id


def test_manifest_says_what_ran(run: Run) -> None:
    body = run.get().json()
    assert (body["ep_id"], body["run_id"], body["status"]) == ("show", run.id, "completed")
    assert body["options"] == run.result["options"]
    assert set(body["sources"]) >= {"profile", "stride", "fps", "cpu_threads", "max_cpu_percent"}
    assert body["sources"]["stride"] == "request"
    assert {"python", "numpy", "onnxruntime", "av"} <= set(body["versions"])
    assert (body["device"], body["provider"]) == ("cpu", "CPUExecutionProvider")
    assert len(body["model"]["sha256"]) == 64
    assert "MIT" in body["model"]["licence"]
    assert (body["video"]["width"], body["video"]["frames"]) == (640, FRAMES)
    assert body["times"]
    assert body["counts"]
    assert set(body["cpu"]) == {"peak_percent", "mean_percent", "seconds", "waited_seconds"}
    assert body["cpu"]["seconds"] > 0
    assert body["peak_rss_mb"] > 0
    assert body["warnings"] == run.result["warnings"]
    assert body["exit_reason"]
    assert body["result"] == run.result
    for key, value in json.loads((run.folder / "run.json").read_text()).items():
        assert body[key] == value


@pytest.mark.trap(14)
def test_progress_is_what_the_run_wrote(run: Run) -> None:
    body = run.get("/progress").json()
    assert set(body) >= PROGRESS_KEYS
    assert body["phase"] == "done"
    assert body["frames_done"] == body["frames_total"] == SAMPLED
    assert body["video_frames_total"] == FRAMES
    assert body["run_id"] == run.id
    written = json.loads((run.folder / "progress.json").read_text())
    assert {key: body[key] for key in written} == written


@pytest.mark.parametrize("name", ["tracks", "detections"])
def test_pages_cover_every_row_once(run: Run, name: str) -> None:
    rows = run.lines(f"{name}.jsonl")
    assert len(rows) == run.result[name] > 7
    whole = run.get(f"/{name}").json()
    assert whole == {"items": rows, "total": len(rows), "offset": 0}
    pages = []
    for offset in range(0, len(rows) + 7, 7):
        page = run.get(f"/{name}", params={"offset": offset, "limit": 7}).json()
        assert (page["total"], page["offset"]) == (len(rows), offset)
        pages += page["items"]
    assert pages == rows
    beyond = run.get(f"/{name}", params={"offset": 10**9}).json()
    assert (beyond["items"], beyond["total"]) == ([], len(rows))


@pytest.mark.parametrize("name", ["tracks", "detections"])
@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=10001", "limit=x", "limit=1.5", "limit=", "limit=9" + "9" * 400,
     "offset=-1", "offset=x", "offset=1000000001"],
    ids=lambda query: query[:20],
)  # fmt: skip
def test_bounds_of_pages(run: Run, name: str, query: str) -> None:
    problem = check_problem(run.get(f"/{name}?{query}"), 422)
    assert query.partition("=")[0] in problem["detail"]


@pytest.mark.parametrize("name", ["tracks", "detections"])
def test_ndjson_is_the_file(run: Run, name: str) -> None:
    answer = run.get(f"/{name}", headers=NDJSON)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.content == (run.folder / f"{name}.jsonl").read_bytes()


def test_detections_are_det_v1(server: Server, run: Run) -> None:
    model = run.get().json()["model"]["id"]
    with av.open(str(server.data_root / "videos/show/episode.mp4")) as video:
        times = [frame.time for frame in video.decode(video=0)]  # the first one is not at zero
    for row in run.get("/detections").json()["items"]:
        assert set(row) == DETECTION_KEYS
        assert (row["ep_id"], row["schema_version"]) == ("show", "det_v1")
        assert row["model_id"] == model
        assert row["frame_idx"] % STRIDE == 0
        assert row["ts_s"] == pytest.approx(times[row["frame_idx"]], abs=0.001)
        x1, y1, x2, y2 = row["bbox"]
        assert 0 <= x1 < x2 <= 1
        assert 0 <= y1 < y2 <= 1
        assert [len(point) for point in row["landmarks"]] == [2] * 5
        assert 0 < row["conf"] <= 1


def test_tracks_are_track_v1_and_agree_with_the_detections(run: Run) -> None:
    detections = run.get("/detections").json()["items"]
    tracks = run.get("/tracks").json()["items"]
    for number, row in enumerate(tracks, start=1):
        assert set(row) == TRACK_KEYS
        assert row["track_id"] == f"track-{number:05d}"
        assert (row["ep_id"], row["schema_version"]) == ("show", "track_v1")
        own = [item for item in detections if item["track_id"] == row["track_id"]]
        assert row["frame_span"] == [own[0]["frame_idx"], own[-1]["frame_idx"]]
        assert [row["start_s"], row["end_s"]] == [own[0]["ts_s"], own[-1]["ts_s"]]
        assert set(row["stats"]) == {"detections", "avg_conf"}
        assert row["stats"]["detections"] == len(own)
        mean = sum(item["conf"] for item in own) / len(own)
        assert row["stats"]["avg_conf"] == pytest.approx(mean, abs=0.001)
        interval = STRIDE / 29.97  # a sighting stands for it, but for a half at the file's ends
        span = row["end_s"] - row["start_s"]
        assert (len(own) - 0.5) * interval < row["screen_s"] < span + 1.5 * interval
        assert 0 <= row["screen_error_s"] < 0.5  # 0 from cut to cut
        assert row["ended"] in get_args(TrackEnd)
    named = {item["track_id"] for item in detections} - {None}
    assert named == {row["track_id"] for row in tracks}


def test_metrics_have_the_contracts_keys(run: Run) -> None:
    body = run.get("/metrics").json()
    assert set(body) == METRIC_KEYS
    assert set(json.loads((run.folder / "track_metrics.json").read_text())) == METRIC_KEYS
    assert body["tracks_born"] == run.result["tracks"]
    assert body["detections_total"] == run.result["detections"]
    assert (body["total_frames"], body["frames_done"]) == (FRAMES, SAMPLED)


def test_seconds_on_the_screen_add_up(run: Run) -> None:
    tracks, body = run.get("/tracks").json()["items"], run.get("/metrics").json()
    total = sum(row["screen_s"] for row in tracks)
    assert body["screen_s"] == run.result["screen_s"] == pytest.approx(total, abs=0.01)
    assert 0 < body["screen_error_s"] == run.result["screen_error_s"]
    by_length = sorted(tracks, key=lambda row: -row["screen_s"])
    lengths = [row["duration_s"] for row in body["longest_tracks"]]
    assert lengths == pytest.approx([row["screen_s"] for row in by_length[:5]], abs=0.001)


def test_log_names_the_provider_in_use(run: Run) -> None:
    answer = run.get("/log")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "Using CPUExecutionProvider" in answer.text
    assert answer.content == (run.folder / "run.log").read_bytes()


def test_preview_plays(run: Run) -> None:
    answer = run.get("/preview")
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.content == (run.folder / "preview.mp4").read_bytes()
    with av.open(io.BytesIO(answer.content)) as container:
        (stream,) = container.streams.video
        assert (stream.width, stream.height) == (640, 360)
        frames = sum(1 for _ in container.decode(stream))
        assert frames >= SAMPLED
        assert frames / stream.average_rate == pytest.approx(FRAMES / 29.97, abs=0.5)


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-99", 0, 99), ("bytes=100-", 100, None), ("bytes=-50", -50, None)],
)
def test_preview_in_ranges(run: Run, asked: str, first: int, last: int | None) -> None:
    whole = (run.folder / "preview.mp4").read_bytes()
    answer = run.get("/preview", headers={"range": asked})
    assert answer.status_code == 206
    start = first % len(whole)
    end = len(whole) - 1 if last is None else last
    assert answer.headers["content-range"] == f"bytes {start}-{end}/{len(whole)}"
    assert answer.content == whole[start : end + 1]


@pytest.mark.parametrize("name", ["/preview", "/log"])
def test_a_range_past_the_end_is_a_problem(run: Run, name: str) -> None:
    answer = run.get(name, headers={"range": "bytes=999999999-"})
    assert "*/" in answer.headers["content-range"]  # RFC 9110: tells the size
    check_problem(answer, 416)


@pytest.mark.parametrize("asked", ["bytes=x", "bytes=5-1", "lines=1-2", "bytes"])
def test_a_range_that_cannot_be_read(run: Run, asked: str) -> None:
    """RFC 9110 lets a server pass over it or refuse it; a refusal is a problem as any other."""
    answer = run.get("/preview", headers={"range": asked})
    if answer.status_code != 200:
        check_problem(answer, answer.status_code)
        assert 400 <= answer.status_code < 500


@pytest.mark.trap(8)
def test_every_thumb_is_a_picture(run: Run) -> None:
    for row in run.get("/tracks").json()["items"]:
        assert row["sample_thumbs"]
        for thumb in row["sample_thumbs"]:
            answer = run.get(f"/{thumb}")
            assert answer.headers["content-type"] == "image/jpeg"
            assert answer.content == (run.folder / thumb).read_bytes()
            with av.open(io.BytesIO(answer.content), format="jpeg_pipe") as container:
                assert next(container.decode(video=0)).width > 8
    check_problem(run.get("/crops/track-00001/frame_999999.jpg"), 404)
    check_problem(run.get("/crops/track-99999/frame_000000.jpg"), 404)


@pytest.mark.parametrize(
    "crop",
    [
        "..%2f..%2frun.json", "..%2frun.json", "../../run.json", "../run.json",
        "%2e%2e/run.json", "%2e%2e%2f%2e%2e%2frun.json", "..%252frun.json", "..%5crun.json",
        "/etc/passwd", "%2fetc%2fpasswd", "//etc/passwd", "../../../../../../../../etc/passwd",
        "track-00001/..%2f..%2frun.json", "track-00001/../../run.json", "track-00001",
        "track-00001/", "", "track-00001/frame_000000.jpg%00",
        "track-%D9%A0%D9%A0%D9%A0%D9%A0%D9%A1/frame_000000.jpg", "%ff%fe",
    ],
)  # fmt: skip
def test_crops_lead_to_no_other_file(server: Server, run: Run, crop: str) -> None:
    status, kind, body = get_verbatim(server, f"{run.path}/crops/{crop}")
    assert status in (404, 422)
    assert kind == "application/problem+json"
    assert json.loads(body)["status"] == status
    assert b"root:" not in body


@pytest.mark.parametrize(
    "crop", [f"track-{'1' * 400}/frame_000001.jpg", f"track-00001/frame_{'1' * 400}.jpg"]
)
def test_names_too_long_for_the_disk(run: Run, crop: str) -> None:
    """No file system has such a file; asking for one must not be an error of the server."""
    answer = run.get(f"/crops/{crop}")
    assert answer.status_code in (404, 422)
    check_problem(answer, answer.status_code)


PARTS = ("", "/progress", "/tracks", "/detections", "/metrics", "/log", "/preview",
         "/crops/track-00001/frame_000000.jpg")  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_unknown_and_illegal_runs(server: Server, run: Run, part: str) -> None:
    problem = check_problem(server.client.get(f"/episodes/show/runs/nothing{part}"), 404)
    assert "nothing" in problem["detail"]
    assert "/episodes/show/runs" in problem["hint"]
    check_problem(server.client.get(f"/episodes/nobody/runs/{run.id}{part}"), 404)
    check_problem(server.client.get(f"/episodes/street/runs/{run.id}{part}"), 404)
    for illegal in ("a..b", ".partial", "a%00b", "a%0a", "x" * 129, "-x"):
        check_problem(server.client.get(f"/episodes/show/runs/{illegal}{part}"), 422)
        check_problem(server.client.get(f"/episodes/{illegal}/runs/{run.id}{part}"), 422)


def test_runs_of_unknown_and_illegal_episodes(server: Server) -> None:
    check_problem(server.client.get("/episodes/a..b/runs"), 422)
    answer = server.client.get("/episodes/nobody/runs")
    if answer.status_code == 200:  # an empty list is as good an answer as "no such episode"
        assert answer.json() == {"items": [], "total": 0}
    else:
        check_problem(answer, 404)
    check_problem(server.client.get("/episodes/street/runs/latest"), 404)


@pytest.mark.parametrize("part", ["/preview", "/crops/track-00001/frame_000000.jpg"])
def test_pictures_that_were_not_asked_for(older: Run, part: str) -> None:
    problem = check_problem(older.get(part), 404)
    assert "save_" in problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/episodes/show/nothing", 404),
        ("PUT", "/episodes/show", 405),
        ("POST", "/episodes/show/runs", 405),
        ("PUT", "/episodes/show/runs/latest/tracks", 405),
    ],
)
def test_other_paths_and_methods_are_problems(server, method: str, path: str, status: int) -> None:
    answer = server.client.request(method, path)
    check_problem(answer, status)
    assert (status != 405) or "GET" in answer.headers["allow"]


@pytest.mark.trap(10)
def test_a_cancelled_run_has_no_results(server: Server) -> None:
    connection = send_request(server, "left", stream=True, ep_id="talk")
    files = server.data_root / "manifests/talk/runs"
    wait_for(lambda: [*map(phase, files.glob("*/progress.json"))] == ["running"], 60, "the run")
    (running,) = server.client.get("/episodes/talk/runs").json()["items"]
    path = f"/episodes/talk/runs/{running['run_id']}"
    problem = check_problem(server.client.get(f"{path}/tracks"), 404)
    assert "running" in problem["detail"]
    connection.close()
    wait_for(lambda: server.client.get(path).json()["status"] == "cancelled", what="the run's end")
    for part in ("/tracks", "/detections", "/metrics", "/preview", PARTS[-1]):
        problem = check_problem(server.client.get(path + part, headers=NDJSON), 404)
        assert "cancelled" in problem["detail"]
        assert "completed" in problem["hint"]
    for part in ("/log", "/progress"):  # what happened can still be read
        assert server.client.get(path + part).status_code == 200
    check_problem(server.client.get("/episodes/talk/runs/latest"), 404)


def phase(path: Path) -> str:
    return str(json.loads(path.read_bytes())["phase"])


FOREIGN: dict[str, bytes | None] = {
    "empty": b"",
    "half": b'{"ep_id": "odd", "run_id": "half", "status": "comp',
    "binary": bytes(range(256)) * 20,
    "list": b"[]",
    "text": b'"completed"',
    "other": b'{"name": "another program", "version": 3}',
    "deep": b'{"a":' + b"[" * 100_000,
    "digits": b'{"pid": ' + b"9" * 10_000 + b"}",
    "surrogate": b'{"ep_id": "\\ud800", "run_id": "\\ud800", "status": "completed"}',
    "utf16": '{"ep_id": "odd"}'.encode("utf-16"),
    "folder": None,  # run.json is a folder
}


def make_run_folder(server: Server, name: str, content: bytes | None) -> Path:
    folder = server.data_root / "manifests/odd/runs" / name
    folder.mkdir(parents=True)
    if content is None:
        (folder / "run.json").mkdir()
    else:
        (folder / "run.json").write_bytes(content)
    return folder


def test_foreign_manifests_never_break_the_list(
    server: Server, older: Run, test_data: Path
) -> None:
    add_episode(server.data_root, "odd", test_data / "videos" / "carphone_pristine.mp4")
    good = "good"
    folder = make_run_folder(server, good, b"")
    shutil.copytree(older.folder, folder, dirs_exist_ok=True)
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(manifest | {"ep_id": "odd", "run_id": good}))
    for name, content in FOREIGN.items():
        make_run_folder(server, name, content)
    runs = server.data_root / "manifests/odd/runs"
    (runs / "without").mkdir()
    (runs / "a file").touch()
    (runs / "..hidden").mkdir()
    shutil.copytree(runs / good, runs / "copied")  # it says the name of the other run
    listed = server.client.get("/episodes/odd/runs")
    assert listed.status_code == 200, listed.text
    assert [item["run_id"] for item in listed.json()["items"]] == [good]
    for name in (*FOREIGN, "without", "copied"):
        for part in PARTS:
            check_problem(server.client.get(f"/episodes/odd/runs/{name}{part}"), 404)
    # Manifests are counted, not read.
    counted = sum(path.is_file() for path in runs.glob("*/run.json"))
    assert server.client.get("/episodes/odd").json()["runs"] == counted
    assert server.client.get("/episodes").status_code == 200
    again = server.detect_track("odd", stride=48).json()["run_id"]
    assert server.client.get("/episodes/odd/runs").json()["items"][0]["run_id"] == again


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\x00", b"[]", b'{"run_id": 7}', b'{"run_id": "../x"}', b'{"run_id": "latest"}',
     b'{"run_id": "gone"}', b'{"run_id": ""}'],
)  # fmt: skip
def test_a_foreign_latest_is_no_run(server: Server, older: Run, content: bytes) -> None:
    path = server.data_root / "manifests/show/latest.json"
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        check_problem(server.client.get("/episodes/show/runs/latest"), 404)
        assert server.client.get("/episodes/show").status_code == 200
        assert server.client.get("/episodes").status_code == 200
        assert server.client.get("/episodes/show/runs").status_code == 200
    finally:
        path.write_bytes(before)


def test_damaged_rows_and_numbers_still_answer(server: Server, run: Run) -> None:
    """A run whose files were damaged after it completed: what is readable is shown."""
    name = "damaged"
    folder = run.folder.with_name(name)
    shutil.copytree(run.folder, folder)
    try:
        manifest = json.loads((folder / "run.json").read_text())
        manifest |= {"run_id": name, "peak_rss_mb": float("nan")}
        (folder / "run.json").write_text(json.dumps(manifest))
        rows = (folder / "tracks.jsonl").read_bytes().splitlines(keepends=True)
        strange = [b"\xff\xfe\x00\n", b"[1]\n", b'{"conf": NaN}\n', b'{"half": \n', b"\n"]
        (folder / "tracks.jsonl").write_bytes(b"".join([rows[0], *strange, rows[1][:40]]))
        (folder / "track_metrics.json").write_bytes(b'{"ep_id": "show"')
        (folder / "progress.json").write_bytes(b"\x00")
        path = f"/episodes/show/runs/{name}"
        assert server.client.get("/episodes/show/runs").status_code == 200
        assert server.client.get(path).status_code == 200
        tracks = server.client.get(f"{path}/tracks")
        assert tracks.status_code == 200
        assert tracks.json()["items"][0] == json.loads(rows[0])
        check_problem(server.client.get(f"{path}/metrics"), 404)
        check_problem(server.client.get(f"{path}/progress"), 404)
    finally:
        shutil.rmtree(folder)


def test_a_run_that_did_not_measure_screen_time_is_read(run: Run) -> None:
    path = run.folder / "track_metrics.json"
    before = path.read_bytes()
    old = {name: value for name, value in json.loads(before).items() if "screen" not in name}
    path.write_text(json.dumps(old))
    try:
        assert run.get("/metrics").json() == {**old, "screen_s": None, "screen_error_s": None}
    finally:
        path.write_bytes(before)


def test_metrics_of_another_program_are_none(run: Run) -> None:
    path = run.folder / "track_metrics.json"
    before = path.read_bytes()
    path.write_bytes(b'{"ep_id": "show"}')
    try:
        check_problem(run.get("/metrics"), 404)
    finally:
        path.write_bytes(before)
