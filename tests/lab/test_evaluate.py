"""The scores are those that a person would count, and the tool runs on a real episode."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from apps.common.contracts.rows import DetectionRow, read_rows
from apps.common.errors import InvalidInput
from apps.common.options import effective_stride
from apps.demo.encode import write_episode
from apps.demo.scene import ROCKET, Camera, Episode, Shot, Transition
from apps.results.cvat import cvat
from apps.results.export import ExportedRun, readable
from lab.evaluate import main
from lab.evaluation.ground_truth import read_ground_truth
from lab.evaluation.rows import (
    UNTRACKED,
    Found,
    Frames,
    FrameTable,
    Marked,
    Truth,
    read_mot,
    read_run,
    read_truth,
)
from lab.evaluation.scores import CutScores, Scores, add_cuts, score, score_cuts, tracks_across
from lab.evaluation.systems import options_for, run_library, run_product
from lab.paths import CHECKOUT
from lab.scenes.director import Stage, along, keyed
from lab.scenes.people import GARAGE, PEOPLE

LEFT, RIGHT = (0.0, 0.0, 40.0, 50.0), (200.0, 0.0, 240.0, 50.0)
Line = tuple[int, int, tuple[float, float, float, float]]


def table(lines: Iterable[Line]) -> Frames:
    """Frames from (frame, id, box)."""
    result = FrameTable()
    for frame, number, box in lines:
        result.add(frame, number, box, 0.9)
    return result.frames()


def truth(
    lines: Iterable[Line],
    frames: int = 10,
    cuts: tuple[int, ...] = (),
    transitions: tuple[Transition, ...] = (),
    ignored: Iterable[Line] = (),
) -> Truth:
    return Truth(table(lines), table(ignored), cuts, transitions, frames)


def found(lines: Iterable[Line], stride: int = 1, cuts: tuple[int, ...] | None = None) -> Found:
    return Found(table(lines), tuple(range(0, 10, stride)), cuts)


def two_people(ids: tuple[int, int] = (1, 2)) -> list[Line]:
    """Two faces that stay where they are for ten frames."""
    return [(f, n, box) for f in range(10) for n, box in zip(ids, (LEFT, RIGHT), strict=True)]


def swapped(at: int) -> list[Line]:
    return [
        (f, n if f < at else 3 - n, box)
        for f in range(10)
        for n, box in zip((1, 2), (LEFT, RIGHT), strict=True)
    ]


def test_a_perfect_result_scores_one() -> None:
    scores = score(truth(two_people()), found(two_people(ids=(71, 5))), iou=0.5)
    assert scores == Scores(*[pytest.approx(1.0)] * 7, 0, 0, 0, 0, 2, 2, 1.0, 1.0, 0, 0, 10)


def test_two_tracks_that_swap_in_the_middle_score_as_known_by_hand() -> None:
    scores = score(truth(two_people()), found(swapped(at=5)), iou=0.5)
    # Whichever track is whose, half of its faces are another's.
    assert scores.idf1 == pytest.approx(0.5)
    assert scores.id_switches == 2
    assert scores.mota == pytest.approx((20 - 2) / 20)
    assert (scores.recall, scores.precision, scores.det_a) == (1.0, 1.0, pytest.approx(1.0))
    # Each face shares five frames with its track; either has ten, so fifteen together.
    assert scores.ass_a == pytest.approx(5 / 15)
    assert scores.hota == pytest.approx((5 / 15) ** 0.5)


def test_a_track_that_breaks_is_a_fragmentation_and_lost_recall() -> None:
    lines = [line for line in two_people() if not (line[1] == 1 and line[0] in (4, 5))]
    scores = score(truth(two_people()), found(lines), iou=0.5)
    assert (scores.fragmentations, scores.id_switches) == (1, 0)
    assert scores.recall == pytest.approx(18 / 20)
    assert scores.idf1 == pytest.approx(2 * 18 / (20 + 18))


def test_no_track_at_all_scores_nothing() -> None:
    scores = score(truth(two_people()), found([]), iou=0.5)
    assert (scores.hota, scores.idf1, scores.recall, scores.detector_recall) == (0, 0, 0, 0)


def test_detections_of_no_track_count_for_the_detector_only() -> None:
    lines = [(f, UNTRACKED if n == 2 else n, box) for f, n, box in two_people()]
    scores = score(truth(two_people()), found(lines), iou=0.5)
    assert scores.recall == pytest.approx(0.5)
    assert (scores.detector_recall, scores.detector_precision) == (1.0, 1.0)
    assert scores.tracks == 1


def test_only_sampled_frames_count() -> None:
    lines = [line for line in two_people() if line[0] % 3 == 0]
    assert score(truth(two_people()), found(lines, stride=3), iou=0.5).idf1 == 1.0
    assert score(truth(two_people()), found(lines), iou=0.5).recall == pytest.approx(0.4)


def test_only_marked_frames_count() -> None:
    """Every third frame is marked; what is found between says nothing, right or wrong."""
    known = replace(truth([line for line in two_people() if line[0] % 3 == 0]), marked=Marked(3))
    scores = score(known, found(two_people()), iou=0.5)
    assert (scores.idf1, scores.precision, scores.scored_frames) == (1.0, 1.0, 4)
    assert score(known, found(two_people(), stride=2), iou=0.5).scored_frames == 2
    assert score(replace(known, marked=Marked()), found(two_people()), iou=0.5).precision == 0.4


def test_a_run_that_samples_no_marked_frame_is_told_which_strides_do() -> None:
    known = replace(truth([(1, 1, LEFT), (4, 1, LEFT), (7, 1, LEFT)]), marked=Marked(3, first=1))
    with pytest.raises(InvalidInput, match="one frame in 3 from frame 1") as caught:
        score(known, found(two_people(), stride=3), iou=0.5)
    assert "1, 2, 4, 5, 7, 8, 10, 11, 13, 14" in str(caught.value.hint)
    assert score(known, found(two_people(), stride=2), iou=0.5).scored_frames == 1


def test_the_overlap_that_is_asked_for_decides() -> None:
    shifted = [(f, n, (x1 + 16, y1, x2 + 16, y2)) for f, n, (x1, y1, x2, y2) in two_people()]
    # 24 of 40 pixels shared: 24 / 56 = 0.43.
    assert score(truth(two_people()), found(shifted), iou=0.4).idf1 == 1.0
    assert score(truth(two_people()), found(shifted), iou=0.5).idf1 == 0.0


def test_half_hidden_faces_are_no_mistake_unless_strict() -> None:
    partial = [(f, -1, RIGHT) for f in range(10)]
    known = truth([line for line in two_people() if line[1] == 1], ignored=partial)
    assert score(known, found(two_people()), iou=0.5).precision == 1.0
    assert score(known, found(two_people()), iou=0.5, strict=True).precision == 0.5


def test_a_box_elsewhere_is_a_mistake_though_faces_are_ignored() -> None:
    known = truth(two_people(), ignored=[(f, -1, (100.0, 0.0, 140.0, 50.0)) for f in range(10)])
    wrong = [*two_people(), *((f, 3, (300.0, 0.0, 340.0, 50.0)) for f in range(10))]
    assert score(known, found(wrong), iou=0.5).precision == pytest.approx(20 / 30)


def test_a_face_behind_an_ignored_one_is_still_counted() -> None:
    """The ignored face lies over a whole one: the whole one's box stays."""
    known = truth(two_people(), ignored=[(f, -1, LEFT) for f in range(10)])
    assert score(known, found(two_people()), iou=0.5).recall == 1.0


# ------------------------------------------------------------------------------- cuts


def test_tracks_across_cuts_are_counted_once_for_every_cut() -> None:
    result = found(two_people())
    assert tracks_across(result, [(4, 4), (7, 7)]) == 4
    ended = found([line for line in two_people() if line[1] == 1 or line[0] < 4])
    assert tracks_across(ended, [(4, 4), (7, 7)]) == 2
    assert score(truth(two_people(), cuts=(4,)), result, iou=0.5).across_cuts == 2


def test_tracks_across_a_dissolve_have_faces_on_both_sides_of_all_of_it() -> None:
    known = truth(two_people(), transitions=(Transition(3, 5, 6),))
    into = found([line for line in two_people() if line[0] <= 6])
    through = found(two_people())
    assert score(known, into, iou=0.5).across_transitions == 0
    assert score(known, through, iou=0.5).across_transitions == 2


@pytest.mark.parametrize(
    ("cuts", "stride", "reported", "wanted"),
    [
        ((4,), 1, (4,), CutScores(1, 0, 0, 0, 0)),
        ((4,), 1, (5,), CutScores(0, 1, 1, 0, 0)),
        ((4,), 3, (6,), CutScores(1, 0, 0, 0, 0)),
        ((4,), 3, (), CutScores(0, 1, 0, 0, 0)),
        ((4, 5), 3, (6,), CutScores(1, 0, 0, 0, 0)),  # nobody can tell two from one
        ((4,), 1, (4, 8), CutScores(1, 0, 1, 0, 0)),
    ],
)
def test_a_cut_counts_at_the_first_sampled_frame_at_or_after_it(
    cuts: tuple[int, ...], stride: int, reported: tuple[int, ...], wanted: CutScores
) -> None:
    assert score_cuts(truth([], cuts=cuts), found([], stride, reported)) == wanted


def test_a_dissolve_is_neither_a_hit_nor_a_false_cut() -> None:
    known = truth([], cuts=(8,), transitions=(Transition(2, 4, 5),))
    assert score_cuts(known, found([], 1, (3, 8))) == CutScores(1, 0, 0, 1, 1)
    assert score_cuts(known, found([], 1, (8,))) == CutScores(1, 0, 0, 0, 1)
    assert score_cuts(known, found([], 1, (1, 8))) == CutScores(1, 0, 1, 0, 1)


def test_cuts_of_several_videos_are_pooled() -> None:
    total = add_cuts([CutScores(3, 1, 0, 1, 2), CutScores(2, 0, 2, 0, 0)])
    assert (total.precision, total.recall) == (5 / 7, 5 / 6)
    assert total.f1 == pytest.approx(2 * 5 / (10 + 1 + 2))
    assert CutScores(0, 0, 0, 0, 0).f1 == 1.0


# ------------------------------------------------------------------------------- files


def test_mot_files_are_read_and_flagged_rows_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("1,4,10,20,30,40,1,1,0.9\n1,-1,0,0,5,5,0,1,0.2\n3,4,11,20,30,40,1,1,1\n")
    counted, ignored = read_mot(path)
    assert counted[0].boxes.tolist() == [[10, 20, 40, 60]]
    assert counted[2].ids.tolist() == [4]
    assert {frame: len(rows) for frame, rows in ignored.items()} == {0: 1}


@pytest.mark.parametrize("text", ["nonsense\n", "1,2,3\n", "a,b,c,d,e,f\n"])
def test_what_is_no_mot_file_is_refused(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gt.txt"
    path.write_text(text)
    assert main(["--detections", str(path), "--gt", str(path)]) == 2
    assert "not a MOT file" in capsys.readouterr().err


def test_missing_ground_truth_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--detections", str(tmp_path / "det.txt")]) == 2
    assert "--gt" in capsys.readouterr().err
    assert main(["--episode", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "make_evaluation_set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--iou", ["nan", "-1", "0", "1.1", "2", "inf", "x"]),
        ("--fps", ["0", "-25", "nan", "inf"]),
        ("--size", ["0x0", "640", "640x-1", "640x480x3", "1e3x5"]),
        ("--strides", ["", "0", "1,-6", "6,x", "1000000"]),
        ("--marked-every", ["0", "1.5"]),
        ("--jobs", ["0", "-1"]),
    ],
)
def test_values_that_cannot_be_are_refused_at_once(
    option: str, values: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for value in values:
        with pytest.raises(SystemExit) as caught:
            main([f"{option}={value}"])
        assert caught.value.code == 2
        assert f"argument {option}: {value!r} is not a" in capsys.readouterr().err


def test_an_episode_with_the_truth_of_another_is_refused(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    episode = tmp_path / "other"
    episode.mkdir()
    for path in short.iterdir():
        (episode / path.name).write_bytes(path.read_bytes())
    arguments = ["--episode", str(episode), "--strides", "24", "--data", str(tmp_path)]
    with (episode / "ground_truth.txt").open("a") as stream:
        stream.write("49,1,10,10,30,30,1,1,1\n")
    assert main(arguments) == 2
    assert "go on to frame 48 (from 0), the video has 48 frames" in capsys.readouterr().err
    (episode / "ground_truth.json").write_text("{}")
    assert main(arguments) == 2
    assert "that no episode was rendered with" in capsys.readouterr().err


def test_evaluation_takes_exactly_the_stride_that_is_asked_for() -> None:
    for stride in (1, 6, 12):
        options = options_for(stride)
        assert effective_stride(options.stride, options.fps, 29.97) == stride


def test_trackers_alone_on_public_detections(
    test_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TUD-Campus has 359 boxes of eight people; the library's defaults are known to reach 0.60."""
    folder = test_data / "mot" / "TUD-Campus"
    arguments = ["--detections", str(folder / "det.txt"), "--gt", str(folder / "gt.txt")]
    assert main([*arguments, "--strides", "4", "--size", "640x480"]) == 0
    printed = capsys.readouterr().out
    assert "stride 4" in printed
    for name in ("product", "library, defaults", "library, best HOTA", "library, best IDF1"):
        assert name in printed
    detections, _ = read_mot(folder / "det.txt")
    faces, _ = read_mot(folder / "gt.txt")
    known = Truth(faces, {}, (), (), max(faces) + 1)
    scores = score(known, run_library(detections, tuple(range(known.frames))), iou=0.5)
    assert scores.identities == 8
    assert scores.idf1 == pytest.approx(0.603, abs=0.005)


# ------------------------------------------------------------------------------- a real episode


def short_episode() -> Episode:
    """Two seconds: somebody walks, then somebody else stands at the same place."""
    one, other = Stage(GARAGE), Stage(ROCKET)
    walker = one.moving(PEOPLE[1], along(keyed((0.0, 0.35), (1.0, 0.5)), 0.42, 0.16), 1.0)
    shots = (
        Shot(24, GARAGE, Camera((one.view,)), (walker,)),
        Shot(24, ROCKET, Camera((other.view,)), (other.standing(PEOPLE[3], 0.5, 0.42, 0.16),)),
    )
    return Episode("short", shots, 320, 180, 24)


def colours(picture: NDArray[np.uint8]) -> int:
    """How many a picture has, shape (height, width, 3)."""
    return len(np.unique(picture.astype(np.uint32) @ (1, 256, 65536)))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluate")
    write_episode(short_episode(), root)
    return root / "videos" / "short"


def test_the_tool_evaluates_an_episode_at_several_strides(
    short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--episode", str(short), "--strides", "6,1", "--data", str(tmp_path)]
    assert main([*arguments, "--out", str(tmp_path / "report")]) == 0
    printed = capsys.readouterr().out
    assert printed.index("stride 1,") < printed.index("stride 6,")
    document = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert (tmp_path / "report" / "evaluation.png").stat().st_size > 10_000
    assert [(row["stride"], row["episodes"]) for row in document["means"]] == [(1, 1), (6, 1)]
    for row in document["episodes"]:
        product, library = row["scores"]["product"], row["scores"]["library"]
        assert set(product) == {field.name for field in fields(Scores)}
        assert product["detector_recall"] == library["detector_recall"] == 1.0
        assert product["idf1"] > 0.95
        assert (product["identities"], product["across_cuts"]) == (2, 0)
        assert row["cuts"]["f1"] == 1.0
    # The library knows no cuts: the second face at the same place is its first one still.
    assert document["episodes"][0]["scores"]["library"]["across_cuts"] == 1
    dense, sparse = (row["detector_seconds"] for row in document["episodes"])
    assert 0 < sparse < dense / 3


def test_the_overlap_of_the_command_line_reaches_the_scores(short: Path, tmp_path: Path) -> None:
    recall = []
    for overlap in ("0.5", "0.99"):
        arguments = ["--episode", str(short), "--strides", "6", "--data", str(tmp_path)]
        out = tmp_path / overlap
        assert main([*arguments, "--iou", overlap, "--out", str(out)]) == 0
        (row,) = json.loads((out / "evaluation.json").read_text())["episodes"]
        recall.append(row["scores"]["product"]["detector_recall"])
    assert recall[0] == 1.0
    assert recall[1] < 0.5


def test_a_picture_is_looked_at_once_whatever_the_stride(short: Path, tmp_path: Path) -> None:
    dense = run_product(short / "episode.mp4", "short", 1, tmp_path).found
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "detections").iterdir()}
    sparse = run_product(short / "episode.mp4", "short", 4, tmp_path).found
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "detections").iterdir()} == kept
    assert sparse.sampled == tuple(range(0, 48, 4))
    for frame in sparse.sampled:
        assert np.array_equal(sparse.rows[frame].boxes, dense.rows[frame].boxes)


def test_the_true_boxes_are_found_by_the_product(short: Path, tmp_path: Path) -> None:
    known = read_truth(short)
    assert (known.frames, known.cuts) == (48, (24,))
    run = run_product(short / "episode.mp4", "short", 1, tmp_path)
    scores = score(known, run.found, iou=0.5)
    assert scores.hota > 0.8
    moved = replace(known, rows={frame + 12: rows for frame, rows in known.rows.items()})
    assert score(moved, Found(known.rows, tuple(range(48))), iou=0.5).idf1 < 0.9


def test_a_run_that_is_there_already_is_scored(
    short: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = short.parents[1]
    command = [sys.executable, str(CHECKOUT / "tools" / "episode_run.py"), "--ep-id", "short"]
    options = ["--data-root", str(root), "--run-id", "every-2nd", "--stride", "2", "--fps", "1000"]
    device = ["--device", "cpu", "--detector", "centerface", "--cpu-threads", "1"]
    subprocess.run([*command, *options, *device], check=True, capture_output=True, timeout=80)
    folder = root / "manifests" / "short" / "runs" / "every-2nd"
    assert main(["--run", str(folder), "--gt", str(short / "ground_truth.txt")]) == 0
    figures = dict(re.findall(r"(\w+)\s+│\s+([0-9.]+)", capsys.readouterr().out))
    assert set(figures) == {field.name for field in fields(Scores)}
    assert float(figures["idf1"]) > 0.95
    assert figures["identities"] == "2"
    assert main(["--run", str(short), "--gt", str(short / "ground_truth.txt")]) == 2
    check_its_cuts(folder, capsys)
    check_that_its_own_export_is_its_truth(folder, capsys)


def check_its_cuts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody else stands there from frame 24 on."""
    shots = folder / "shots.csv"
    shots.write_text("start,end,kind\n24,24,cut\n30,30,cut\n")
    assert main(["--run", str(folder), "--shots", str(shots)]) == 0
    assert re.search(r"every-2nd │ +1 │ +1 │ +0 │ .* 30 ", capsys.readouterr().out)
    shots.write_text("start,end,kind\n48,48,cut\n")
    assert main(["--run", str(folder), "--shots", str(shots)]) == 2
    assert "the video has 48 frames" in capsys.readouterr().err
    (folder / "track_metrics.json").rename(folder / "metrics.json")
    assert main(["--run", str(folder), "--shots", str(shots)]) == 2
    assert "track_metrics.json" in capsys.readouterr().err
    (folder / "metrics.json").rename(folder / "track_metrics.json")


def check_that_its_own_export_is_its_truth(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What goes to CVAT and comes back are the same boxes with the same numbers."""
    exported = ExportedRun("short", folder.name, 320, 180, 48, 2)
    path = folder / "cvat.xml"
    rows = readable(read_rows(folder / "detections.jsonl", DetectionRow), 48)
    path.write_text("".join(cvat(rows, exported)))
    found, run = read_ground_truth(path).faces, read_run(folder / "detections.jsonl", (320, 180))
    tracked = {frame: faces.tracked for frame, faces in run.items() if len(faces.tracked) > 0}
    assert found.keys() == tracked.keys()
    for frame, here in tracked.items():
        there = found[frame]
        assert sorted(there.ids) == sorted(here.ids)
        same = there.boxes[np.argsort(there.ids)] - here.boxes[np.argsort(here.ids)]
        assert np.abs(same).max() < 0.01
    assert main(["--run", str(folder), "--gt", str(path)]) == 0
    figures = dict(re.findall(r"(\w+)\s+│\s+([0-9.]+)", capsys.readouterr().out))
    assert (figures["idf1"], figures["hota"]) == ("1.000", "1.000")
