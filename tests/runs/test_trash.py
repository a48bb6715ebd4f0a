"""The trash: whatever is interrupted, nothing of an episode is lost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from apps.common.contracts.manifest import Holder
from apps.common.errors import EpisodeBusy, PlayableBusy, PreviewBusy, StorageFailed, TrashNotFound
from apps.common.files import write_json
from apps.common.layout import Layout
from apps.runs.lock import episode_lock
from apps.runs.playable import making_playable
from apps.runs.preview import making_preview
from apps.runs.trash import delete_episode, delete_run, restore, tidy
from apps.runs.trash_entries import in_trash
from lab.paths import CHECKOUT

# Dies at the so many-th rename, as by a power cut.
DIE = (
    "import os, signal, sys\n"
    "from pathlib import Path\n"
    "from apps.common.layout import Layout\n"
    "from apps.runs import trash\n"
    "left, rename = [int(sys.argv[2])], Path.rename\n"
    "def dying(self, target):\n"
    "    if left[0] == 0:\n"
    "        os.kill(os.getpid(), signal.SIGKILL)\n"
    "    left[0] -= 1\n"
    "    return rename(self, target)\n"
    "Path.rename = dying\n"
    "getattr(trash, sys.argv[3])(Layout(Path(sys.argv[1])), *sys.argv[4:])\n"
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "data")
    layout.episode("show").mkdir(parents=True)
    (layout.episode("show") / "episode.mp4").write_bytes(b"video")
    files = layout.run("show", "one")
    files.crops.mkdir(parents=True)
    (files.crops / "a.jpg").write_bytes(b"crop")
    write_json(files.manifest, {"ep_id": "show", "run_id": "one", "status": "failed"})
    return layout


def content(layout: Layout) -> dict[str, bytes]:
    folders = (layout.videos, layout.all_manifests)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(layout.root)): path.read_bytes() for path in files}


def dies(layout: Layout, renames: int, *call: str) -> None:
    command = [sys.executable, "-c", DIE, str(layout.root), str(renames), *call]
    process = subprocess.run(command, cwd=CHECKOUT, check=False)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_what_dies_while_it_deletes_is_whole_again(layout: Layout, renames: int) -> None:
    before = content(layout)
    dies(layout, renames, "delete_episode", "show")
    tidy(layout, 24)
    assert content(layout) == before
    assert in_trash(layout) == []
    assert list(layout.trash.iterdir()) == []


@pytest.mark.parametrize("renames", [1, 2])
def test_what_dies_while_it_restores_is_whole_again(layout: Layout, renames: int) -> None:
    before = content(layout)
    gone = delete_episode(layout, "show")
    dies(layout, renames, "restore", gone.trash_id)
    tidy(layout, 24)
    assert content(layout) == before


def test_where_the_place_is_taken_the_half_stays_in_the_trash(layout: Layout) -> None:
    dies(layout, 1, "delete_episode", "show")
    layout.episode("show").mkdir()
    (layout.episode("show") / "episode.mp4").write_bytes(b"another")
    tidy(layout, 24)
    [kept] = in_trash(layout)
    assert (layout.trash / kept.trash_id / "video" / "episode.mp4").read_bytes() == b"video"
    assert (layout.episode("show") / "episode.mp4").read_bytes() == b"another"


def test_what_another_process_moves_is_left_alone(layout: Layout) -> None:
    dies(layout, 1, "delete_episode", "show")
    holder = Holder(
        ep_id="show", run_id="x", execution_mode="cli", pid=1, host="here", since="2026-01-01"
    )
    with episode_lock(layout, holder):
        tidy(layout, 0)
    assert len(list(layout.trash.glob(".moving-*"))) == 1
    tidy(layout, 0)
    assert "videos/show/episode.mp4" in content(layout)


def test_what_is_worked_on_stays(layout: Layout) -> None:
    before = content(layout)
    holder = Holder(
        ep_id="show", run_id="x", execution_mode="cli", pid=1, host="here", since="2026-01-01"
    )
    with episode_lock(layout, holder), pytest.raises(EpisodeBusy):
        delete_run(layout, "show", "one")
    with making_preview(layout.run("show", "one")):
        with pytest.raises(PreviewBusy):
            delete_episode(layout, "show")
        with pytest.raises(PreviewBusy):
            delete_run(layout, "show", "one")
    with making_playable(layout, "show"), pytest.raises(PlayableBusy):
        delete_episode(layout, "show")
    assert content(layout) == before


def test_what_the_disk_refuses_stays(layout: Layout, tmp_path: Path) -> None:
    """The second of two moves would be to another disk."""
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system")
    with TemporaryDirectory(dir=shared_memory) as elsewhere:
        shutil.move(layout.manifests("show"), Path(elsewhere, "show"))
        layout.all_manifests.rmdir()
        layout.all_manifests.symlink_to(elsewhere)
        before = content(layout)
        with pytest.raises(StorageFailed):
            delete_episode(layout, "show")
        assert content(layout) == before
        assert Path(elsewhere, "show", "runs", "one", "run.json").is_file()
    assert list(layout.trash.iterdir()) == []


def test_it_is_emptied_after_its_time(layout: Layout) -> None:
    run = delete_run(layout, "show", "one")
    episode = delete_episode(layout, "show")
    note = layout.trash / run.trash_id / "entry.json"
    long_ago = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
    write_json(note, {**run.model_dump(), "deleted_at": long_ago})
    tidy(layout, 24)
    assert [entry.trash_id for entry in in_trash(layout)] == [episode.trash_id]
    with pytest.raises(TrashNotFound):
        restore(layout, run.trash_id)


@pytest.mark.parametrize("body", ["", "{}", '{"trash_id": "x"}', "[1]"])
def test_what_is_damaged_or_foreign_is_passed_over(layout: Layout, body: str) -> None:
    gone = delete_episode(layout, "show")
    (layout.trash / gone.trash_id / "entry.json").write_text(body)
    (layout.trash / "a file").write_text("")
    assert in_trash(layout) == []
    tidy(layout, 0)
    assert (layout.trash / gone.trash_id / "video" / "episode.mp4").is_file()  # by hand, then


def test_a_link_is_moved_and_what_it_leads_to_stays(layout: Layout, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    layout.episode("show").rename(elsewhere)
    layout.episode("show").symlink_to(elsewhere)
    gone = delete_episode(layout, "show")
    assert gone.size_bytes < 200  # the run alone
    tidy(layout, 0)
    assert (elsewhere / "episode.mp4").read_bytes() == b"video"
