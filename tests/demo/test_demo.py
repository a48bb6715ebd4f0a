"""The demo and its pictures, as a user runs them; and the demo episode against its truth."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import psutil
import pytest

from apps.common.contracts.rows import TrackRow
from apps.demo.demo import next_steps
from apps.results import contact_sheet
from lab.processes.service import clean_environment, run_cli
from tests.support.demo import check_seconds

EP_ID = "demo-s01e01"
STRIDE = 6
PEOPLE = 25  # identities in the ground truth: a face that comes back after a cut is a new one
Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in 0..1


def run_tool(
    name: str, *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", name, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=150,
        env=clean_environment(COLUMNS="200", **environment),
        stdin=subprocess.DEVNULL,
        check=False,
    )


def processes_of(data_root: Path) -> list[psutil.Process]:
    """Server and runs: both have the data root in their environment."""

    def belongs(process: psutil.Process) -> bool:
        try:
            return process.environ().get("SCREENALYTICS_DATA_ROOT") == str(data_root)
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if belongs(process)]


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def talk(test_data: Path) -> Path:
    return test_data / "videos" / "carphone_pristine.mp4"


def demo_on(source: Path, folder: Path, *options: str | Path, **environment: str) -> str:
    """What it says of a copy of the video, in a folder of its own and of the same name always."""
    folder.mkdir()
    video = shutil.copyfile(source, folder / "clip.mp4")
    done = run_tool("apps.cli.demo", "--video", video, *options, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_to_do_next_is_said_in_the_words_that_started_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, up, own in (
        ("MAKELEVEL", " make up,", "make demo VIDEO=FILE"),
        ("OTHER", " screenalytics up,", "screenalytics demo --video FILE"),
    ):
        monkeypatch.delenv("MAKELEVEL", raising=False)
        monkeypatch.setenv(name, "1")
        said = next_steps("clip", "r1", tmp_path)
        assert f"SCREENALYTICS_DATA_ROOT={tmp_path}{up}" in said
        assert own in said


def test_demo_on_own_videos(tmp_path: Path, talk: Path) -> None:
    """Two of one name: each is run, once under the name and once under one with a number; and is
    found again.
    """
    data_root = tmp_path / "data"
    said = demo_on(talk, tmp_path / "a", "--data-root", data_root)
    words = ("20 of 20", "Faces found", "On the screen", "CPU", "Memory", "CPUExecutionProvider")
    for word in words:
        assert word in said
    *_, heading, page, results, own = said.splitlines()
    assert heading == "What to do next:"
    assert f"SCREENALYTICS_DATA_ROOT={data_root} screenalytics up" in page
    assert "screenalytics demo --video" in own
    (folder,) = (data_root / "manifests" / "clip" / "runs").iterdir()
    assert f"/results?episode=clip&run={folder.name}" in results
    with av.open(str(folder / "preview.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 20
    sheet = cv2.imread(str(folder / "contact_sheet.jpg"))
    assert sheet is not None
    assert sheet.std() > 20  # pictures, not the background alone
    assert processes_of(data_root) == []
    port = int(re.search(r"http://127\.0\.0\.1:(\d+)", said)[1])
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 2):
        pass

    other = tmp_path / "other.mp4"
    other.write_bytes(talk.read_bytes() + b"\0\0\0\x08free")  # a box that players pass over
    for name in ("b", "c"):
        demo_on(other, tmp_path / name, "--stride", "60", SCREENALYTICS_DATA_ROOT=str(data_root))
    stored = {path.name: path / "episode.mp4" for path in (data_root / "videos").iterdir()}
    assert set(stored) == {"clip", "clip-2"}
    assert stored["clip"].read_bytes() == talk.read_bytes()
    assert stored["clip-2"].read_bytes() == other.read_bytes()
    runs = {name: list((data_root / "manifests" / name / "runs").iterdir()) for name in stored}
    assert {name: len(folders) for name, folders in runs.items()} == {"clip": 1, "clip-2": 2}


def test_demo_without_its_video(tmp_path: Path) -> None:
    """Its name is printed as it is: `bold` is a word of the library that prints."""
    name = "odd [bold] [hd].mp4"
    data_root = tmp_path / "data"
    done = run_tool("apps.cli.demo", "--video", name, "--data-root", data_root)
    assert done.returncode == 1
    assert "there is no file" in done.stdout
    assert name in done.stdout.replace("\n", "")
    assert "Traceback" not in done.stdout + done.stderr
    assert processes_of(data_root) == []


def test_demo_on_what_is_no_video(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("not a video")
    done = run_tool("apps.cli.demo", "--video", text, "--data-root", tmp_path / "data")
    assert done.returncode == 1
    assert "not a video" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert processes_of(tmp_path / "data") == []


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    """Folder of a run with tracks and without crops."""
    data_root = tmp_path_factory.mktemp("plain") / "data"
    video = test_data / "videos" / "carphone_pristine.mp4"
    arguments = ("--ep-id", "talk", "--video", str(video), "--run-id", "plain", "--stride", "12")
    done = run_cli(data_root, *arguments)
    assert done.returncode == 0, done.stderr
    return data_root / "manifests/talk/runs/plain"


def test_contact_sheet_tells_sightings_and_seconds_on_the_screen(plain_run: Path) -> None:
    [track] = read_jsonl(plain_run / "tracks.jsonl")
    assert track["screen_s"] > track["end_s"] - track["start_s"]
    title, seen, screen, faces = contact_sheet.label(TrackRow.model_validate(track))
    assert title == "Track 1"
    assert seen == f"seen 0:00.0 - 0:{track['end_s']:04.1f}"
    assert screen == f"on screen {track['screen_s']:.1f} s"
    assert faces.startswith(f"{track['stats']['detections']} faces, confidence 0.")


def check_says(folder: Path, what: str) -> None:
    done = run_tool("apps.cli.contact_sheet", folder)
    assert done.returncode == 1
    assert what in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "contact_sheet.jpg").exists()


def test_contact_sheet_without_crops(plain_run: Path) -> None:
    assert read_jsonl(plain_run / "tracks.jsonl")
    check_says(plain_run, "--save-crops")


@pytest.mark.parametrize(
    ("asked", "code", "what"),
    [
        (["--ep-id", "talk"], 1, "--save-crops"),  # its newest run was found
        (["--ep-id", "talk", "--run", "other"], 3, "has no run 'other'"),
        (["--ep-id", "nobody"], 3, "no completed run"),
        ([], 2, "or an episode with --ep-id"),
        (["folder", "--ep-id", "talk"], 2, "or an episode with --ep-id"),
    ],
)
def test_contact_sheet_of_an_episode(
    plain_run: Path, asked: list[str], code: int, what: str
) -> None:
    root = plain_run.parents[3]
    done = run_tool("apps.cli.contact_sheet", *asked, "--data-root", root)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert what in done.stderr


def test_contact_sheet_without_tracks(tmp_path: Path) -> None:
    (tmp_path / "tracks.jsonl").touch()
    check_says(tmp_path, "--save-crops")


def test_contact_sheet_of_no_run(tmp_path: Path) -> None:
    check_says(tmp_path / "nothing", "nothing is no folder of a completed run")


class Episode:
    """The demo episode's ground truth and what a run found in it."""

    def __init__(self, data_root: Path) -> None:
        self.video = video = data_root / "videos" / EP_ID
        self.run = run = data_root / "manifests" / EP_ID / "runs" / "demo"
        self.truth = json.loads((video / "ground_truth.json").read_text())
        self.faces = self._faces(video / "ground_truth.txt")
        self.metrics = json.loads((run / "track_metrics.json").read_text())
        self.tracks = read_jsonl(run / "tracks.jsonl")
        self.detections = read_jsonl(run / "detections.jsonl")

    def _faces(self, path: Path) -> list[tuple[int, int, Box]]:
        """Frame from 0, identity and box of every face."""
        width, height = self.truth["width"], self.truth["height"]
        faces = []
        for line in path.read_text().splitlines():
            frame, number, *sizes = line.split(",")
            x, y, w, h = map(float, sizes[:4])
            box = (x / width, y / height, (x + w) / width, (y + h) / height)
            faces.append((int(frame) - 1, int(number), box))
        return faces


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory, demo_episode: Path) -> Episode:
    data_root = tmp_path_factory.mktemp("demo") / "data"
    shutil.copytree(demo_episode, data_root / "videos" / EP_ID)
    arguments = ("--ep-id", EP_ID, "--stride", str(STRIDE), "--run-id", "demo")
    done = run_cli(data_root, *arguments)
    assert done.returncode == 0, done.stderr
    return Episode(data_root)


def overlap(one: Box, two: Box) -> float:
    """Intersection over union."""
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
    return shared / (sum(areas) - shared)


@pytest.mark.trap(7)
def test_every_cut_is_found_and_no_other(episode: Episode) -> None:
    """A cut shows at the first sampled frame at or after it."""
    expected = [-(-cut // STRIDE) * STRIDE for cut in episode.truth["cuts"]]
    assert episode.metrics["scene_cuts"] == expected
    assert len(expected) == 7


@pytest.mark.trap(15)
def test_as_many_tracks_as_people(episode: Episode) -> None:
    assert len(episode.truth["identities"]) == PEOPLE
    assert abs(len(episode.tracks) - PEOPLE) <= 1


@pytest.mark.trap(23)
def test_no_track_crosses_a_cut(episode: Episode) -> None:
    for track in episode.tracks:
        first, last = track["frame_span"]
        crossed = [cut for cut in episode.truth["cuts"] if first < cut <= last]
        assert not crossed, track["track_id"]


@pytest.mark.trap(16)
def test_tracked_detections_cover_the_true_faces(episode: Episode) -> None:
    found: dict[int, list[Box]] = {}
    for row in episode.detections:
        if row["track_id"] is not None:
            found.setdefault(row["frame_idx"], []).append(tuple(row["bbox"]))
    sampled = [(frame, box) for frame, _, box in episode.faces if frame % STRIDE == 0]
    covered = [
        any(overlap(box, other) >= 0.4 for other in found.get(frame, [])) for frame, box in sampled
    ]
    assert len(covered) > 150
    assert sum(covered) >= 0.9 * len(covered)


def test_seconds_on_the_screen_are_the_true_ones(episode: Episode) -> None:
    check_seconds(episode.video, episode.run)
