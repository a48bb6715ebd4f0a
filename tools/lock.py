#!/usr/bin/env python3
"""Writes requirements*.txt from pyproject.toml: `make lock`.

Installs the newest versions into a temporary environment and lists them, without addresses, so
that the files work with any package index. Standard library only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Written by `make lock`. Install with --no-deps: the list is complete.\n"
# The same module as opencv-python-headless, with libraries of a display that servers lack.
REPLACED = {"opencv-python"}
NOT_PINNED = {"pip", "setuptools", "wheel"}


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = f"{folder}/bin/python"
        write("requirements.txt", install_and_list(python, project["dependencies"]))
        for extra, wishes in project["optional-dependencies"].items():
            write(f"requirements-{extra}.txt", missing(python, wishes))
    return 0


def install_and_list(python: str, wishes: list[str]) -> list[str]:
    """Pins of the wishes and of all that they need."""
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wishes], check=True)
    listing = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"],
        check=True,
        capture_output=True,
        text=True,
    )
    return pinned(pin.partition("==")[::2] for pin in listing.stdout.splitlines())


def missing(python: str, wishes: list[str]) -> list[str]:
    """Pins of what the wishes need and the environment lacks; nothing is installed."""
    report = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-", *wishes],
        check=True,
        capture_output=True,
        text=True,
    )
    found = [package["metadata"] for package in json.loads(report.stdout)["install"]]
    return pinned((package["name"], package["version"]) for package in found)


def pinned(packages: Iterable[tuple[str, str]]) -> list[str]:
    kept = [(n, v) for n, v in packages if n.lower() not in REPLACED | NOT_PINNED]
    return sorted((f"{name}=={version}" for name, version in kept), key=str.lower)


def write(name: str, pins: list[str]) -> None:
    (ROOT / name).write_text(HEADER + "\n".join(pins) + "\n")
    print(f"{name}: {len(pins)} packages")


if __name__ == "__main__":
    sys.exit(main())
