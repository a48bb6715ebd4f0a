"""What a look at a large library asks the disk for, and that nothing is missed by it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.common.files import read_json, write_json
from apps.common.layout import Layout
from apps.common.library_schemas import EpisodeChange, Library, LibraryOrder, LibraryQuery
from apps.people.cast import episodes_of_show
from apps.people.known import Known
from apps.results import library_scan
from apps.results.library import LibraryIndex
from apps.results.library_known import KnownVideo
from apps.runs.about import change_episode
from apps.runs.trash import delete_run
from tests.api import test_many_episodes as many
from tests.runs.test_retention import add as add_run

COUNT = 30
OLD = 1_700_000_000
opened = many.opened  # which files are opened from here on


@pytest.fixture(autouse=True)
def few_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_scan, "_IN_TURN", 0)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Episodes that were there for a while: a video, a title, and of each third a run."""
    layout = Layout(tmp_path)
    for number in range(COUNT):
        ep_id = f"show-{number:02}"
        layout.episode(ep_id).mkdir(parents=True)
        video(layout, ep_id).write_bytes(b"x" * (100 + number))
        change_episode(layout, ep_id, EpisodeChange(title=f"Title {number}"))
        if number % 3 == 0:
            add_run(layout, "run-1", 3, "cancelled", ep_id)
        settle(layout, ep_id)
    return layout


def video(layout: Layout, ep_id: str) -> Path:
    return layout.episode(ep_id) / "episode.mp4"


def settle(layout: Layout, ep_id: str) -> None:
    """As if what is there had been written long ago."""
    for path in (video(layout, ep_id), layout.episode(ep_id), layout.runs(ep_id)):
        if path.exists():
            os.utime(path, (OLD, OLD))


def listed(
    index: LibraryIndex, limit: int = 3, sort: LibraryOrder = "title", offset: int = 0, q: str = ""
) -> Library:
    query = LibraryQuery(limit=limit, sort=sort, offset=offset, q=q)
    return index._find(query)[0]


def learn(layout: Layout, index: LibraryIndex) -> None:
    """As if a decoder had looked at the videos."""
    for number in range(COUNT):
        facts = video(layout, f"show-{number:02}").stat()
        state = f"{facts.st_size}-{facts.st_mtime_ns}"
        index._memory.remember_video(f"show-{number:02}", KnownVideo(state=state, duration_s=1))


@pytest.fixture
def index(layout: Layout) -> LibraryIndex:
    made = LibraryIndex(layout)
    learn(layout, made)
    listed(made)
    listed(made)  # what was written down by the first one is there
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Of which paths something was asked since this was called last."""
    paths: list[str] = []
    usual = os.stat

    def noted(path: Any, *arguments: Any, **named: Any) -> os.stat_result:
        paths.append(str(path))
        return usual(path, *arguments, **named)

    def since() -> list[str]:
        found, paths[:] = list(paths), []
        return found

    monkeypatch.setattr(os, "stat", noted)
    return since


def test_an_episode_costs_two_questions_and_no_file_is_read(
    index: LibraryIndex, layout: Layout, opened: list[str], asked: Callable[[], list[str]]
) -> None:
    with_runs = COUNT / 3
    shown = 3
    asked()
    for query in ({}, {"q": "title 2"}, {"sort": "disk"}, {"offset": 20}):
        opened.clear()
        page = listed(index, **query)  # type: ignore[arg-type]
        assert len(page.items) == shown
        paths = [path for path in asked() if path.startswith(str(layout.root))]
        assert len([path for path in paths if path.startswith(str(layout.videos))]) <= (
            COUNT + 2 * shown + 1
        )
        assert len(paths) <= COUNT + with_runs + 6 * shown + 5, query
        assert [path for path in opened if path.startswith(str(layout.root))] == []


def test_a_server_that_starts_reads_no_episode_again(
    index: LibraryIndex, layout: Layout, opened: list[str]
) -> None:
    opened.clear()
    page = listed(LibraryIndex(layout), limit=COUNT)
    assert [item.title for item in page.items[:2]] == ["Title 0", "Title 1"]
    of_root = {Path(path).name for path in opened if path.startswith(str(layout.root))}
    assert of_root == {"library.json"}


def test_what_was_written_by_hand_while_no_server_was_there_is_found(
    index: LibraryIndex, layout: Layout
) -> None:
    with layout.about("show-05").open("r+") as stream:  # in its place: the folder has not changed
        stream.write('{"title": "By hand", "pinned": true}  ')
        stream.truncate()
    settle(layout, "show-05")
    [first] = listed(LibraryIndex(layout), limit=1).items
    assert (first.ep_id, first.title) == ("show-05", "By hand")


def test_names_come_and_go_at_once(index: LibraryIndex, layout: Layout) -> None:
    """Of episodes that are not shown, too: titles, pins, runs, and episodes themselves."""
    change_episode(layout, "show-29", EpisodeChange(pinned=True, title="A"))
    assert listed(index, limit=1).items[0].ep_id == "show-29"
    add_run(layout, "run-2", 1, "completed", "show-07")
    assert listed(index, limit=1, sort="changed", q="show-07").items[0].runs == 1
    layout.episode("new").mkdir()
    assert listed(index).total == COUNT + 1
    layout.episode("new").rmdir()
    assert listed(index).total == COUNT
    add_run(layout, "run-1", 1, "completed", "ran-alone")
    assert listed(index, q="ran-").total == 1


def test_a_manifest_that_comes_later_and_one_that_changes(
    index: LibraryIndex, layout: Layout
) -> None:
    """The folder of runs does not change by either."""
    add_run(layout, "run-9", 1, "completed", "show-04")
    manifest = layout.run("show-04", "run-9").manifest
    body = read_json(manifest)
    manifest.unlink()
    settle(layout, "show-04")
    for _ in range(2):
        assert listed(index, q="show-04").items[0].runs == 0
    write_json(manifest, {**(body or {}), "status": "running", "finished_at": None})
    settle(layout, "show-04")
    assert listed(index, q="show-04").items[0].runs == 1
    write_json(manifest, body or {})
    newest = listed(index, q="show-04").items[0].newest_run
    assert newest is not None
    assert newest.status == "completed"
    # A preview is made of a run that has ended: the manifest changes, and what it takes.
    settle(layout, "show-04")
    before = listed(index, q="show-04").items[0].result_bytes or 0
    layout.run("show-04", "run-9").preview.write_bytes(b"x" * 5000)
    write_json(manifest, {**(body or {}), "extra": 1})
    assert (listed(index, q="show-04").items[0].result_bytes or 0) >= before + 5000


def test_a_video_that_is_written_in_its_place_is_seen_when_it_is_shown_or_in_turn(
    index: LibraryIndex, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listed(index).disk.videos
    for ep_id in ("show-00", "show-20"):
        video(layout, ep_id).write_bytes(b"x" * 10_000)
        os.utime(video(layout, ep_id), (OLD + 9, OLD + 9))
    assert listed(index, limit=1).items[0].video_bytes > 10_000
    assert listed(index, limit=1).disk.videos - before == 9_900
    monkeypatch.setattr(library_scan, "_IN_TURN", 7)
    for _ in range(COUNT // 7 + 2):
        listed(index, limit=1)
    assert listed(index, limit=1).disk.videos - before == 9_900 + 9_880


def test_the_trash_is_not_counted_again(
    index: LibraryIndex, layout: Layout, opened: list[str]
) -> None:
    delete_run(layout, "show-00", "run-1")
    os.utime(layout.trash, (OLD, OLD))
    size = listed(index).disk.trash
    assert size > 0
    opened.clear()
    assert listed(index).disk.trash == size
    assert [path for path in opened if path.startswith(str(layout.trash))] == []
    delete_run(layout, "show-03", "run-1")
    assert listed(index).disk.trash > size


def test_what_was_said_of_a_show_is_read_once(layout: Layout, opened: list[str]) -> None:
    """For suggestions of names, which ask it of each episode."""
    known = Known()
    change_episode(layout, "show-03", EpisodeChange(show="Other"))
    assert episodes_of_show(layout, "Other", known) == ["show-03"]
    opened.clear()
    assert episodes_of_show(layout, "other", known) == ["show-03"]
    assert [path for path in opened if path.endswith("about.json")] == []
    change_episode(layout, "show-06", EpisodeChange(show="Other"))
    assert episodes_of_show(layout, "Other", known) == ["show-03", "show-06"]
