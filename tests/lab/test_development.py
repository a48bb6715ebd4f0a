"""Without the development packages, as after `make demo`, tools that need them say what to run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from lab.paths import CHECKOUT

NAMES = re.findall(r"^([A-Za-z0-9_.-]+)==", (CHECKOUT / "requirements-dev.txt").read_text(), re.M)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed packages but for those of development, as links."""
    folder = tmp_path_factory.mktemp("packages")
    left_out = {name.lower().replace("-", "_") for name in NAMES}
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.name.split("-")[0].lower() not in left_out:
            (folder / path.name).symlink_to(path)
    return folder


def run(packages: Path, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", "-m", tool, *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "tool",
    [
        "lab.evaluate",
        "lab.quality",
        "lab.bench",
        "lab.evaluation.screen_time",
        "lab.evaluation.small_faces",
    ],
)
def test_tools_of_development_say_what_to_run(tool: str, packages: Path) -> None:
    done = run(packages, tool)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the development packages are not installed (")
    assert "make setup-dev" in done.stderr
    assert done.stderr.count("\n") == 1


def test_tools_of_the_product_need_none(packages: Path) -> None:
    for tool in ("apps.cli.episode_run", "lab.make_evaluation_set", "apps.cli.demo"):
        done = run(packages, tool, "--help")
        assert done.returncode == 0, done.stderr


def test_the_target_that_is_named_is_listed() -> None:
    listed = subprocess.run(
        ["make", "help"], cwd=CHECKOUT, check=True, capture_output=True, text=True
    )
    assert re.search(r"^setup-dev +\w", listed.stdout, re.M)
