#!/usr/bin/env python3
"""Writes requirements.txt and requirements-dev.txt from pyproject.toml: `make lock`.

Installs the newest versions into a temporary environment and lists them, without addresses, so
that the files work with any package index. Standard library only.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
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
        runtime = install_and_list(python, project["dependencies"])
        everything = install_and_list(python, project["optional-dependencies"]["dev"])
    write("requirements.txt", runtime)
    write("requirements-dev.txt", [pin for pin in everything if pin not in runtime])
    return 0


def install_and_list(python: str, wishes: list[str]) -> list[str]:
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wishes], check=True)
    listing = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"],
        check=True,
        capture_output=True,
        text=True,
    )
    return [
        pin
        for pin in listing.stdout.splitlines()
        if pin.partition("==")[0].lower() not in REPLACED | NOT_PINNED
    ]


def write(name: str, pins: list[str]) -> None:
    (ROOT / name).write_text(HEADER + "\n".join(pins) + "\n")
    print(f"{name}: {len(pins)} packages")


if __name__ == "__main__":
    sys.exit(main())
