"""Pictures of tracks and episodes, and previews on demand, of real runs over HTTP."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import httpx
import numpy as np
import psutil
import pytest

from apps.common.layout import RunFiles
from apps.runs.preview import making_preview
from lab.processes.service import (
    LOWERED_NICE,
    Server,
    add_episode,
    gone,
    serving,
    wait_for,
)
from tests.pipeline.videos import H264, corners, write_video
from tests.support.unread import NDJSON, unread_post

KEPT = "private, max-age=86400, immutable"
MAKER = "apps.cli.make_preview"
FEW = {"stride": 25, "cpu_threads": 1, "max_cpu_percent": 400}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("pictures") / "data"
    for name in ("show", "crowd"):
        add_episode(root, name, test_data / "videos" / "short_hamilton_clip.mp4")
    add_episode(root, "street", test_data / "videos" / "facenet_video.mp4")
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    return root


@pytest.fixture(scope="module")
def server(data_root: Path) -> Iterator[Server]:
    with serving(data_root) as running:
        yield running


def completed(server: Server, ep_id: str, **options: Any) -> dict[str, Any]:
    answer = server.detect_track(ep_id, **options)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


@pytest.fixture(scope="module")
def plain(server: Server) -> dict[str, Any]:
    return completed(server, "street", **FEW)


@pytest.fixture(scope="module")
def with_crops(server: Server) -> dict[str, Any]:
    return completed(server, "street", **FEW, save_crops=True)


@pytest.fixture(scope="module")
def with_preview(server: Server) -> dict[str, Any]:
    return completed(server, "talk", stride=48, max_cpu_percent=400, save_preview=True)


@pytest.fixture(scope="module")
def talk(server: Server, with_preview: dict[str, Any]) -> dict[str, Any]:
    """A run without a preview."""
    return copy_of(server, with_preview, "plain")


@pytest.fixture(scope="module")
def empty(server: Server) -> dict[str, Any]:
    """Of a video without faces."""
    folder = server.data_root / "videos" / "empty"
    folder.mkdir()
    write_video(folder / "episode.mp4", [corners(160, 120)] * 30)
    return completed(server, "empty", stride=10)


def copy_of(
    server: Server, result: dict[str, Any], run_id: str, ep_id: str = "talk"
) -> dict[str, Any]:
    """The run once more, under another name and without its preview."""
    artifacts = {k: v for k, v in result["artifacts"].items() if k != "preview"}
    copy = {**result, "ep_id": ep_id, "run_id": run_id, "artifacts": artifacts}
    folder = folder_of(server, copy)
    shutil.copytree(folder_of(server, result), folder, ignore=shutil.ignore_patterns("preview.mp4"))
    body = json.loads((folder / "run.json").read_text())
    body |= {"ep_id": ep_id, "run_id": run_id, "result": copy}
    (folder / "run.json").write_text(json.dumps(body))
    return copy


def folder_of(server: Server, result: dict[str, Any]) -> Path:
    return server.data_root / "manifests" / result["ep_id"] / "runs" / result["run_id"]


def path_of(result: dict[str, Any]) -> str:
    return f"/episodes/{result['ep_id']}/runs/{result['run_id']}"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "tracks.jsonl").read_text().splitlines()]


def check_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"].endswith(f":{slug}"), body
    assert "/tmp" not in answer.text
    return body


def picture(answer: httpx.Response) -> np.ndarray[Any, Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    image: np.ndarray[Any, Any] = cv2.imdecode(np.frombuffer(answer.content, np.uint8), 1)
    return image


# --- tracks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "with_crops"])
def test_every_track_has_a_picture_of_its_face(
    server: Server, kind: str, request: pytest.FixtureRequest
) -> None:
    result = request.getfixturevalue(kind)
    folder = folder_of(server, result)
    names = [row["track_id"] for row in rows_of(folder)]
    assert len(names) == result["tracks"] >= 10
    assert {path.name for path in (folder / "thumbs").iterdir()} == {f"{n}.jpg" for n in names}
    assert result["artifacts"]["thumbs"].endswith("/thumbs")
    assert (folder / "crops").exists() == (kind == "with_crops")
    for name in names:
        answer = server.client.get(f"{path_of(result)}/tracks/{name}/thumbnail")
        image = picture(answer)
        assert answer.headers["cache-control"] == KEPT
        assert max(image.shape[:2]) == 96
        assert 30 < image.mean() < 230
        assert image.std() > 20
        assert len(answer.content) < 12_000


def test_the_picture_shows_the_tracks_best_face(server: Server, with_crops: dict[str, Any]) -> None:
    """It looks like one of the best crops, which are cut with the same margin."""
    folder = folder_of(server, with_crops)
    for row in rows_of(folder):
        thumb = cv2.imread(str(folder / "thumbs" / f"{row['track_id']}.jpg"))
        crops = folder / "crops" / row["track_id"]
        distances = []
        for crop in crops.iterdir():
            same = cv2.resize(cv2.imread(str(crop)), thumb.shape[1::-1], None, 0, 0, cv2.INTER_AREA)
            distances.append(float(np.abs(same.astype(int) - thumb).mean()))
        assert min(distances) < 12, row["track_id"]


def test_both_runs_have_the_same_tracks(plain: dict[str, Any], with_crops: dict[str, Any]) -> None:
    assert plain["tracks"] == with_crops["tracks"]


def test_latest_is_not_kept(server: Server, with_crops: dict[str, Any]) -> None:
    address = "/episodes/street/runs/latest/tracks/track-00001/thumbnail"
    assert server.client.get(address).headers["cache-control"] == "no-cache"


def test_crops_may_be_kept(server: Server, with_crops: dict[str, Any]) -> None:
    crop = rows_of(folder_of(server, with_crops))[0]["sample_thumbs"][0]
    answer = server.client.get(f"{path_of(with_crops)}/{crop}")
    picture(answer)
    assert answer.headers["cache-control"] == KEPT


def test_a_run_of_an_older_version(
    server: Server, with_crops: dict[str, Any], plain: dict[str, Any]
) -> None:
    """It has crops and no thumbs, or neither."""
    folder = folder_of(server, with_crops)
    address = f"{path_of(with_crops)}/tracks/track-00002/thumbnail"
    (folder / "thumbs").rename(folder / "away")
    try:
        answer = server.client.get(address)
        best = rows_of(folder)[1]["sample_thumbs"][0]
        assert answer.content == (folder / best).read_bytes()
        assert answer.headers["cache-control"] == KEPT
        before = (folder / "tracks.jsonl").read_bytes()
        for sample in ('["../../../../../etc/passwd"]', "[1]", "{}", "[]", '["crops/x.jpg"]'):
            row = f'{{"track_id": "track-00002", "sample_thumbs": {sample}}}\n'
            (folder / "tracks.jsonl").write_text(row)
            check_problem(server.client.get(address), 404, "run-not-found")
        (folder / "tracks.jsonl").write_bytes(before)
    finally:
        (folder / "away").rename(folder / "thumbs")
    folder = folder_of(server, plain)
    (folder / "thumbs").rename(folder / "away")
    try:
        address = f"{path_of(plain)}/tracks/track-00002/thumbnail"
        check_problem(server.client.get(address), 404, "run-not-found")
    finally:
        (folder / "away").rename(folder / "thumbs")


@pytest.mark.parametrize(
    ("track", "status"),
    [
        ("track-99999", 404), ("track-1", 422), ("track-0000a", 422), ("track-00001%0a", 422),
        ("..", 404), ("%2e%2e", 422), ("..%2f..%2frun.json", 404), ("track-00001.jpg", 422),
        ("track-%D9%A0%D9%A0%D9%A0%D9%A0%D9%A1", 422), ("%ff", 422), (f"track-{'1' * 300}", 422),
    ],
)  # fmt: skip
def test_names_of_no_track(server: Server, plain: dict[str, Any], track: str, status: int) -> None:
    answer = server.client.get(f"{path_of(plain)}/tracks/{track}/thumbnail")
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_link_out_of_the_data_root_is_not_followed(server: Server, plain: dict[str, Any]) -> None:
    thumb = folder_of(server, plain) / "thumbs" / "track-00003.jpg"
    outside = server.data_root.parent / "outside.jpg"
    thumb.rename(outside)
    thumb.symlink_to(outside)
    try:
        address = f"{path_of(plain)}/tracks/track-00003/thumbnail"
        check_problem(server.client.get(address), 404, "run-not-found")
    finally:
        outside.replace(thumb)


def test_a_killed_run_leaves_none(server: Server) -> None:
    answers: list[httpx.Response] = []
    slow = {"stride": 1, "max_cpu_percent": 30, "run_id": "killed", "save_crops": True}
    thread = threading.Thread(target=lambda: answers.append(server.detect_track("show", **slow)))
    thread.start()
    folder = server.data_root / "manifests/show/runs/killed"
    wait_for(lambda: list(folder.glob(".partial/**/*.jpg")), what="a first picture")
    assert not (folder / "thumbs").exists()
    assert not (folder / "crops").exists()
    server.run_processes()[0].send_signal(signal.SIGTERM)
    thread.join()
    assert answers[0].status_code == 500
    assert {path.name for path in folder.iterdir()} <= {"run.json", "progress.json", "run.log"}
    address = "/episodes/show/runs/killed/tracks/track-00001/thumbnail"
    check_problem(server.client.get(address), 404, "run-not-found")


def test_a_video_without_faces_has_no_pictures(server: Server, empty: dict[str, Any]) -> None:
    assert empty["tracks"] == 0
    assert "thumbs" not in empty["artifacts"]
    assert not (folder_of(server, empty) / "thumbs").exists()


# --- episodes ----------------------------------------------------------------------------------


def decoders(server: Server) -> list[psutil.Process]:
    return [p for p in psutil.Process(server.process.pid).children() if "picture" in words_of(p)]


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; empty where it has ended."""
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def test_an_episodes_picture(server: Server) -> None:
    answer = server.client.get("/episodes/show/thumbnail")
    image = picture(answer)
    assert image.shape == (180, 320, 3)
    assert image.std() > 20
    assert answer.headers["cache-control"].startswith("private, max-age=")
    before = server.children_cpu_seconds()
    again = server.client.get("/episodes/show/thumbnail")
    assert server.children_cpu_seconds() == before  # nothing was decoded
    assert again.content == answer.content


def test_many_at_once_decode_once(server: Server) -> None:
    seen: set[int] = set()
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(server.client.get("/episodes/crowd/thumbnail"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.update(process.pid for process in decoders(server))
        time.sleep(0.05)
    assert len(seen) == 1
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    folder = server.data_root / ".cache/pictures/crowd"
    assert len(list(folder.iterdir())) == 1


def test_few_decode_at_a_time(server: Server) -> None:
    source = write_video(server.data_root.parent / "many.mp4", [corners(160, 120)] * 30)
    names = [f"many-{n}" for n in range(3)]
    for name in names:
        add_episode(server.data_root, name, source)
    max_decoders = 0
    statuses: list[int] = []

    def ask(name: str) -> None:
        statuses.append(server.client.get(f"/episodes/{name}/thumbnail").status_code)

    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        max_decoders = max(max_decoders, len(decoders(server)))
        time.sleep(0.05)
    assert statuses == [200] * 3
    assert 1 <= max_decoders <= 2


def test_a_replaced_video_has_another_picture(server: Server) -> None:
    episode = server.data_root / "videos" / "changing"
    episode.mkdir()
    write_video(episode / "episode.mp4", [corners(160, 120)] * 12)
    first = picture(server.client.get("/episodes/changing/thumbnail"))
    write_video(episode / "episode.mp4", [corners(160, 120)[:, ::-1].copy()] * 14)
    second = picture(server.client.get("/episodes/changing/thumbnail"))
    assert np.abs(first.astype(int) - second).mean() > 40
    assert len(list((server.data_root / ".cache/pictures/changing").iterdir())) == 1


def test_an_unreadable_video_is_tried_once(server: Server) -> None:
    for content in (b"", b"no video at all\n" * 100, b"#EXTM3U\n/etc/passwd\n"):
        name = f"broken-{len(content)}"
        video = server.data_root / "videos" / name / "episode.mp4"
        video.parent.mkdir()
        video.write_bytes(content)
        check_problem(server.client.get(f"/episodes/{name}/thumbnail"), 422, "video-unreadable")
        before = server.children_cpu_seconds()
        check_problem(server.client.get(f"/episodes/{name}/thumbnail"), 422, "video-unreadable")
        assert server.children_cpu_seconds() == before
    write_video(video, [corners(160, 120)] * 12)
    picture(server.client.get(f"/episodes/{name}/thumbnail"))


@pytest.mark.parametrize(
    ("name", "status"),
    [("nobody", 404), ("..", 404), ("%2e%2e", 422), ("..%2f..", 404), (".cache", 422)],
)
def test_pictures_of_no_episode(server: Server, name: str, status: int) -> None:
    answer = server.client.get(f"/episodes/{name}/thumbnail")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


# --- previews on demand ------------------------------------------------------------------------


def makers(server: Server) -> list[psutil.Process]:
    family = psutil.Process(server.process.pid).children(recursive=True)
    return [process for process in family if MAKER in words_of(process)]


def frames_of(path: Path) -> tuple[int, tuple[int, int]]:
    with av.open(str(path)) as container:
        (stream,) = container.streams.video
        return sum(1 for _ in container.decode(stream)), (stream.width, stream.height)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_preview_is_the_one_that_a_run_makes(
    server: Server, with_preview: dict[str, Any]
) -> None:
    result = copy_of(server, with_preview, "without")
    folder, before = folder_of(server, result), names_in(folder_of(server, result))
    answer = server.client.post(f"{path_of(result)}/preview")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.pop("elapsed_seconds") > 0
    assert body == {
        "status": "completed", "ep_id": "talk", "run_id": result["run_id"],
        "artifact": "preview.mp4",
    }  # fmt: skip
    assert names_in(folder) == before | {"preview.mp4"}
    expected = folder_of(server, with_preview) / "preview.mp4"
    assert frames_of(folder / "preview.mp4") == frames_of(expected)
    assert (folder / "preview.mp4").read_bytes() == expected.read_bytes()
    manifest = server.client.get(path_of(result)).json()
    assert manifest["result"]["artifacts"]["preview"].endswith("/preview.mp4")
    served = server.client.get(f"{path_of(result)}/preview")
    assert served.headers["cache-control"] == KEPT
    assert served.content == expected.read_bytes()

    before = server.children_cpu_seconds()
    again = server.client.post(f"{path_of(result)}/preview")
    assert server.children_cpu_seconds() == before
    assert again.json() == {**body, "elapsed_seconds": 0.0}
    streamed = server.client.post(f"{path_of(result)}/preview", headers=NDJSON)
    assert streamed.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["type"] for line in streamed.text.splitlines()] == ["result"]


def test_a_preview_tells_its_progress(server: Server, talk: dict[str, Any]) -> None:
    """Another program makes it first, and is killed: what it left is cleared away."""
    result = copy_of(server, talk, "told")
    slow_down(server, result, 20)
    folder = folder_of(server, result)
    (folder / ".partial").mkdir()
    (folder / ".partial" / "preview.mp4").write_bytes(b"half")
    with making_preview(RunFiles(folder)):
        answer = server.client.post(f"{path_of(result)}/preview")
        check_problem(answer, 409, "preview-busy")
    lines: list[dict[str, Any]] = []
    with server.client.stream("POST", f"{path_of(result)}/preview", headers=NDJSON) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        for line in answer.iter_lines():
            lines.append(json.loads(line))
            if len(lines) == 2:
                (maker,) = makers(server)
                wait_for(lambda: maker.nice() == LOWERED_NICE, what="its priority to be low")  # noqa: B023
    assert lines[-1]["type"] == "result"
    assert lines[-1]["run_id"] == result["run_id"]
    beats = [line for line in lines if line["type"] == "progress"]
    assert {beat["phase"] for beat in beats} >= {"preview"}
    assert [beat["frames_done"] for beat in beats] == sorted(b["frames_done"] for b in beats)
    assert beats[-1]["frames_total"] == 120
    assert beats[-1]["frames_done"] == 120
    assert not (folder / ".partial").exists()
    assert frames_of(folder / "preview.mp4")[0] == 120


@pytest.fixture
def slow_run(
    server: Server, talk: dict[str, Any], request: pytest.FixtureRequest
) -> dict[str, Any]:
    """A run without a preview, whose budget can be made small."""
    return copy_of(server, talk, re.sub(r"\W+", "-", request.node.name).strip("-"))


def slow_down(server: Server, result: dict[str, Any], percent: int = 5) -> None:
    path = folder_of(server, result) / "run.json"
    body = json.loads(path.read_text())
    body["options"]["max_cpu_percent"] = percent
    path.write_text(json.dumps(body))


@pytest.mark.parametrize("stream", [False, True], ids=["json", "ndjson"])
@pytest.mark.parametrize("when", ["at once", "drawing"])
def test_a_preview_dies_with_its_client(
    server: Server, slow_run: dict[str, Any], stream: bool, when: str
) -> None:
    folder, before = folder_of(server, slow_run), names_in(folder_of(server, slow_run))
    slow_down(server, slow_run)
    with unread_post(server, f"{path_of(slow_run)}/preview", stream=stream):
        processes = wait_for(lambda: makers(server), what="the preview to start")
        if when == "drawing":
            wait_for(lambda: (folder / ".partial").is_dir(), what="the drawing to begin")
            check_problem(server.client.post(f"{path_of(slow_run)}/preview"), 409, "preview-busy")
    wait_for(lambda: gone(processes) and not makers(server), what="its end")
    wait_for(lambda: names_in(folder) == before, what="the folder as it was")
    assert server.client.get(path_of(slow_run)).json()["status"] == "completed"


def test_a_stopped_preview_dies_too(server: Server, slow_run: dict[str, Any]) -> None:
    folder, before = folder_of(server, slow_run), names_in(folder_of(server, slow_run))
    slow_down(server, slow_run)
    with unread_post(server, f"{path_of(slow_run)}/preview", stream=True):
        processes = wait_for(lambda: makers(server), what="the preview to start")
        wait_for(lambda: (folder / ".partial").is_dir(), what="the drawing to begin")
        for process in processes:
            process.suspend()
    wait_for(lambda: gone(processes), what="its end")
    wait_for(lambda: names_in(folder) == before, what="the folder as it was")


def test_a_preview_whose_process_is_killed(server: Server, slow_run: dict[str, Any]) -> None:
    folder, before = folder_of(server, slow_run), names_in(folder_of(server, slow_run))
    slow_down(server, slow_run)
    answers: list[httpx.Response] = []
    address = f"{path_of(slow_run)}/preview"
    thread = threading.Thread(target=lambda: answers.append(server.client.post(address)))
    thread.start()
    (maker,) = wait_for(lambda: makers(server), what="the preview to start")
    wait_for(lambda: (folder / ".partial").is_dir(), what="the drawing to begin")
    maker.kill()
    thread.join()
    assert check_problem(answers[0], 500, "run-failed")["run_exit_code"] == -9
    assert names_in(folder) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_preview_dies_with_the_server(
    data_root: Path, slow_run: dict[str, Any], number: signal.Signals
) -> None:
    with serving(data_root) as server:
        folder = folder_of(server, slow_run)
        slow_down(server, slow_run)
        with unread_post(server, f"{path_of(slow_run)}/preview", stream=True):
            processes = wait_for(lambda: makers(server), what="the preview to start")
            wait_for(lambda: (folder / ".partial").is_dir(), what="the drawing to begin")
            server.process.send_signal(number)
            server.process.wait(timeout=60)
            wait_for(lambda: gone(processes), what="the orphan's end")
    assert not (folder / "preview.mp4").exists()
    assert not list(folder.glob(".partial/*"))


def test_the_video_is_gone_or_another(
    server: Server, talk: dict[str, Any], test_data: Path
) -> None:
    add_episode(server.data_root, "swap", test_data / "videos" / "carphone_pristine.mp4")
    result = copy_of(server, talk, "swapped", "swap")
    video = server.data_root / "videos/swap/episode.mp4"
    address = f"{path_of(result)}/preview"
    shutil.copyfile(test_data / "videos" / "short_hamilton_clip.mp4", video)
    body = check_problem(server.client.post(address), 409, "video-replaced")
    assert "275 frames" in body["detail"]
    assert body["hint"]
    write_video(video, [corners(176, 144)] * 60, H264)
    # A stream may have begun before the video is read: then its last line is the problem.
    last = json.loads(server.client.post(address, headers=NDJSON).text.splitlines()[-1])
    problem = last.get("problem", last)
    assert "60 frames" in problem.pop("detail")
    body.pop("detail")
    assert problem == body
    video.write_bytes(b"no video any more")
    check_problem(server.client.post(address), 422, "video-unreadable")
    video.unlink()
    assert check_problem(server.client.post(address), 404, "episode-not-found")["hint"]
    assert not (folder_of(server, result) / ".partial").exists()


def test_a_copy_is_the_same_video_and_one_of_the_same_shape_is_not(
    server: Server, empty: dict[str, Any]
) -> None:
    result = copy_of(server, empty, "twin", "empty")
    video = server.data_root / "videos/empty/episode.mp4"
    kept = shutil.copyfile(video, server.data_root / "kept.mp4")
    write_video(video, [corners(160, 120)[:, ::-1].copy()] * 30)
    refused = server.client.post(f"{path_of(result)}/preview")
    body = check_problem(refused, 409, "video-replaced")
    assert "another video (episode.mp4, " in body["detail"]
    assert not (folder_of(server, result) / "preview.mp4").exists()
    video.write_bytes(kept.read_bytes())  # later, so its times are others
    assert server.client.post(f"{path_of(result)}/preview").status_code == 200


@pytest.mark.parametrize(
    ("run", "status"),
    [("nobody", 404), ("..", 404), ("%2e%2e", 422), ("..%2f..", 404), (".partial", 422)],
)
def test_previews_of_no_run(server: Server, run: str, status: int) -> None:
    answer = server.client.post(f"/episodes/talk/runs/{run}/preview")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_run_that_did_not_complete_gets_none(server: Server, talk: dict[str, Any]) -> None:
    folder = folder_of(server, copy_of(server, talk, "halted"))
    body = json.loads((folder / "run.json").read_text())
    body["status"] = "cancelled"
    (folder / "run.json").write_text(json.dumps(body))
    answer = server.client.post("/episodes/talk/runs/halted/preview")
    assert check_problem(answer, 404, "run-not-found")["run_status"] == "cancelled"
