"""The demo episode for all tests that need it: rendering it takes a quarter of a minute."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from filelock import FileLock

from apps.demo.encode import VIDEO_NAME
from apps.demo.episode import DEMO_EP_ID
from lab.evaluation.rows import read_truth
from lab.evaluation.screen_time import frame_times
from lab.paths import CHECKOUT
from lab.processes.service import clean_environment

SAID = "said.txt"


def render_once(base: Path) -> Path:
    """Renders it as a user does, unless the same code and libraries did; its folder.

    Args:
        base: a folder that all processes of the tests share, also of later ones. In it, what the
            program printed is kept too.
    """
    place = base / _made_by()
    with FileLock(base / "lock"):
        if not (place / SAID).exists():
            for old in base.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            place.mkdir()
            command = [sys.executable, "-m", "apps.demo.episode", "--data-root", "data"]
            done = subprocess.run(
                command,
                cwd=place,
                env=clean_environment(),
                capture_output=True,
                text=True,
                check=True,
            )
            (place / SAID).write_text(done.stdout)
    return place / "data" / "videos" / DEMO_EP_ID


def _made_by() -> str:
    """Names everything that the episode's bytes depend on."""
    code = hashlib.sha256(sys.version.encode())
    for room in ("common", "demo"):
        for source in sorted((CHECKOUT / "apps" / room).rglob("*.py")):
            code.update(source.read_bytes())
    for name, version in sorted((one.name, one.version) for one in distributions()):
        code.update(f"{name} {version}\n".encode())
    return code.hexdigest()[:16]


def said_of(episode: Path) -> str:
    """What the program printed that rendered it."""
    return (episode.parents[2] / SAID).read_text()


def check_seconds(video: Path, run: Path) -> None:
    """The seconds on the screen that a run found in it are the true ones."""
    tracks = [json.loads(line) for line in (run / "tracks.jsonl").read_text().splitlines()]
    found = sum(row["screen_s"] for row in tracks)
    durations = frame_times(video / VIDEO_NAME).durations()
    true = sum(len(rows) * durations[frame] for frame, rows in read_truth(video).rows.items())
    assert true == pytest.approx(50.83, abs=0.01)
    assert found == pytest.approx(true, rel=0.02)
    metrics = json.loads((run / "track_metrics.json").read_text())
    assert metrics["screen_s"] == pytest.approx(found, abs=0.01)
    assert abs(found - true) < 2 * metrics["screen_error_s"] < 0.1 * true
    assert sum(row["end_s"] - row["start_s"] for row in tracks) < 0.9 * true
