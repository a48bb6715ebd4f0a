"""Clips and stills of an episode's video over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import httpx
import numpy as np
import psutil
import pytest

from apps.common.layout import Layout
from apps.pipeline.decode.video import open_video
from lab.processes.service import Server, gone, serving, wait_for
from tests.pipeline.videos import (
    H264,
    HEVC,
    Recipe,
    corners,
    read_number,
    write_numbered,
    write_repeated,
    write_video,
)
from tests.support.unread import NDJSON, unread_post

MAKER = "apps.cli.make_clip"
TURNED = Recipe(rotation=90, sample_aspect_ratio=Fraction(3, 2))


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("clips") / "data"
    write_numbered(folder(root, "plain") / "episode.mp4", 60, replace(H264, audio=True))
    write_video(folder(root, "turned") / "episode.mp4", [corners(96, 64)] * 30, TURNED)
    write_repeated(folder(root, "slow") / "episode.mp4", corners(1280, 720), 500, HEVC)
    (folder(root, "text") / "episode.mp4").write_text("<script>alert(1)</script>" * 100)
    shutil.copyfile(
        test_data / "videos" / "carphone_pristine.mp4", folder(root, "talk") / "episode.mp4"
    )
    return root


def folder(root: Path, name: str) -> Path:
    found = root / "videos" / name
    found.mkdir(parents=True, exist_ok=True)
    return found


@pytest.fixture(scope="module")
def server(data_root: Path) -> Iterator[Server]:
    with serving(data_root, SCREENALYTICS_MAX_CPU_PERCENT="200") as running:
        yield running


@pytest.fixture(scope="module")
def run_id(server: Server) -> str:
    answer = server.detect_track("talk", stride=12, det_size=320)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run_id"])


def make(server: Server, ep_id: str, **query: Any) -> dict[str, Any]:
    answer = server.client.post(f"/episodes/{ep_id}/clip", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def taken(server: Server, ep_id: str, to: Path, **query: Any) -> httpx.Response:
    answer = server.client.get(f"/episodes/{ep_id}/clip", params=query)
    assert answer.status_code == 200, answer.text
    to.write_bytes(answer.content)
    return answer


def numbers(path: Path) -> list[int | None]:
    with open_video(path, threads=1) as video:
        return [read_number(frame.picture.pixels()[:, :, ::-1]) for frame in video.decoded()]


def cache_of(server: Server, name: str) -> set[str]:
    found = Layout(server.data_root).playable(name)
    return {one.name for one in found.iterdir()} if found.is_dir() else set()


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["type"].endswith(f":{slug}"), body
    assert "/tmp" not in answer.text
    return body


def test_a_clip_is_copied_where_that_is_exact_and_else_encoded(
    server: Server, tmp_path: Path
) -> None:
    for kind, query, wanted in (
        ("copied", {"from_s": 0.48, "to_s": 0.92}, range(12, 24)),
        ("encoded", {"from_s": 0.3, "to_s": 1.0}, range(7, 26)),
    ):
        part = {"from_s": query["from_s"], "to_s": query["to_s"]}
        absent = server.client.get("/episodes/plain/clip", params=part)
        assert problem(absent, 404, "episode-not-found")["hint"] == "Make it with POST there."
        body = make(server, "plain", **part)
        assert body["kind"] == kind
        assert (body["from_s"], body["to_s"]) == pytest.approx(
            (wanted[0] / 25, wanted[-1] / 25 + 0.04)
        )
        answer = taken(server, "plain", tmp_path / f"{kind}.mp4", **part)
        assert len(answer.content) == body["size_bytes"]
        assert answer.headers["content-type"] == "video/mp4"
        assert f"plain_{query['from_s']:.2f}-" in answer.headers["content-disposition"]
        assert numbers(tmp_path / f"{kind}.mp4") == list(wanted)
        with av.open(str(tmp_path / f"{kind}.mp4")) as file:
            [sound] = file.streams.audio
            heard = [frame.time for frame in file.decode(sound)]
        assert len(heard) >= (body["to_s"] - body["from_s"]) * 48_000 / 1024 - 2
        # A second time it is there already.
        again = make(server, "plain", **part)
        assert again == {**body, "elapsed_seconds": 0.0}


def test_a_clip_of_a_track_with_and_without_its_boxes(
    server: Server, run_id: str, tmp_path: Path
) -> None:
    part = {"run": run_id, "track": "track-00001"}
    rows = Layout(server.data_root).run("talk", run_id).tracks.read_text().splitlines()
    track = next(row for row in map(json.loads, rows) if row["track_id"] == "track-00001")
    with open_video(folder(server.data_root, "talk") / "episode.mp4", threads=1) as video:
        end_s = video.index.end_s
    seen = []
    for boxes in (False, True):
        body = make(server, "talk", **part, boxes=boxes)
        assert body["from_s"] == pytest.approx(max(0, track["start_s"] - 0.5), abs=0.05)
        assert body["to_s"] == pytest.approx(min(end_s, track["end_s"] + 0.5), abs=0.05)
        target = tmp_path / f"{boxes}.mp4"
        answer = taken(server, "talk", target, **part, boxes=boxes)
        assert f"talk_{run_id}_track-00001" in answer.headers["content-disposition"]
        with open_video(target, threads=1) as video:
            seen.append(next(video.decoded()).picture.pixels().astype(int))
    height, width = min(seen[0].shape, seen[1].shape)[:2]  # encoded, sides are even
    plain, drawn = (picture[:height, :width] for picture in seen)
    assert np.abs(plain - drawn).max() > 100
    problem(
        server.client.post("/episodes/talk/clip", params={**part, "track": "track-09999"}),
        404, "run-not-found",
    )  # fmt: skip
    problem(
        server.client.post("/episodes/talk/clip", params={**part, "run": "nobody"}),
        404, "run-not-found",
    )  # fmt: skip


def test_its_progress_is_told(server: Server) -> None:
    part = {"from_s": 0.2, "to_s": 1.4}
    with server.client.stream(
        "POST", "/episodes/plain/clip", params=part, headers=NDJSON
    ) as answer:
        lines = [json.loads(line) for line in answer.iter_lines()]
    assert lines[-1]["type"] == "result"
    done = [line for line in lines if line["type"] == "progress" and line["phase"] == "done"]
    assert done
    assert (done[-1]["frames_done"], done[-1]["frames_total"]) == (31, 31)


@pytest.mark.parametrize(
    "query",
    [
        "", "from_s=1", "to_s=2", "from_s=2&to_s=1", "from_s=-1&to_s=1", "from_s=nan&to_s=1",
        "from_s=0&to_s=inf", "from_s=0&to_s=601", "from_s=90&to_s=91", "track=track-00001",
        "from_s=0&to_s=1&track=track-00001&run=latest", "run=x", "from_s=0&to_s=1&boxes=1",
        "run=..&track=track-00001", "run=latest&track=..", "from_s=0&to_s=1&other=1",
    ],
)  # fmt: skip
def test_parts_that_are_none(server: Server, query: str) -> None:
    problem(server.client.post(f"/episodes/plain/clip?{query}"), 422, "invalid-input")


def test_episodes_without_a_video_to_cut(server: Server) -> None:
    part = {"from_s": 0, "to_s": 1}
    nobody = server.client.post("/episodes/nobody/clip", params=part)
    problem(nobody, 404, "episode-not-found")
    text = server.client.post("/episodes/text/clip", params=part)
    problem(text, 422, "video-unreadable")
    problem(server.client.get("/episodes/text/still?t=0"), 422, "video-unreadable")
    problem(server.client.get("/episodes/nobody/still?t=0"), 404, "episode-not-found")


def test_leaving_ends_it_and_leaves_nothing(server: Server) -> None:
    part = "from_s=1&to_s=19"
    with unread_post(server, f"/episodes/slow/clip?{part}", stream=True):
        wait_for(lambda: makers(server), what="the clip's process")
        found = makers(server)
        rival = server.client.post(f"/episodes/slow/clip?{part}")
        problem(rival, 409, "playable-busy")
    wait_for(lambda: gone(found), what="the process to go")
    wait_for(lambda: cache_of(server, "slow") == set(), what="its file to go")


def makers(server: Server) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if MAKER in process.cmdline():
                found.append(process)
    return found


def test_clips_go_with_the_video_that_they_are_of(server: Server, data_root: Path) -> None:
    target = folder(data_root, "other") / "episode.mp4"
    write_numbered(target, 30, H264)
    part = {"from_s": 0.1, "to_s": 0.5}
    make(server, "other", **part)
    make(server, "other", from_s=0.1, to_s=0.6)
    old = cache_of(server, "other")
    assert len(old) == 4  # two clips with their notes
    write_numbered(target, 30, replace(H264, fps=24))
    os.utime(target, (2_000_000_000, 2_000_000_000))
    problem(server.client.get("/episodes/other/clip", params=part), 404, "episode-not-found")
    make(server, "other", **part)
    assert len(cache_of(server, "other") & old) == 0
    assert len(cache_of(server, "other")) == 2


def test_a_still_is_the_picture_of_that_time(server: Server) -> None:
    for ep_id, time, number in (("plain", 1.0, 25), ("plain", 1.039, 25), ("turned", 0.5, 12)):
        with open_video(folder(server.data_root, ep_id) / "episode.mp4", threads=1) as video:
            wanted = next(
                frame.picture.pixels() for frame in video.decoded() if frame.index == number
            )
        answer = server.client.get(f"/episodes/{ep_id}/still", params={"t": time})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/png"
        assert f"{ep_id}_{time:.3f}s.png" in answer.headers["content-disposition"]
        picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert np.array_equal(picture, wanted)
    assert picture.shape == (144, 64, 3)  # 96 pixels of 3:2 by 64, upright
    photo = server.client.get("/episodes/plain/still", params={"t": 0, "format": "jpeg"})
    assert photo.headers["content-type"] == "image/jpeg"
    assert photo.content.startswith(b"\xff\xd8")
    assert list(Layout(server.data_root).stills.iterdir()) == []


@pytest.mark.parametrize(
    "query", ["", "t=-1", "t=nan", "t=x", "t=2.4", "t=1e300", "t=1&format=gif", "t=1&other=1"]
)
def test_stills_of_no_time(server: Server, query: str) -> None:
    problem(server.client.get(f"/episodes/plain/still?{query}"), 422, "invalid-input")
