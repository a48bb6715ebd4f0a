"""What is said to be there survives a power cut: the disk has it before its name does.

A power cut cannot be had here; the order of what real processes ask the kernel for can.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.paths import CHECKOUT
from lab.processes.service import Server, serving

# Notes each sync and each renaming of every process of the server, runs and previews included.
_NOTING = """
import os
_log = os.open(os.environ["SYNCED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def _noted(word, path):
    os.write(_log, f"{word} {path}\\n".encode())
_fsync, _replace = os.fsync, os.replace
def fsync(descriptor):
    _fsync(descriptor)
    _noted("synced", os.readlink(f"/proc/self/fd/{descriptor}"))
def replace(source, target, **more):
    _replace(source, target, **more)
    _noted("named", target)
os.fsync, os.replace = fsync, replace
"""


@dataclass
class Noted:
    server: Server
    log: Path

    def asked(self) -> list[str]:
        """What was asked for, with the names of temporary files as that of what they become."""
        lines = self.log.read_text().replace(f"{self.server.data_root}/", "").splitlines()
        return [_without_temporary(line) for line in lines]


def _without_temporary(line: str) -> str:
    folder, _, name = line.rpartition("/")
    if name.startswith(".") and name.endswith(".tmp"):
        return f"{folder}/{name[1:].rsplit('.', 2)[0]}"
    return f"{folder}/{name}" if folder else line


@pytest.fixture
def noted(tmp_path: Path) -> Iterator[Noted]:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to name what is synced")
    (tmp_path / "sitecustomize.py").write_text(_NOTING)
    log = tmp_path / "synced"
    log.touch()
    variables = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{CHECKOUT}", "SYNCED": str(log)}
    with serving(tmp_path / "data", **variables) as server:
        yield Noted(server, log)


def in_this_order(asked: list[str], wanted: list[str]) -> None:
    """Each of the wanted lines comes after the one before it."""
    rest = iter(asked)
    for line in wanted:
        assert any(line == other for other in rest), f"no {line!r} in its place: {asked}"


def test_videos_results_and_previews_are_on_the_disk_before_they_are_said_to_be_there(
    noted: Noted, test_data: Path
) -> None:
    video = (test_data / "videos" / "carphone_pristine.mp4").read_bytes()
    sent = {"files": {"file": ("talk.mp4", video)}, "data": {"ep_id": "talk"}}
    assert noted.server.client.post("/episodes", **sent).status_code == 201  # type: ignore[arg-type]
    uploaded = [line.partition(" ")[2] for line in noted.asked() if line.endswith(".part")]
    assert noted.server.detect_track("talk", run_id="r1", stride=24).status_code == 200
    made = noted.server.client.post("/episodes/talk/runs/r1/preview")
    assert made.status_code == 200, made.text

    manifests, run = "manifests/talk", "manifests/talk/runs/r1"
    in_this_order(
        noted.asked(),
        [
            f"synced {uploaded[0]}",
            "named videos/talk/episode.mp4",
            "synced videos/talk",
            # The run begins: its folder and its manifest.
            f"synced {run}/run.json",
            f"named {run}/run.json",
            f"synced {run}",
            f"synced {manifests}/runs",
            # Its results, and only then the manifest that says `completed`, and `latest`.
            f"synced {run}/.partial/detections.jsonl",
            f"named {run}/detections.jsonl",
            f"synced {run}",
            f"synced {run}/run.json",
            f"named {run}/run.json",
            f"synced {run}",
            f"synced {manifests}/latest.json",
            f"named {manifests}/latest.json",
            f"synced {manifests}",
            # Its preview, and then the manifest that names it.
            f"synced {run}/.partial/preview.mp4",
            f"named {run}/preview.mp4",
            f"synced {run}",
            f"synced {run}/run.json",
            f"named {run}/run.json",
        ],
    )
