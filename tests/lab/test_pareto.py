"""Detectors by cost and quality."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from lab import pareto
from lab.pareto import Point, front

CHEAP, DEAR = Point("cheap", 0.3, 0.90), Point("dear", 0.6, 0.95)


def test_the_front() -> None:
    worse, same = Point("worse", 0.5, 0.89), Point("same", 0.7, 0.95)
    assert front([same, DEAR, worse, CHEAP]) == [CHEAP, DEAR]
    assert front([Point("other", 0.3, 0.8), CHEAP]) == [CHEAP]
    assert front([]) == []


def row(system: str, ratio: float | None, stride: int = 6, height: int = 1080) -> dict[str, object]:
    case = {"stride": stride, "height": height}
    return {"system": system, "cpu_ratio": ratio, "case": case}


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    rows = [
        row("plain", None),
        row("product", 0.9, stride=1),
        row("product", 0.6),
        row("product-yunet", 0.3),
        row("product", 0.1, height=720),
    ]
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps({"rows": rows}))
    return path


def evaluation(path: Path, idf1: float) -> Path:
    means = [
        {"stride": stride, "product": {"idf1": idf1 - stride / 100, "recall": 0.9}}
        for stride in (12, 6)
    ]
    path.write_text(json.dumps({"means": means}))
    return path


def test_a_picture_and_a_table(
    tmp_path: Path, benchmark: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    target = tmp_path / "front.png"
    given = [
        f"{name}={evaluation(tmp_path / f'{name}.json', idf1)}"
        for name, idf1 in (("product", 1.0), ("product-yunet", 0.9))
    ]
    words = ["pareto", "--benchmark", str(benchmark), "--out", str(target), *given]
    monkeypatch.setattr("sys.argv", words)
    assert pareto.main() == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["idf1", "product-yunet", "0.300", "0.840", "front"],
        ["idf1", "product", "0.600", "0.940", "front"],
        ["recall", "product-yunet", "0.300", "0.900", "front"],
        ["recall", "product", "0.600", "0.900"],
    ]
    picture = cv2.imread(str(target))
    assert picture is not None
    assert picture.std() > 10


@pytest.mark.parametrize("given", ["nothing=product.json", "product=nowhere.json", "product"])
def test_what_was_not_measured(
    tmp_path: Path,
    benchmark: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    given: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    evaluation(tmp_path / "product.json", 0.9)
    words = ["pareto", "--benchmark", str(benchmark), "--out", "front.png", given]
    monkeypatch.setattr("sys.argv", words)
    assert pareto.main() == 2
    assert "error: " in capsys.readouterr().err


def test_several_real_videos_are_one_figure(
    tmp_path: Path, benchmark: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name, idf1 in (("street", 0.8), ("stage", 0.9)):
        scores = {"scores": {"product": {"idf1": idf1, "recall": 1.0}}, "stride": 6}
        (tmp_path / name).write_text(json.dumps({"results": [scores]}))
    files = f"product={tmp_path / 'street'},{tmp_path / 'stage'}"
    target = str(tmp_path / "front.png")
    monkeypatch.setattr(
        "sys.argv", ["pareto", "--benchmark", str(benchmark), "--out", target, files]
    )
    assert pareto.main() == 0
    assert "idf1    product                  0.600   0.850" in capsys.readouterr().out
