"""Nothing is sent anywhere, and nothing is left outside the data root and the temporary folder.

Run without `CI` in the environment, since some libraries behave better where that is set.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.paths import CHECKOUT
from tests.support.sealed import Observed, observe

SILENT = Observed(names=[], home=[], checkout=[])


@pytest.mark.parametrize("scenario", ["service", "page"])
def test_nobody_is_asked_and_nothing_is_left(
    scenario: str, tmp_path: Path, test_data: Path
) -> None:
    video = test_data / "videos" / "carphone_pristine.mp4"
    assert observe(scenario, tmp_path, str(video)) == SILENT


def test_a_run_with_insightface(tmp_path: Path, test_data: Path) -> None:
    video = test_data / "videos" / "carphone_pristine.mp4"
    weights = test_data / "weights" / "scrfd_500m_kps.onnx"
    options = ("--detector", "retinaface", "--retinaface-model", str(weights))
    assert observe("run", tmp_path, str(video), *options) == SILENT


def _scripts_with_onnxruntime() -> list[Path]:
    """Those that are not part of `apps`."""
    sources = [path for folder in ("lab", "tools", "examples") for path in _python(folder)]
    found = [path for path in sources if "import onnxruntime" in path.read_text()]
    assert found, "there is nothing to check"
    return found


def _python(folder: str) -> list[Path]:
    return sorted((CHECKOUT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", _scripts_with_onnxruntime(), ids=lambda path: path.stem)
def test_scripts_switch_reports_off_before_they_load_the_runtime(path: Path) -> None:
    """Modules of `apps` cannot be loaded without it; scripts can."""
    imports = [
        line.split()[1].split(".")[0]
        for line in path.read_text().splitlines()
        if re.match(r"(import|from) ", line)
    ]
    assert imports.index("apps") < imports.index("onnxruntime")
