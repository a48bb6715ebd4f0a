"""What docs/quality.md is made of: ablations, errors, the detector alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apps.demo.encode import write_episode
from lab.evaluation import document
from lab.evaluation.ablation import ABLATIONS
from lab.evaluation.detection import Looked, look_at, look_with_each_nms, together
from lab.evaluation.evaluate_episodes import Episode, Measure, evaluate
from lab.evaluation.real_clips import Real
from lab.evaluation.rows import Found, read_truth
from lab.evaluation.screen_time import measure_seconds
from lab.evaluation.systems import ProductRun, run_product
from lab.scenes.evaluation_set import RECIPES
from tests.lab.test_evaluate import short_episode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An episode of two seconds: somebody walks, then somebody else stands at the same place."""
    root = tmp_path_factory.mktemp("quality")
    write_episode(short_episode(), root)
    return root / "videos" / "short"


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ProductRun:
    return run_product(folder / "episode.mp4", "short", 4, tmp_path_factory.mktemp("cache"))


def ablation(name: str, run: ProductRun) -> Found:
    [found] = [one.apply(run) for one in ABLATIONS if one.name == name]
    return found


def test_the_tracker_alone_gives_what_the_run_gave(run: ProductRun) -> None:
    again = ablation("as configured", run)
    assert again.sampled == run.found.sampled
    for frame in run.found.sampled:
        assert (again.rows[frame].ids == run.found.rows[frame].ids).all()
        assert again.rows[frame].boxes == pytest.approx(run.found.rows[frame].boxes, abs=0.1)


def test_what_is_taken_away_is_missed(run: ProductRun) -> None:
    def tracks(found: Found) -> set[int]:
        return {int(number) for rows in found.rows.values() for number in rows.ids}

    assert tracks(run.found) == {1, 2}
    assert tracks(ablation("no cuts", run)) == {1}
    assert tracks(ablation("no appearance", run)) == {1, 2}
    assert len({one.name for one in ABLATIONS}) == len(ABLATIONS)


def test_the_detector_is_asked_alone(folder: Path, tmp_path: Path) -> None:
    truth = read_truth(folder)
    looked = look_at(folder / "episode.mp4", "short", truth, 640, tmp_path)
    assert looked.frames == 10
    assert looked.faces() == 10
    assert looked.recall(0.5) == 1.0
    assert looked.precision(0.7) == 1.0
    assert looked.milliseconds > 0
    assert looked.faces(0, 10) == 0
    assert np.isnan(looked.recall(0.5, 0, 10))
    nobody = look_at(folder / "episode.mp4", "short", replace(truth, rows={}), 640, tmp_path)
    assert nobody.precision(0.5) == 0.0
    assert together([looked, nobody]).frames == 20


def test_boxes_that_overlap_are_one_face_from_the_overlap_that_is_asked_for(
    folder: Path, tmp_path: Path
) -> None:
    truth = read_truth(folder)
    found = look_with_each_nms(folder / "episode.mp4", "short", truth, tmp_path)
    usual = look_at(folder / "episode.mp4", "short", truth, 640, tmp_path)
    assert sorted(found) == [0.2, 0.3, 0.4, 0.5, 0.6]
    assert found[0.3].conf.tolist() == pytest.approx(usual.conf.tolist())
    assert found[0.2].recall(0.5) <= found[0.6].recall(0.5)
    assert len(found[0.2].false_conf) <= len(found[0.6].false_conf)


def test_recall_falls_with_the_threshold() -> None:
    looked = Looked(np.array([10.0, 30]), np.array([0.3, 0.9]), np.array([0.4]), 1.0, 2)
    assert [looked.recall(t) for t in (0.2, 0.5, 0.95)] == [1.0, 0.5, 0.0]
    assert [looked.precision(t) for t in (0.2, 0.5)] == [pytest.approx(2 / 3), 1.0]


def test_the_document_has_every_table(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    name = RECIPES[0].name
    measure = Measure((4, 12), 0.5, False, cache, ablated_sets=("tuning",))
    results = evaluate(Episode("tuning", name, folder, take=2), measure)
    assert all(result.ablations for result in results)
    [plain] = evaluate(Episode("heldout", name, folder), replace(measure, strides=(12,)))
    assert not plain.ablations
    looked = look_at(folder / "episode.mp4", "short", read_truth(folder), 640, cache)
    known = read_truth(folder)
    worst = {f"tuning {name} 2, stride 12": (known, known.rows, 24.0)}
    evaluation = document.Evaluation(
        Real((), {}, ("a_street",)),
        results,
        {"tuning, first take": measure_seconds(folder, (4, 12), cache)},
        {name: looked},
        {0.3: looked},
        {640: looked},
        [],
        worst,
    )
    paths = document.write(evaluation, tmp_path / "new")
    text = paths[0].read_text()
    for title in (
        "## Means",
        "## Seconds",
        "## Every episode",
        "## What each part",
        "## The detector alone",
    ):
        assert title in text
    assert re.search(r"\| tuning, first take \| 12 \| 1 \| \d\.\d\d \| 2\.00 \|", text)
    assert "- stated error: the standard error that the product states" in text
    assert RECIPES[0].tests in text
    assert RECIPES[1].tests not in text
    assert f"- **tuning {name} 2, stride 12**" in text
    assert "not on this machine: a_street" in text
    assert text.index("## Real videos") < text.index("## Rendered episodes")
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert all(path.stat().st_size > 1000 for path in paths)
