"""Real videos are scored, their errors drawn, and the document tells of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.common.errors import InvalidInput
from apps.demo.encode import write_episode
from lab.evaluate import main
from lab.evaluation.ground_truth import GroundTruth, read_ground_truth
from lab.evaluation.real import Clip, ClipResult, evaluate_clip
from lab.evaluation.real_clips import SOURCES, Real, Source, cuts_of_others, measure_real
from lab.evaluation.real_document import section, write_picture
from lab.evaluation.rows import Rows
from lab.evaluation.sheet import LEGEND, MAX_ERRORS, write_sheet
from lab.evaluation.shot_truth import Shots
from tests.lab.test_evaluate import colours, short_episode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds: somebody walks, then somebody else stands at the same place."""
    root = tmp_path_factory.mktemp("real")
    write_episode(short_episode(), root)
    return root / "videos" / "short"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def one_identity(folder: Path) -> GroundTruth:
    """A truth that takes both people for one, so that the product's second track is a split."""
    known = read_ground_truth(folder / "ground_truth.txt")
    return replace(
        known,
        faces={
            frame: Rows(np.ones_like(rows.ids), rows.boxes, rows.conf)
            for frame, rows in known.faces.items()
        },
    )


@pytest.fixture(scope="module")
def results(folder: Path, cache: Path) -> list[ClipResult]:
    clip = Clip("short", folder / "episode.mp4", one_identity(folder), Shots((24, 30)))
    return evaluate_clip(clip, (12, 6), 0.5, cache)


def test_the_command_line_scores_a_video(
    folder: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Faces of every third frame; of two cuts, one is none."""
    lines = (folder / "ground_truth.txt").read_text().splitlines()
    marks, shots = tmp_path / "marks.txt", tmp_path / "shots.csv"
    marks.write_text("\n".join(line for line in lines if int(line.split(",")[0]) % 3 == 1))
    shots.write_text("start,end,kind\n24,24,cut\n31,31,cut\n")
    given = ["--video", str(folder / "episode.mp4"), "--gt", str(marks), "--shots", str(shots)]
    arguments = ["--strides", "6,2", "--data", str(cache.parent), "--out", str(tmp_path / "out")]
    assert main([*given, *arguments]) == 0
    printed = capsys.readouterr().out
    assert "marks one frame in 3 (as its rows lie)" in printed
    assert re.search(r"stride 2 +│ +1 │ +1 │ +0 │", printed)
    document = json.loads((tmp_path / "out" / "video-episode.json").read_text())
    assert [row["stride"] for row in document["results"]] == [2, 6]
    for row in document["results"]:
        product = row["scores"]["product"]
        assert product["idf1"] > 0.95
        assert (product["takeovers"], product["splits"], product["scored_frames"]) == (0, 0, 8)
        assert (row["cuts"]["missed"], row["cuts"]["false"]) == ([31], [])
    # The library knows no cuts: the second face has its first one's track.
    library = document["results"][0]
    assert [e["kind"] for e in library["errors"]["library"]] == ["takeover"]
    assert library["scores"]["library"]["takeovers"] == 1


def test_cuts_alone_are_scored(
    folder: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shots = tmp_path / "shots.csv"
    shots.write_text("start,end,kind\n24,24,cut\n")
    video = ["--video", str(folder / "episode.mp4"), "--data", str(cache.parent)]
    arguments = ["--strides", "6", "--out", str(tmp_path / "out")]
    assert main([*video, *arguments, "--shots", str(shots)]) == 0
    printed = capsys.readouterr().out
    assert "cuts" in printed
    assert "tracks" not in printed
    assert main([*video, *arguments]) == 2
    assert "--shots" in capsys.readouterr().err


def test_a_video_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gt.txt").write_text("1,1,2,3,4,5,1\n")
    given = ["--video", str(tmp_path / "missing.mp4"), "--gt", str(tmp_path / "gt.txt")]
    assert main([*given, "--data", str(tmp_path)]) == 3
    assert capsys.readouterr().err.startswith("error: ")


def test_an_error_is_listed_and_drawn(results: list[ClipResult], tmp_path: Path) -> None:
    [error] = results[0].errors["product"]
    assert (error.kind, error.last_right, error.frame) == ("split", 18, 24)
    assert error.time_s == pytest.approx(1.0)
    assert results[0].scores["product"].splits == 1
    sheets = [result.sheet(with_pictures=False) for result in results]
    path = write_sheet(sheets, tmp_path / "new" / "drawn.png")
    assert path is not None
    drawn = cv2.imread(str(path))
    photo = cv2.imread(str(write_sheet([results[0].sheet(with_pictures=True)], path)))
    assert drawn is not None
    assert photo is not None
    # Boxes and captions on an empty ground, or on the video's frames: two errors beside each other.
    assert drawn.shape == photo.shape
    assert colours(drawn) < 5000
    assert colours(photo) > 10_000
    is_green = (drawn == (80, 220, 80)).all(axis=2)
    assert is_green[LEGEND:].sum() > 500  # what is true, thick
    assert 20 < is_green[:LEGEND].sum() < 500  # the words that say so


def test_of_many_errors_the_first_are_drawn(results: list[ClipResult], tmp_path: Path) -> None:
    sheet = results[0].sheet(with_pictures=False)
    many = replace(sheet, errors=[*sheet.errors] * (MAX_ERRORS + 5))
    path = write_sheet([many, sheet], tmp_path / "many.png")
    assert path is not None
    drawn = cv2.imread(str(path))
    assert drawn is not None
    assert drawn.shape[0] == LEGEND + (MAX_ERRORS // 2) * (26 + 270 + 8)


def test_without_errors_nothing_is_drawn(results: list[ClipResult], tmp_path: Path) -> None:
    sheet = replace(results[0].sheet(with_pictures=True), errors=())
    assert write_sheet([sheet], tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()


def test_episodes_are_drawn_where_errors_are_asked_for(
    folder: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy whose truth takes both people for one."""
    episode = tmp_path / "twice"
    episode.mkdir()
    for path in folder.iterdir():
        (episode / path.name).write_bytes(path.read_bytes())
    known = (folder / "ground_truth.txt").read_text().splitlines()
    one = [",".join([line.split(",")[0], "1", *line.split(",")[2:]]) for line in known]
    (episode / "ground_truth.txt").write_text("\n".join(one))
    arguments = ["--episode", str(episode), "--strides", "6", "--data", str(cache.parent)]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert re.search(r"split +│ +24 │ +1.00 │ +1 │ 1 → 2 │", capsys.readouterr().out)
    assert not list((tmp_path / "out").glob("errors-*"))
    assert main([*arguments, "--out", str(tmp_path / "out"), "--errors"]) == 0
    assert [path.name for path in (tmp_path / "out").glob("errors-*")] == [
        "errors-twice-stride-6.png"
    ]
    capsys.readouterr()


# ------------------------------------------------------------------------------- the document


def test_the_document_tells_of_real_videos(
    results: list[ClipResult], folder: Path, tmp_path: Path
) -> None:
    others = {"short": cuts_of_others(folder / "episode.mp4", results[0].truth)}
    real = Real(results, others, ())
    text = "\n".join(section(real))
    split = r"\| short \| 6 \| split \| 18 → 24 \| 1.00 \| 1 \| 1 → 2 \|"
    assert re.search(split, text)
    assert re.search(r"\| short \| product, stride 6 \| 1 \| 1 \| 0 \| 1.000 \| 0.500 \|", text)
    assert re.search(r"\| short \| PySceneDetect, AdaptiveDetector \| 1 \| 1 \| 0 \|", text)
    assert re.search(r"\| short \| 12 \| 0.\d+ / \d.\d+ \|", text)
    assert write_picture(real, tmp_path) == tmp_path / "quality-real.png"
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    real = measure_real(tmp_path, tmp_path)
    text = "\n".join(section(real))
    assert all(source.name in text for source in SOURCES)
    assert "not on this machine" in text
    assert "###" not in text
    assert write_picture(real, tmp_path) is None


def test_a_video_without_its_truth_is_an_error(folder: Path) -> None:
    source = Source("short", "episode.mp4", None, "missing.csv")
    with pytest.raises(InvalidInput, match=r"missing\.csv"):
        source.clip(folder)


def test_a_real_street(test_data: Path, cache: Path) -> None:
    """Marked in every third frame: at stride 12 all nine sampled frames are scored."""
    [source] = [source for source in SOURCES if source.name == "facenet_video"]
    assert source.strides == (1, 3, 6, 12, 24)
    [result] = evaluate_clip(source.clip(test_data), (12,), 0.4, cache)
    product, library = result.scores["product"], result.scores["library"]
    assert (product.scored_frames, product.identities) == (9, 12)
    assert product.recall > 0.8
    assert product.precision > 0.95
    assert product.idf1 > library.idf1
    assert result.cuts is None


def test_a_second_look_can_be_judged(
    test_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It finds small faces of the street; what is remembered of one way is not the other's."""
    video, truth = test_data / "videos/facenet_video.mp4", test_data / "truth/facenet_video.mot.txt"
    given = ["--video", str(video), "--gt", str(truth), "--strides", "24", "--data", str(tmp_path)]
    given += ["--out", str(tmp_path / "out")]
    recall = []
    for more in (["--small-faces", "second_look"], []):
        assert main([*given, *more]) == 0
        printed = capsys.readouterr().out
        assert ("small_faces second_look" in printed) == bool(more)
        assert "boxes matched at IoU 0.4" in printed
        assert "Counted are the tracks" in printed
        document = json.loads((tmp_path / "out" / "video-facenet_video.json").read_text())
        assert document["iou"] == 0.4
        recall.append(document["results"][0]["scores"]["product"]["detector_recall"])
    assert recall[0] > recall[1] + 0.05
    assert len(list((tmp_path / "cache" / "detections").iterdir())) == 2
    for others in (["--run", str(tmp_path)], ["--detections", str(truth)]):
        with pytest.raises(SystemExit) as caught:
            main([*others, "--gt", str(truth), "--small-faces", "second_look"])
        assert caught.value.code == 2


def test_faces_of_another_video_are_refused(
    test_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The street's faces have frames that the clip has, but places beside its picture."""
    video = test_data / "videos/short_hamilton_clip.mp4"
    truth = test_data / "truth/facenet_video.mot.txt"
    given = ["--video", str(video), "--gt", str(truth), "--strides", "24", "--data", str(tmp_path)]
    assert main(given) == 2
    assert "outside of the video's picture of 640x360" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "min_idf1s"),
    [("facenet_video", (0.9, 0.89, 0.87)), ("short_hamilton_clip", (0.99,) * 3)],
)
@pytest.mark.trap(54)
def test_nobody_takes_over_the_track_of_a_hidden_face(
    name: str, min_idf1s: tuple[float, ...], test_data: Path, cache: Path
) -> None:
    """Somebody passes before a face, a large one turns away from small ones, a woman hurries.

    `make quality` measures the clips at stride 1 as well.
    """
    [source] = [source for source in SOURCES if source.name == name]
    strides = (3, 6, 12, 18, 24)
    results = evaluate_clip(source.clip(test_data), strides, 0.4, cache)
    scores = {result.stride: result.scores["product"] for result in results}
    assert {stride: score.takeovers for stride, score in scores.items()} == dict.fromkeys(
        strides, 0
    )
    for stride, min_idf1 in zip((3, 6, 12), min_idf1s, strict=True):
        assert scores[stride].idf1 >= min_idf1


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_truth_of_the_clips_is_there_and_is_sampled(source: Source, test_data: Path) -> None:
    clip = source.clip(test_data)
    assert clip.video.is_file()
    assert clip.faces is not None or clip.shots is not None
    if clip.faces is not None:
        assert clip.faces.marked.step == 3
        assert any(len(rows) > 0 for rows in clip.faces.ignored.values())
