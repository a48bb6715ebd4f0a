"""What killed processes left is freed; what is in use is not, whoever uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from apps.common.contracts.manifest import Holder
from apps.common.files import claimed, write_atomic, write_json
from apps.common.layout import Layout
from apps.runs.lock import is_held
from apps.runs.preview import making_preview
from apps.runs.staging import remove_staging
from apps.runs.sweep import Freed, sweep
from lab.paths import CHECKOUT
from lab.processes.queue import redis_server, worker
from lab.processes.service import serving, wait_for
from tests.support.holding import holding

CLAIM = (
    "import sys\n"
    "from pathlib import Path\n"
    "from apps.common.files import claimed\n"
    "with claimed(Path(sys.argv[1])) as stream:\n"
    "    stream.write(b'x' * 1000)\n"
    "    stream.flush()\n"
    "    print('claimed', flush=True)\n"
    "    sys.stdin.read()\n"
)
STAGED = 5000  # bytes


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "data")
    layout.uploads.mkdir(parents=True)
    return layout


def stage(layout: Layout, run_id: str, status: str, ep_id: str = "show") -> Path:
    """The folder of a run with something staged in it."""
    files = layout.run(ep_id, run_id)
    crops = files.staging / "crops" / "track-00001"
    crops.mkdir(parents=True)
    (crops / "frame_000000.jpg").write_bytes(b"x" * STAGED)
    write_json(files.manifest, {"ep_id": ep_id, "run_id": run_id, "status": status})
    return files.folder


@contextmanager
def claiming(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes the file; killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(path)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.communicate()


def holder(run_id: str) -> Holder:
    return Holder(
        ep_id="show", run_id=run_id, execution_mode="cli", pid=1, host="here", since="2026-01-01"
    )


def test_an_upload_whose_server_was_killed_is_freed(layout: Layout) -> None:
    part = layout.uploads / "0123456789abcdef.part"
    with claiming(part):
        assert sweep(layout) == Freed()
        assert part.stat().st_size == 1000
    assert sweep(layout) == Freed(uploads=1, size=1000)
    assert not part.exists()


@pytest.mark.parametrize("status", ["running", "failed", "completed"])
def test_a_staging_folder_that_nobody_uses_is_freed(layout: Layout, status: str) -> None:
    folder = stage(layout, "r1", status)
    assert sweep(layout) == Freed(staging=1, size=STAGED)
    assert [path.name for path in folder.iterdir()] == ["run.json"]
    assert sweep(layout) == Freed()


def test_a_run_that_is_on_keeps_what_it_stages(layout: Layout) -> None:
    with holding(layout) as hold:
        hold(holder("r1"))
        mine, other = stage(layout, "r1", "running"), stage(layout, "r2", "running")
        assert sweep(layout) == Freed(staging=1, size=STAGED)
        assert (mine / ".partial").is_dir()
        assert not (other / ".partial").exists()
    assert sweep(layout) == Freed(staging=1, size=STAGED)


def test_a_preview_that_is_being_made_keeps_what_it_stages(layout: Layout) -> None:
    folder = stage(layout, "r1", "completed")
    with making_preview(layout.run("show", "r1")):
        assert sweep(layout) == Freed()
    assert (folder / ".partial").is_dir()


def test_a_launcher_leaves_what_a_later_run_of_the_name_stages(layout: Layout) -> None:
    """A job that was delivered again begins the same run again as soon as the first is dead."""
    folder = stage(layout, "r1", "running")
    with holding(layout) as hold:
        hold(holder("r1"))
        assert remove_staging(layout, "show", "r1") == 0
        assert (folder / ".partial").is_dir()
    assert remove_staging(layout, "show", "r1") == STAGED
    assert not is_held(layout, "show")


def test_a_sweep_that_was_killed_is_finished_by_the_next_one(layout: Layout) -> None:
    folder = stage(layout, "r1", "failed")
    (folder / ".partial").rename(folder / ".discarded-12345678")
    assert sweep(layout) == Freed(staging=1, size=STAGED)


def test_temporary_files_are_freed_wherever_they_are_written(layout: Layout) -> None:
    stage(layout, "r1", "completed")
    folders = [
        layout.run("show", "r1").folder, layout.manifests("show"), layout.locks, layout.jobs,
        layout.cache / "models" / "graphs", layout.pictures("show"), layout.comparisons / "c1",
    ]  # fmt: skip
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".some.json.1-2.tmp").write_bytes(b"x" * 10)
    used = layout.locks / ".used.json.1-2.tmp"
    with claimed(used):
        assert sweep(layout) == Freed(
            staging=1, temporary=len(folders), size=STAGED + 10 * len(folders)
        )
        assert used.exists()


def test_files_of_users_and_links_are_left_alone(layout: Layout, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = layout.run("show", "r1").folder
    folder.mkdir(parents=True)
    (folder / ".partial").symlink_to(outside)
    (layout.uploads / "link.part").symlink_to(outside / "file")
    layout.episode("show").mkdir(parents=True)
    kept = [outside / "file", layout.episode("show") / ".mine.tmp", layout.uploads / "notes.txt"]
    kept += [layout.episode("show") / "episode.part", layout.root / ".mine.tmp"]
    for path in kept:
        path.write_bytes(b"x")
    assert sweep(layout) == Freed()
    assert all(path.exists() for path in kept)
    assert (folder / ".partial").is_symlink()


@pytest.mark.parametrize("program", ["server", "worker"])
def test_what_starts_frees_it_and_says_so(layout: Layout, tmp_path: Path, program: str) -> None:
    stage(layout, "r1", "running")
    (layout.uploads / "0123456789abcdef.part").write_bytes(b"x" * 3_000_000)
    with ExitStack() as stack:
        broker = stack.enter_context(redis_server(tmp_path / "redis"))
        if program == "server":
            settings = {"SCREENALYTICS_REDIS_URL": broker.url}
            log = stack.enter_context(serving(layout.root, **settings)).log
        else:
            log = stack.enter_context(worker(layout.root, broker.url)).log

        def freed_line() -> dict[str, Any] | None:
            lines = [json.loads(x) for x in log.read_text().splitlines() if x[:1] == "{"]
            freed = [x for x in lines if x["message"] == "freed what killed processes had left"]
            return freed[0] if freed else None

        line = wait_for(freed_line, what="its words")
    assert (line["uploads"], line["staging_folders"], line["megabytes"]) == (1, 1, 3.0)
    assert list(layout.uploads.iterdir()) == []
    assert not layout.run("show", "r1").staging.exists()


def test_a_writer_whose_new_file_is_swept_writes_it_again(layout: Layout) -> None:
    """A file is new and not yet locked for a moment; a sweep may take it for a left one."""
    path = layout.root / "run.json"
    stop = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys\nfrom pathlib import Path\n"
            "from apps.common.files import remove_unclaimed\n"
            "print('sweeping', flush=True)\n"
            "swept = 0\n"
            "while swept < 3:\n"
            "    for path in Path(sys.argv[1]).glob('.*.tmp'):\n"
            "        swept += remove_unclaimed(path) is not None\n",
            str(layout.root),
        ],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert stop.stdout is not None
        assert stop.stdout.readline() == "sweeping\n"
        number = 0
        while stop.poll() is None:
            number += 1
            write_atomic(path, f"{number}".encode())
            assert path.read_bytes() == f"{number}".encode()
        assert stop.returncode == 0
    finally:
        stop.kill()
        stop.communicate()
