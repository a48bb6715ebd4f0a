"""Deleting people: nothing of them is left in any file, and everything of others is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from apps.common.contracts.manifest import Holder
from apps.common.errors import EpisodeBusy, EpisodeNotFound
from apps.common.layout import Layout
from apps.people.corrected import corrected_people
from apps.people.forget import forget_everywhere, forget_people
from apps.people.log import read_log
from apps.runs.lock import episode_lock
from apps.runs.trash import delete_episode, delete_run, restore
from lab.processes.service import clean_environment
from tests.people.test_corrected import CUTS, PEOPLE, VISITS, correction
from tests.support.people_run import EP, complete_run

OTHER = "other-ep"
DATA = {"people.jsonl", "embeddings.npz", "people_corrections.jsonl"}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Two runs of an episode, with two people who are named, and another episode."""
    complete_run(tmp_path, "r1", VISITS, PEOPLE, cuts=CUTS)
    complete_run(tmp_path, "r2", VISITS, PEOPLE, cuts=CUTS, stride=5)
    complete_run(tmp_path, "r1", VISITS, PEOPLE, cuts=CUTS, ep_id=OTHER)
    layout = Layout(tmp_path)
    for ep_id in (EP, OTHER):
        (layout.videos / ep_id).mkdir(parents=True)
    correction(layout, "r1", "name", "person-0001", name="Anna")
    correction(layout, "r1", "name", "person-0002", name="Ben")
    return layout


def data_of_people(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name in DATA)


def names(layout: Layout, run_id: str) -> list[str | None]:
    return [row.name for row in corrected_people(layout, EP, run_id).rows]


def marks_of(layout: Layout, run_id: str) -> set[str]:
    """Tracks of a run that the log tells of."""
    rows = read_log(layout, EP).rows
    return {mark.track_id for row in rows if row.run_id == run_id for mark in row.tracks}


def tracks_with_embedding(layout: Layout, run_id: str) -> set[str]:
    with np.load(layout.run(EP, run_id).embeddings) as arrays:
        assert len({len(array) for array in arrays.values() if array.ndim}) == 1
        return {str(name) for name in arrays["track_ids"]}


def test_all_people_of_an_episode(layout: Layout) -> None:
    assert len(data_of_people(layout.manifests(EP))) == 5
    staged = layout.run(EP, "killed").staged
    staged.folder.mkdir(parents=True)
    staged.embeddings.write_bytes(b"half")
    found = forget_people(layout, EP)
    assert (found.ep_ids, found.files) == ([EP], 6)
    assert data_of_people(layout.manifests(EP)) == []
    assert layout.run(EP, "r1").tracks.exists()
    assert len(data_of_people(layout.manifests(OTHER))) == 2
    assert forget_people(layout, EP).ep_ids == []


def test_one_person_and_nobody_else(layout: Layout) -> None:
    before = {run: corrected_people(layout, EP, run).rows for run in ("r1", "r2")}
    found = forget_people(layout, EP, "Anna")
    assert (found.ep_ids, found.files) == ([EP], 5)
    for run, rows in before.items():
        [anna] = [row for row in rows if row.name == "Anna"]
        [ben] = [row for row in rows if row.name == "Ben"]
        assert corrected_people(layout, EP, run).rows == [ben]
        left = tracks_with_embedding(layout, run)
        assert left.isdisjoint(anna.track_ids)
        assert set(ben.track_ids) <= left
    text = layout.corrections(EP).read_text()
    assert "Anna" not in text
    assert not set(before["r1"][0].track_ids) & set(marks_of(layout, "r1"))
    assert read_log(layout, EP).revision == 2
    assert correction(layout, "r2", "undo").unmatched == []  # Ben's name
    assert forget_people(layout, EP, "Anna").ep_ids == []


def test_who_was_with_others_is_cut_out_of_them(layout: Layout) -> None:
    """The run has taken Anna and Ben for one; by hand they were parted."""
    complete_run(layout.root, "r3", VISITS, [[0, 1, 2, 3, 4]], cuts=CUTS)
    [row] = corrected_people(layout, EP, "r3").rows
    correction(layout, "r3", "move", tracks=row.track_ids[1:4:2])
    parts = {len(row.track_ids): row for row in corrected_people(layout, EP, "r3").rows}
    correction(layout, "r3", "name", parts[2].person_id, name="Cid")
    forget_people(layout, EP, "Cid")
    [left] = corrected_people(layout, EP, "r3").rows
    assert left.track_ids == parts[3].track_ids
    written = json.loads(layout.run(EP, "r3").people.read_text())
    assert written["track_ids"] == parts[3].track_ids
    assert written["screen_seconds"] == pytest.approx(parts[3].screen_seconds, abs=1e-3)
    assert {face["track_id"] for face in written["best_faces"]} <= set(left.track_ids)


def test_what_lies_in_the_trash(layout: Layout) -> None:
    run = delete_run(layout, EP, "r1")
    forget_people(layout, EP, "Anna")
    episode = delete_episode(layout, OTHER)
    forget_everywhere(layout, "Ben")
    restore(layout, run.trash_id)
    assert names(layout, "r1") == []
    assert names(layout, "r2") == []
    assert tracks_with_embedding(layout, "r1") == {"track-00006"}  # nobody's
    assert len(data_of_people(layout.trash)) == 2
    assert forget_everywhere(layout).ep_ids == [OTHER, EP]
    assert data_of_people(layout.root) == []
    restore(layout, episode.trash_id)


def test_a_name_of_a_run_that_is_gone(layout: Layout) -> None:
    complete_run(layout.root, "r4", VISITS, PEOPLE, cuts=CUTS)
    correction(layout, "r4", "name", "person-0001", name="Dora")
    dora = marks_of(layout, "r4")
    correction(layout, "r4", "decline", "person-0002", name="Dora")
    another = marks_of(layout, "r4") - dora
    for path in sorted(layout.run(EP, "r4").folder.rglob("*"), reverse=True):
        path.unlink()
    forget_people(layout, EP, "Dora")
    assert "Dora" not in layout.corrections(EP).read_text()
    assert marks_of(layout, "r4") == another != set()


def test_an_episode_on_which_a_run_is_on_stays(layout: Layout) -> None:
    holder = Holder(
        ep_id=EP, run_id="r9", execution_mode="local", pid=1, host="here",
        since="2026-11-28T10:00:00.000+00:00",
    )  # fmt: skip
    with episode_lock(layout, holder):
        with pytest.raises(EpisodeBusy):
            forget_people(layout, EP)
        found = forget_everywhere(layout)
    assert (found.ep_ids, found.busy) == ([OTHER], [EP])
    assert len(data_of_people(layout.root)) == 5


def test_an_episode_whose_log_cannot_be_read_keeps_no_other_one_from_it(layout: Layout) -> None:
    log = layout.corrections(OTHER)
    log.write_text('{"schema_version": "people_correction_v9"}\n')
    found = forget_everywhere(layout, "Anna")
    assert (found.ep_ids, found.unreadable) == ([EP], [OTHER])
    assert names(layout, "r1") == ["Ben"]
    assert forget_everywhere(layout).ep_ids == [OTHER, EP]  # all of them need no names
    assert data_of_people(layout.root) == []


def test_an_episode_that_is_not_there(layout: Layout) -> None:
    with pytest.raises(EpisodeNotFound):
        forget_people(layout, "none")


def test_by_the_command(layout: Layout) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "apps.cli.main", "people", "forget", *arguments],
            env=clean_environment(SCREENALYTICS_DATA_ROOT=str(layout.root)),
            capture_output=True,
            text=True,
            check=False,
        )

    done = command("--ep-id", EP, "--name", "Anna")
    assert (done.returncode, done.stdout[:7]) == (0, "5 files"), done.stderr
    assert names(layout, "r2") == ["Ben"]
    assert command("--ep-id", "none").returncode == 3
    assert command().returncode == 2  # of nobody in particular: nothing
    assert data_of_people(layout.root) != []
    layout.corrections(OTHER).write_text('{"schema_version": "people_correction_v9"}\n')
    refused = command("--everywhere", "--name", "Ben")
    assert refused.returncode == 1
    assert OTHER in refused.stderr
    assert names(layout, "r2") == []
    assert command("--everywhere").returncode == 0
    assert data_of_people(layout.root) == []
