"""The Makefile where .venv is not what it made: copied, linked, or without its Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.paths import CHECKOUT
from lab.processes.service import clean_environment

HERE = Path(sys.prefix)

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that `make setup` reads, newer than any .venv."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    extras = ("", "-redis", "-pictures", "-editors")
    for name in ("Makefile", *(f"requirements{extra}.txt" for extra in extras)):
        shutil.copyfile(CHECKOUT / name, folder / name)
    return folder


def make(checkout: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    command = ["make", f"PYTHON={sys.executable}", *targets]
    return subprocess.run(
        command, cwd=checkout, capture_output=True, text=True, env=clean_environment(), check=False
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What it said about a failure, in a line, beside make's own."""
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    return line


def test_a_link_is_used_and_never_changed(checkout: Path) -> None:
    (checkout / ".venv").symlink_to(HERE)
    before = (HERE / "pyvenv.cfg").stat().st_mtime_ns
    done = make(checkout, "setup")
    assert done.returncode == 0, done.stderr
    assert (HERE / "pyvenv.cfg").stat().st_mtime_ns == before


def test_a_link_to_other_packages(checkout: Path) -> None:
    (checkout / ".venv").symlink_to(HERE)
    (checkout / "requirements.txt").write_text("numpy==0.0.1\n")
    words = said(make(checkout, "setup"))
    assert ".venv is a link" in words
    assert "rm .venv" in words


@pytest.mark.parametrize("target", ["up", "serve", "demo", "check"])
def test_a_link_that_leads_nowhere(checkout: Path, target: str) -> None:
    shutil.copyfile(CHECKOUT / "requirements-dev.txt", checkout / "requirements-dev.txt")
    (checkout / ".venv").symlink_to(checkout / "nowhere")
    words = said(make(checkout, target))
    assert "The Python of .venv does not run here. Remove .venv, then run make again." in words


def test_a_copy_from_another_machine(checkout: Path) -> None:
    """Its scripts and its Python are links and names of files that are not here."""
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to("/nowhere/bin/python3")
    (checkout / ".venv" / ".runtime").touch()
    assert "does not run here" in said(make(checkout, "up"))


def test_a_copy_serves_though_its_scripts_name_the_old_place(checkout: Path) -> None:
    """Programs are started by `python -m`, whatever stands on the first line of the scripts."""
    copy = checkout / ".venv"
    (copy / "bin").mkdir(parents=True)
    shutil.copyfile(HERE / "pyvenv.cfg", copy / "pyvenv.cfg")
    (copy / "lib").symlink_to(HERE / "lib")
    (copy / "bin" / "python").symlink_to(os.path.realpath(HERE / "bin" / "python"))
    (copy / ".runtime").touch()
    # Its command is this checkout's: to install it would change what `lib` leads to.
    (copy / ".checkout").write_text(f"{checkout}\n")
    for name in ("apps", "config", "pyproject.toml"):
        (checkout / name).symlink_to(CHECKOUT / name)
    done = make(checkout, "serve", "PORT=99999")
    assert "not found" not in done.stderr
    assert "Started server process" in done.stderr  # there is no such port
