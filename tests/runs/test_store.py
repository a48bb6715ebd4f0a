"""Runs are read back right, whatever their files hold, and a killed run is recognised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from apps.common.contracts.manifest import Holder, Progress, RunManifest, RunStatus
from apps.common.errors import InvalidInput, RunExists, RunNotFound
from apps.common.files import read_json, write_json
from apps.common.layout import Layout
from apps.runs import store
from apps.runs.lock import current_holder
from apps.runs.record import RunRecord
from apps.runs.store import (
    close_unfinished,
    latest_run_id,
    list_runs,
    read_manifest,
    read_progress,
    read_runs,
)
from lab.paths import CHECKOUT
from lab.specs import spec_of
from tests.support.holding import holding

EP = "test-ep"
Hold = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def hold(layout: Layout) -> Iterator[Hold]:
    """Starts a process that holds the episode for a run until its input ends."""
    with holding(layout) as hold_as:

        def start(run_id: str) -> subprocess.Popen[str]:
            holder = Holder(
                ep_id=EP,
                run_id=run_id,
                execution_mode="local",
                pid=os.getpid(),
                host="here",
                since="2026-01-02T03:04:05.000+00:00",
            )
            return hold_as(holder)

        yield start


def begin(layout: Layout, run_id: str = "r1") -> RunRecord:
    """A run as it stands on disk after its start."""
    spec = spec_of(layout.root, EP, run_id)
    return RunRecord(layout, spec, {"numpy": "2.0"})


def complete(record: RunRecord) -> None:
    record.end("completed", "All frames were processed.")
    record.point_latest()


def listed(layout: Layout, ep_id: str = EP) -> list[RunManifest]:
    return list(read_runs(layout, ep_id, list_runs(layout, ep_id)))


def change(layout: Layout, run_id: str, values: dict[str, Any]) -> None:
    path = layout.run(EP, run_id).manifest
    write_json(path, {**(read_json(path) or {}), **values})


# --- one run ----------------------------------------------------------------------------------


def test_a_manifest_comes_back(layout: Layout) -> None:
    record = begin(layout)
    record.update(counts={"tracks": 3}, warnings=["w"])
    complete(record)

    manifest = read_manifest(layout, EP, "r1")

    assert manifest == record.manifest
    assert manifest.status == "completed"
    assert manifest.finished_at is not None
    assert manifest.sources["stride"] == "profile:low_power"
    assert {"product", "git_sha", "source_fingerprint", "python", "numpy"} <= set(manifest.versions)


def test_a_run_id_is_used_once(layout: Layout) -> None:
    complete(begin(layout))
    before = layout.run(EP, "r1").manifest.read_bytes()

    with pytest.raises(RunExists, match="r1"):
        begin(layout)

    assert layout.run(EP, "r1").manifest.read_bytes() == before


def test_running_while_its_holder_lives(layout: Layout, hold: Hold) -> None:
    process = hold("r1")
    begin(layout)
    assert read_manifest(layout, EP, "r1").status == "running"

    process.kill()
    process.wait(10)

    manifest = read_manifest(layout, EP, "r1")
    assert manifest.status == "interrupted"
    assert manifest.exit_reason
    assert [run.status for run in listed(layout)] == ["interrupted"]


def test_running_without_a_holder_is_interrupted(layout: Layout) -> None:
    begin(layout)
    before = layout.run(EP, "r1").manifest.read_bytes()

    assert read_manifest(layout, EP, "r1").status == "interrupted"
    assert layout.run(EP, "r1").manifest.read_bytes() == before  # reading writes nothing


def test_another_runs_holder_does_not_count(layout: Layout, hold: Hold) -> None:
    begin(layout, "r1")
    hold("r2")
    begin(layout, "r2")

    assert read_manifest(layout, EP, "r1").status == "interrupted"
    assert read_manifest(layout, EP, "r2").status == "running"


@pytest.mark.parametrize("status", ["completed", "cancelled", "failed"])
def test_an_ended_run_needs_no_holder(layout: Layout, status: RunStatus) -> None:
    begin(layout).end(status, "why")

    manifest = read_manifest(layout, EP, "r1")
    assert (manifest.status, manifest.exit_reason) == (status, "why")


def test_a_run_that_ends_while_it_is_read_is_not_interrupted(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It completes after its manifest was read and before its lock is looked at."""
    record = begin(layout)

    def look_late(layout: Layout, ep_id: str) -> Holder | None:
        if record.manifest.status == "running":
            complete(record)
        return current_holder(layout, ep_id)

    monkeypatch.setattr(store, "current_holder", look_late)

    assert read_manifest(layout, EP, "r1").status == "completed"


UNREADABLE = [
    b"",
    b'{"ep_id": "test-ep"',
    b"{}",
    b"[]",
    b"\x89PNG\0\xff",
    b'{"name": "a foreign run.json", "status": "running"}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("data", UNREADABLE, ids=lambda data: repr(data[:24]))
def test_unreadable_manifests_are_not_found_and_not_listed(layout: Layout, data: bytes) -> None:
    complete(begin(layout, "good"))
    files = layout.run(EP, "bad")
    files.folder.mkdir()
    files.manifest.write_bytes(data)

    with pytest.raises(RunNotFound, match="bad"):
        read_manifest(layout, EP, "bad")
    assert [run.run_id for run in listed(layout)] == ["good"]


@pytest.mark.parametrize(
    "values",
    [
        {"ep_id": "../../etc"},
        {"ep_id": ""},
        {"ep_id": "other-ep"},
        {"run_id": "../x"},
        {"run_id": "good"},
    ],
    ids=str,
)
@pytest.mark.parametrize("status", ["running", "completed"])
def test_a_manifest_of_somewhere_else_does_not_break_a_listing(
    layout: Layout, values: dict[str, str], status: str
) -> None:
    """A copied or edited file must neither be taken for this run nor hide the others."""
    complete(begin(layout, "good"))
    begin(layout, "moved")
    change(layout, "moved", {"status": status, **values})

    assert [(run.ep_id, run.run_id) for run in listed(layout)] == [(EP, "good")]
    with pytest.raises(RunNotFound):
        read_manifest(layout, EP, "moved")


def test_a_manifest_of_a_newer_version_is_read(layout: Layout) -> None:
    complete(begin(layout))
    change(layout, "r1", {"of_the_future": {"a": 1}})

    assert read_manifest(layout, EP, "r1").status == "completed"


@pytest.mark.parametrize("name", ["../r1", "", "a/b", "..", "r1\n"])
def test_illegal_names(layout: Layout, name: str) -> None:
    for ep_id, run_id in ((name, "r1"), (EP, name), (name, "latest")):
        with pytest.raises(InvalidInput):
            read_manifest(layout, ep_id, run_id)
    with pytest.raises(InvalidInput):
        latest_run_id(layout, name)
    with pytest.raises(InvalidInput):
        list_runs(layout, name)


def test_no_such_run(layout: Layout) -> None:
    with pytest.raises(RunNotFound) as caught:
        read_manifest(layout, EP, "r1")

    assert EP in caught.value.detail
    assert "r1" in caught.value.detail


# --- latest -----------------------------------------------------------------------------------


def test_latest_is_the_newest_completed_run(layout: Layout) -> None:
    complete(begin(layout, "r1"))
    complete(begin(layout, "r2"))
    begin(layout, "r3").end("failed", "why")
    begin(layout, "r4")

    assert latest_run_id(layout, EP) == "r2"
    assert read_manifest(layout, EP, "latest").run_id == "r2"
    assert (read_json(layout.latest(EP)) or {})["run_id"] == "r2"


def test_no_run_may_be_called_latest(layout: Layout) -> None:
    """Its address is taken: nobody could read it, and a listing would show another run twice."""
    complete(begin(layout, "r1"))

    with pytest.raises(ValidationError, match="cannot be called 'latest'"):
        begin(layout, "latest")

    assert [run.run_id for run in listed(layout)] == ["r1"]


@pytest.mark.parametrize(
    "data",
    [None, b"", b"{", b"[]", b"{}", b'{"run_id": 3}', b'{"run_id": "../../x"}', b'{"run_id": ""}'],
)
def test_no_readable_pointer_is_no_completed_run(layout: Layout, data: bytes | None) -> None:
    begin(layout)
    if data is not None:
        layout.latest(EP).write_bytes(data)

    for read in (latest_run_id, lambda layout, ep: read_manifest(layout, ep, "latest")):
        with pytest.raises(RunNotFound):
            read(layout, EP)


def test_a_pointer_to_a_removed_run_is_not_found(layout: Layout) -> None:
    layout.manifests(EP).mkdir(parents=True)
    write_json(layout.latest(EP), {"run_id": "gone"})

    with pytest.raises(RunNotFound, match="gone"):
        read_manifest(layout, EP, "latest")


# --- listing ----------------------------------------------------------------------------------


def test_a_listing_is_newest_first(layout: Layout) -> None:
    for run_id, started in (("b", "2026-01-02"), ("c", "2026-01-01"), ("a", "2026-01-03")):
        complete(begin(layout, run_id))
        change(layout, run_id, {"started_at": f"{started}T00:00:00.000+00:00"})

    assert [run.run_id for run in listed(layout)] == ["a", "b", "c"]


def test_a_listing_passes_over_what_is_no_run(layout: Layout) -> None:
    complete(begin(layout))
    runs = layout.runs(EP)
    (runs / "empty").mkdir()
    (runs / ".hidden").mkdir()
    (runs / "a file").write_text("x")
    (runs / "file").write_text("x")
    (runs / "folder" / "run.json").mkdir(parents=True)

    assert [run.run_id for run in listed(layout)] == ["r1"]


def test_no_runs_is_an_empty_listing(layout: Layout) -> None:
    assert listed(layout) == []
    assert list(layout.root.iterdir()) == []


# --- progress ---------------------------------------------------------------------------------

PROGRESS = Progress(
    phase="running",
    frames_done=3,
    frames_total=10,
    video_frames_total=60,
    elapsed_sec=1.5,
    analyzed_fps=2.0,
    eta_sec=None,
    run_id="r1",
    updated_at="2026-01-02T03:04:05.000+00:00",
)


def test_progress(layout: Layout) -> None:
    files = layout.run(EP, "r1")
    assert read_progress(layout, EP, "r1") is None
    begin(layout)
    write_json(files.progress, {**PROGRESS.model_dump(), "of_the_future": 1})

    assert read_progress(layout, EP, "r1") == PROGRESS


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b'{"phase": "sleeping"}', b"\xff"])
def test_unreadable_progress_is_none(layout: Layout, data: bytes) -> None:
    begin(layout)
    layout.run(EP, "r1").progress.write_bytes(data)

    assert read_progress(layout, EP, "r1") is None


# --- closing ----------------------------------------------------------------------------------


def test_close_says_how_a_dead_run_ended(layout: Layout) -> None:
    record = begin(layout)

    close_unfinished(layout, EP, "r1", "cancelled", "The client went away.")

    manifest = read_manifest(layout, EP, "r1")
    assert (manifest.status, manifest.exit_reason) == ("cancelled", "The client went away.")
    assert manifest.finished_at is not None
    assert manifest.started_at == record.manifest.started_at
    assert manifest.options == record.manifest.options


@pytest.mark.trap(48)
@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_the_first_ending_stays(layout: Layout, status: RunStatus) -> None:
    begin(layout).end(status, "why")
    before = layout.run(EP, "r1").manifest.read_bytes()

    close_unfinished(layout, EP, "r1", "cancelled", "The client went away.")

    assert layout.run(EP, "r1").manifest.read_bytes() == before


def test_close_leaves_the_run_of_another_process_alone(layout: Layout) -> None:
    """A job that was delivered again has begun it again under its name."""
    record = begin(layout)

    close_unfinished(layout, EP, "r1", "cancelled", "why", pid=record.manifest.pid + 1)
    assert read_manifest(layout, EP, "r1").status == "interrupted"

    close_unfinished(layout, EP, "r1", "cancelled", "why", pid=record.manifest.pid)
    assert read_manifest(layout, EP, "r1").status == "cancelled"


def test_close_on_a_full_disk_leaves_an_interrupted_run(layout: Layout) -> None:
    """The kernel refuses to make the file larger, as it does on a full disk."""
    begin(layout)
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from apps.common.layout import Layout\n"
        "from apps.runs.store import close_unfinished\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "close_unfinished(Layout(Path(sys.argv[1])), sys.argv[2], 'r1', 'cancelled', 'why')\n"
    )
    subprocess.run(
        [sys.executable, "-B", "-c", code, str(layout.root), EP],
        cwd=CHECKOUT,
        timeout=60,
        check=True,
    )

    assert read_manifest(layout, EP, "r1").status == "interrupted"
    assert [path.name for path in layout.run(EP, "r1").folder.iterdir()] == ["run.json"]


def test_close_does_not_touch_a_completed_run(layout: Layout) -> None:
    complete(begin(layout))
    manifest, latest = layout.run(EP, "r1").manifest, layout.latest(EP)
    before = (manifest.read_bytes(), manifest.stat().st_mtime_ns, latest.read_bytes())

    close_unfinished(layout, EP, "r1", "failed", "Too late.")

    assert (manifest.read_bytes(), manifest.stat().st_mtime_ns, latest.read_bytes()) == before


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]"])
def test_close_makes_no_manifest_where_there_is_none(layout: Layout, data: bytes | None) -> None:
    files = layout.run(EP, "r1")
    files.folder.mkdir(parents=True)
    if data is not None:
        files.manifest.write_bytes(data)

    close_unfinished(layout, EP, "r1", "failed", "why")

    assert files.manifest.exists() == (data is not None)
    assert data is None or files.manifest.read_bytes() == data


def test_other_runs_are_left_alone(layout: Layout) -> None:
    begin(layout, "r1")
    begin(layout, "r2")

    close_unfinished(layout, EP, "r1", "failed", "why")

    assert json.loads(layout.run(EP, "r2").manifest.read_text())["status"] == "running"
