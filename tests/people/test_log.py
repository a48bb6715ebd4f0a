"""The log of corrections: two at once, a full disk, lines that are cut off or of later versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apps.common.contracts.corrections import CorrectionRow
from apps.common.errors import CorrectionsUnreadable, PeopleChanged, StorageFailed
from apps.common.layout import Layout
from apps.people.log import CorrectionLog, append, read_log
from lab.paths import CHECKOUT
from lab.processes.service import clean_environment

EP = "test-ep"
_PROCESSES, _LINES = 3, 12


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.manifests(EP).mkdir(parents=True)
    return layout


def named(name: str, log: CorrectionLog) -> CorrectionRow:
    return CorrectionRow(
        revision=log.revision + 1, at="2026-11-28", ep_id=EP, run_id="r1", action="name", name=name
    )


def add(layout: Layout, name: str, seen: int | None = None) -> CorrectionRow:
    seen = read_log(layout, EP).revision if seen is None else seen
    return append(layout, EP, seen, lambda log: named(name, log))


def names(layout: Layout) -> list[str | None]:
    return [row.name for row in read_log(layout, EP).rows]


def test_what_was_written_is_read(layout: Layout) -> None:
    assert read_log(layout, EP) == CorrectionLog()
    written = [add(layout, "Anna"), add(layout, "two\nlines\r\u2028 \0 عمر")]
    assert read_log(layout, EP).rows == tuple(written)
    assert layout.corrections(EP).read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_line_that_was_cut_off_is_told_and_loses_nothing(layout: Layout, cut: int) -> None:
    add(layout, "Anna")
    add(layout, "Ben")
    path = layout.corrections(EP)
    path.write_bytes(path.read_bytes()[:-cut])
    log = read_log(layout, EP)
    if cut > 1:  # else the line is whole and lacks its end alone
        assert (names(layout), log.damaged_lines, log.revision) == (["Anna"], 1, 1)
    before = path.read_bytes()
    add(layout, "Cid")
    assert names(layout)[-1] == "Cid"
    assert path.read_bytes().startswith(before)
    assert read_log(layout, EP).damaged_lines == (1 if cut > 1 else 0)


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\x00", b"{}", b"[" * 100_000, b"null", b'{"revision": 1e99}']
)
def test_a_damaged_line_spoils_no_other(layout: Layout, damage: bytes) -> None:
    for name in ("Anna", "Ben", "Cid"):
        add(layout, name)
    path = layout.corrections(EP)
    first, _, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damage + b"\n" + third)
    log = read_log(layout, EP)
    assert ([row.revision for row in log.rows], log.damaged_lines) == ([1, 3], 1)
    assert add(layout, "Dan").revision == 4


def test_a_log_of_a_later_version_is_refused_and_stays(layout: Layout) -> None:
    add(layout, "Anna")
    path = layout.corrections(EP)
    later = {
        **json.loads(path.read_text()),
        "revision": 2,
        "schema_version": "people_correction_v3",
    }
    path.write_bytes(path.read_bytes() + json.dumps(later).encode() + b"\n")
    before = path.read_bytes()
    with pytest.raises(CorrectionsUnreadable, match="people_correction_v3"):
        read_log(layout, EP)
    with pytest.raises(CorrectionsUnreadable):
        append(layout, EP, 2, lambda log: named("Eve", log))
    assert path.read_bytes() == before


def test_a_disk_that_is_full_leaves_the_log_as_it_was(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(layout, "Anna")
    before = layout.corrections(EP).read_bytes()
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", _no_space)
        with pytest.raises(StorageFailed, match="full"):
            add(layout, "Ben")
    assert layout.corrections(EP).read_bytes() == before
    assert add(layout, "Ben").revision == 2


def _no_space(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_log_that_leads_out_of_the_data_is_refused(layout: Layout, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_text("")
    layout.corrections(EP).symlink_to(outside)
    with pytest.raises((CorrectionsUnreadable, StorageFailed)):
        append(layout, EP, 0, lambda log: named("Eve", log))
    assert outside.read_text() == ""


def write_many(root: str, own: str) -> None:
    """What each of several processes does."""
    layout, written = Layout(Path(root)), 0
    while written < _LINES:
        try:
            add(layout, f"{own}-{written}")
        except PeopleChanged:
            continue
        written += 1


def test_several_processes_at_once_lose_no_line(layout: Layout) -> None:
    # No `multiprocessing`: it would begin with whatever is the main module of these tests.
    code = "import sys; from tests.people import test_log; test_log.write_many(*sys.argv[1:])"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, layout.root, str(n)], env=clean_environment(), cwd=CHECKOUT
        )
        for n in range(_PROCESSES)
    ]
    assert [process.wait() for process in processes] == [0] * _PROCESSES
    log = read_log(layout, EP)
    assert log.damaged_lines == 0
    assert [row.revision for row in log.rows] == list(range(1, _PROCESSES * _LINES + 1))
    for own in range(_PROCESSES):
        mine = [name for name in names(layout) if str(name).startswith(f"{own}-")]
        assert mine == [f"{own}-{number}" for number in range(_LINES)]
