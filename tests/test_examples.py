"""The examples do what they say, against a real service, Redis and worker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from apps.demo.encode import write_video
from apps.demo.scene import ASTRONAUT, Camera, Episode, Shot, View, render_frames
from lab.paths import CHECKOUT
from lab.processes.queue import Redis, worker
from lab.processes.service import Server, add_episode, clean_environment, serving

EXAMPLES = CHECKOUT / "examples"
DONE = re.compile(r"(\S+): 1 tracks, (\d\.\d) s of faces")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of one face."""
    path = tmp_path_factory.mktemp("video") / "face.mp4"
    camera = Camera((View(256, 170, 512), View(250, 165, 490)))
    episode = Episode("face", (Shot(24, ASTRONAUT, camera),))
    write_video(path, episode, render_frames(episode))
    return path


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, video: Path) -> Path:
    root = tmp_path_factory.mktemp("service") / "data"
    for ep_id in ("followed", "queued"):
        add_episode(root, ep_id, video)
    return root


@pytest.fixture(scope="module")
def server(data_root: Path, broker: Redis) -> Iterator[Server]:
    with serving(data_root, SCREENALYTICS_REDIS_URL=broker.url) as running:
        yield running


@pytest.fixture(scope="module")
def run(server: Server, data_root: Path) -> Path:
    """The folder of a run that an example made."""
    done = example("follow_local_run.py", "followed", "--url", server.url, "--stride", 4)
    assert done.returncode == 0, done.stderr
    printed = DONE.fullmatch(done.stdout.strip())
    assert printed is not None, done.stdout
    assert "6 of 6 frames" in done.stderr
    return data_root / "manifests" / "followed" / "runs" / printed[1]


def example(name: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable] if name.endswith(".py") else ["bash"]
    return subprocess.run(
        [*program, str(EXAMPLES / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        check=False,
    )


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_local_run_is_followed(run: Path) -> None:
    assert json.loads((run / "run.json").read_text())["execution_mode"] == "local"


def test_a_refusal_is_printed_with_its_exit_code(server: Server) -> None:
    done = example("follow_local_run.py", "nobody", "--url", server.url)
    assert done.returncode == 3
    assert "nobody" in done.stderr
    assert done.stdout == ""


def test_a_job_is_queued_and_waited_for(server: Server, data_root: Path, broker: Redis) -> None:
    with worker(data_root, broker.url):
        done = example("queue_and_wait.py", "queued", "--url", server.url, "--stride", 4)
    assert done.returncode == 0, done.stderr
    printed = DONE.fullmatch(done.stdout.strip())
    assert printed is not None, done.stdout
    manifest = data_root / "manifests" / "queued" / "runs" / printed[1] / "run.json"
    assert json.loads(manifest.read_text())["execution_mode"] == "redis"


def test_a_queue_without_workers_is_reported(server: Server) -> None:
    done = example("queue_and_wait.py", "followed", "--url", server.url)
    assert done.returncode == 1
    assert "worker" in done.stderr


def test_results_become_tables(run: Path) -> None:
    done = example("to_pandas.py", run)
    assert done.returncode == 0, done.stderr
    (track,) = rows(run / "tracks.jsonl")
    line = next(line for line in done.stdout.splitlines() if "track-00001" in line)
    printed = line.split()
    assert float(printed[2]) == pytest.approx(track["screen_s"], abs=1e-3)
    assert printed[-2:] == [track["ended"], str(track["stats"]["detections"])]


def test_results_become_detections_of_supervision(run: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.png"
    done = example("to_supervision.py", run, "--video", video, "--out", out)
    assert done.returncode == 0, done.stderr
    printed = re.fullmatch(r"frame (\d+): 1 faces, drawn in .*", done.stdout.strip())
    assert printed is not None, done.stdout
    drawn, plain = cv2.imread(str(out)), picture(video, int(printed[1]))
    face = next(
        row for row in rows(run / "detections.jsonl") if row["frame_idx"] == int(printed[1])
    )
    height, width = plain.shape[:2]
    x1, y1, x2, y2 = (
        round(place * side) for place, side in zip(face["bbox"], (width, height) * 2, strict=True)
    )
    changed = (cv2.absdiff(drawn, plain) > 40).any(axis=2)
    assert changed[y1 : y2 + 1, x1 - 3 : x1 + 4].any(axis=1).mean() > 0.9  # the box's left side
    assert not changed[y1 + 10 : y2 - 10, x1 + 10 : x2 - 10].any()  # and nothing inside


def picture(video: Path, index: int) -> Any:
    film = cv2.VideoCapture(str(video))
    try:
        for _ in range(index + 1):
            found, image = film.read()
            assert found
        return image
    finally:
        film.release()


def test_a_folder_of_episodes_is_run_once(video: Path, tmp_path: Path) -> None:
    folder, root = tmp_path / "season one", tmp_path / "data"
    folder.mkdir()
    (folder / "Episode 1 (cut).mp4").symlink_to(video)
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "notes.txt").write_text("not a video")
    command = f"{sys.executable} -m apps.cli.main"
    call = [folder, "--stride", 4, "--profile", "low_power"]
    settings = {"SCREENALYTICS": command, "SCREENALYTICS_DATA_ROOT": str(root)}

    first, second = (example("run_folder.sh", *call, **settings) for _ in range(2))

    assert first.returncode == second.returncode == 1, first.stderr
    assert set(first.stdout.splitlines()) == {"Episode-1--cut-: done", "broken: exit code 3"}
    assert set(second.stdout.splitlines()) == {
        "Episode-1--cut-: has results",
        "broken: exit code 3",
    }
    assert len(list((root / "manifests" / "Episode-1--cut-" / "runs").iterdir())) == 1


def test_arguments_that_make_no_sense_end_the_folder(video: Path, tmp_path: Path) -> None:
    settings = {"SCREENALYTICS": f"{sys.executable} -m apps.cli.main"}
    done = example("run_folder.sh", video.parent, "--stride", 0, **settings)
    assert done.returncode == 2
    assert "--stride" in done.stderr
