"""A completed run is scored and its errors drawn; any other is refused with a sentence."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from apps.demo.encode import write_episode
from lab.evaluate import main
from lab.paths import CHECKOUT
from tests.lab.test_evaluate import colours, short_episode

EP_ID, RUN_ID = "short", "every-2nd"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the run of an episode in which two people stand at the same place."""
    root = tmp_path_factory.mktemp("finished")
    write_episode(short_episode(), root)
    command = [sys.executable, str(CHECKOUT / "tools" / "episode_run.py"), "--ep-id", EP_ID]
    options = ["--data-root", str(root), "--run-id", RUN_ID, "--stride", "2", "--fps", "1000"]
    device = ["--device", "cpu", "--detector", "centerface", "--cpu-threads", "1"]
    subprocess.run([*command, *options, *device], check=True, capture_output=True, timeout=80)
    return root


@pytest.fixture
def root(done: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(done, tmp_path / "root"))


def run_folder(root: Path) -> Path:
    return root / "manifests" / EP_ID / "runs" / RUN_ID


def judge(root: Path, *more: str, truth: Path | None = None) -> int:
    gt = root / "videos" / EP_ID / "ground_truth.txt" if truth is None else truth
    out = ["--out", str(root / "out")]
    return main(["--run", str(run_folder(root)), "--gt", str(gt), *out, *more])


def one_identity(root: Path) -> Path:
    """A truth that takes both people for one, so that the second track is a split."""
    lines = (root / "videos" / EP_ID / "ground_truth.txt").read_text().splitlines()
    path = root / "one.txt"
    path.write_text("\n".join(re.sub(r"^(\d+),\d+", r"\1,1", line) for line in lines))
    return path


def change(path: Path, **fields: Any) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | fields))


# --- what is scored ---------------------------------------------------------------------------


def test_what_is_counted_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the first shot is marked: one of the run's two tracks is counted."""
    lines = (root / "videos" / EP_ID / "ground_truth.txt").read_text().splitlines()
    task = "<annotations><meta><task><stop_frame>23</stop_frame></task></meta>{}</annotations>"
    boxes = []
    for line in lines:
        frame, _, left, top, width, height = map(float, line.split(",")[:6])
        if frame <= 24:
            boxes.append(
                f'<box frame="{frame - 1:.0f}" xtl="{left}" ytl="{top}" xbr="{left + width}" '
                f'ybr="{top + height}" outside="0"/>'
            )
    truth = root / "first.xml"
    truth.write_text(task.format(f'<track id="0" label="face">{"".join(boxes)}</track>'))
    assert judge(root, truth=truth) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "boxes matched at IoU 0.4" in printed
    assert "1 of the run's 2 tracks are counted" in printed
    assert judge(root, "--iou", "0.6", truth=truth) == 0
    assert "boxes matched at IoU 0.6" in capsys.readouterr().out


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["failed", "cancelled", "running", "interrupted"])
def test_only_completed_runs_are_scored(
    status: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(run_folder(root) / "run.json", status=status)
    assert judge(root) == 2
    assert f"The run is {status}, not completed." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["run.json", "track_metrics.json", "detections.jsonl"])
def test_no_file_of_a_run_may_be_missing(
    name: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_folder(root) / name).unlink()
    assert judge(root) == 2
    assert f"The run has no {name}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("run.json", '{"ep_id": "x"}', "run.json is none of a run: run_id: Field required"),
        ("track_metrics.json", "{}", "track_metrics.json is none of a run: ep_id: Field required"),
        ("track_metrics.json", "[", "no track_metrics.json that can be read"),
    ],
)
def test_damaged_files_give_one_line(
    name: str, text: str, reason: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_folder(root) / name).write_text(text)
    assert judge(root) == 2
    printed = capsys.readouterr().err
    assert reason in printed
    assert printed.count("\n") == 1


def test_rows_that_cannot_be_read_are_not_passed_over(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_folder(root) / "detections.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], lines[3][:-5], *lines[4:]]))
    assert judge(root) == 2
    assert "Row 4 of detections.jsonl cannot be read" in capsys.readouterr().err
    row = json.loads(lines[0]) | {"frame_idx": 1}
    path.write_text(json.dumps(row))
    assert judge(root) == 2
    assert "frame 1, which the run did not process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"effective_stride": 0}, "effective_stride 0, not 1 to"),
        ({"effective_stride": None}, "no video or no stride"),
        ({"video": None}, "no video or no stride"),
        ({"frames": 10**12}, "frames 1000000000000, not 1 to"),
        ({"frames": 0}, "frames 0, not 1 to"),
        ({"width": 0}, "width 0, not 1 to"),
    ],
)
def test_figures_that_cannot_be_are_refused(
    fields: dict[str, Any], reason: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_folder(root) / "run.json"
    video = json.loads(path.read_text())["video"]
    if fields.keys() <= video.keys():
        fields = {"video": video | fields}
    change(path, **fields)
    assert judge(root) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("49,1,10,10,30,30,1", "go on to frame 48 (from 0), the video has 48 frames"),
        ("100000,1,10,10,30,30,0", "go on to frame 99999"),
        ("20,7,320,10,30,30,1", "frame 19 (from 0) lies outside of the video's picture of 320x180"),
        ("20,7,10,-40,30,30,0", "frame 19 (from 0) lies outside"),
    ],
)
def test_faces_of_another_video_are_refused(
    line: str, reason: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = (root / "videos" / EP_ID / "ground_truth.txt").read_text()
    (root / "other.txt").write_text(known + line + "\n")
    assert judge(root, truth=root / "other.txt") == 2
    assert reason in capsys.readouterr().err


# --- what is drawn ----------------------------------------------------------------------------


def drawn(root: Path) -> Any:
    picture = cv2.imread(str(root / "out" / f"errors-{RUN_ID}.png"))
    assert picture is not None
    return picture


def test_errors_are_drawn_on_the_episodes_video(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = one_identity(root)
    assert judge(root, truth=truth) == 0
    assert not (root / "out").exists()
    assert judge(root, "--errors", truth=truth) == 0
    assert f"errors-{RUN_ID}.png" in capsys.readouterr().out
    assert colours(drawn(root)) > 10_000


def test_where_no_video_is_at_hand_it_is_said_and_another_may_be_given(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = one_identity(root)
    video = root / "videos" / EP_ID / "episode.mp4"
    moved = video.rename(tmp_path / "moved.mp4")
    assert judge(root, "--errors", truth=truth) == 0
    assert "drawn on an empty ground" in capsys.readouterr().out
    assert colours(drawn(root)) < 5000
    assert judge(root, "--video", str(moved), truth=truth) == 0
    assert "empty ground" not in capsys.readouterr().out
    assert colours(drawn(root)) > 10_000


def test_the_errors_are_not_drawn_on_another_video(
    root: Path, test_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = test_data / "videos" / "short_hamilton_clip.mp4"
    truth = one_identity(root)
    assert judge(root, "--video", str(other), truth=truth) == 2
    assert "had 48 frames of 320x180" in capsys.readouterr().err
    shutil.copy(other, root / "videos" / EP_ID / "episode.mp4")
    assert judge(root, "--errors", truth=truth) == 0
    assert "drawn on an empty ground" in capsys.readouterr().out
