"""Marked shots are read as they stand, or refused with the line that is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apps.common.errors import InvalidInput
from apps.demo.scene import Transition
from lab.evaluation.rows import Found, Truth
from lab.evaluation.scores import CutErrors, CutScores, cut_errors, score_cuts
from lab.evaluation.shot_truth import Shots, read_shots


def read(folder: Path, content: str | bytes) -> Shots:
    path = folder / "shots.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_shots(path)


def test_cuts_and_gradual_changes_are_told_apart(tmp_path: Path) -> None:
    text = "start,end,kind\n50,50,cut\n\n 20 ,20, Cut\r\n30,41,dissolve\n5,5,wipe\n"
    shots = read(tmp_path, text)
    assert shots.cuts == (20, 50)
    assert [(item.first, item.last) for item in shots.transitions] == [(5, 5), (30, 41)]
    assert read(tmp_path, b"\xef\xbb\xbfstart,end,kind\n") == Shots()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "does not begin with start,end,kind"),
        ("20,20,cut\n", "does not begin with start,end,kind"),
        ("start,end,kind\n20,20\n", "no start,end,kind in line 2"),
        ("start,end,kind\n20,20,\n", "no start,end,kind in line 2"),
        ("start,end,kind\n1,1,cut\n\n20,20,cut,1\n", "no start,end,kind in line 4"),
        ("start,end,kind\n-1,20,fade\n", "no frame in line 2: '-1'"),
        ("start,end,kind\n1.5,20,fade\n", "no frame in line 2: '1.5'"),
        ("start,end,kind\n1,²,fade\n", "no frame in line 2: '²'"),
        ("start,end,kind\n1," + "9" * 5000 + ",fade\n", "no frame in line 2: '9{40}'"),
        ("start,end,kind\n21,20,fade\n", "line 2 that ends before it begins"),
        ("start,end,kind\n20,21,cut\n", "line 2 that does not start and end at one frame"),
        ("start,end,kind\n0,0,cut\n", "one frame after 0"),
        ("start,end,kind\n20,20,cut\n20,20,cut\n", "frame 20 in two changes, .* 2 and 3"),
        ("start,end,kind\n30,40,fade\n9,9,cut\n30,40,fade\n", "frame 30 in .* lines 2 and 4"),
        ("start,end,kind\n35,35,cut\n30,40,wipe\n", "frame 35 in two changes, .* 2 and 3"),
        ("start,end,kind\n30,40,fade\n40,50,dissolve\n", "frame 40 in two changes"),
        ("start,end,kind\n20,20,cut\0\n", r"the kind 'cut\\x00' in line 2, not cut, dissolve"),
        ("start,end,kind\n20,20,cutt\n", "the kind 'cutt' in line 2"),
        (b"start,end,kind\n\xff\xfe", "cannot be read as text"),
        ("start,end,kind\n" + '"' + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, content: str | bytes, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, content)
    assert re.search(reason, caught.value.detail)
    assert caught.value.hint
    assert len(caught.value.detail) < 300


def test_a_file_that_is_missing_and_shots_of_a_longer_video(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_shots(tmp_path / "missing.csv")
    shots = Shots((20,), (Transition(30, 36, 41),))
    assert shots.checked(42) is shots
    with pytest.raises(InvalidInput, match="go on to frame 41, the video has 41 frames"):
        shots.checked(41)


def test_which_cuts_are_wrong() -> None:
    """Sampled are 0, 6, 12, ...: the cuts at 20 and 22 are both to be found at 24, in one."""
    truth = Truth({}, {}, (7, 20, 22, 50), (Transition(30, 36, 41),), 60)
    found = Found({}, tuple(range(0, 60, 6)), cuts=(12, 36, 48))
    assert score_cuts(truth, found) == CutScores(1, 2, 1, 1, 1)
    assert cut_errors(truth, found) == CutErrors(missed=(20, 50), false=(48,))
