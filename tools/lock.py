#!/usr/bin/env python3
"""Writes requirements*.txt from pyproject.toml, for every Python and system claimed: `make lock`.

uv resolves, in a temporary environment: the newest versions, with the markers under which each
is needed and the hashes of all its files, and without addresses, so that the files work with any
package index. The table `tool.uv` of pyproject.toml says what is left out.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Written by `make lock`. Install with --no-deps: the list is complete.\n"
OLDEST_PYTHON = "3.11.0"
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", re.MULTILINE)


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = ROOT / "requirements.txt"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run(
            [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "uv"], check=True
        )
        uv = f"{folder}/bin/uv"
        write(base, compiled(uv))
        there = _PIN.findall(base.read_text())
        known = [part for name in there for part in ("--no-emit-package", name)]
        for extra in project["optional-dependencies"]:
            pins = compiled(uv, "--extra", extra, "--constraints", str(base), *known)
            write(ROOT / f"requirements-{extra}.txt", pins)
    return 0


def compiled(uv: str, *options: str) -> str:
    """Pins of what pyproject.toml requested, and of all that those need."""
    command = [uv, "pip", "compile", "pyproject.toml", "--quiet", "--universal"]
    command += ["--python-version", OLDEST_PYTHON, "--no-python-downloads"]
    command += ["--fork-strategy", "fewest"]  # the same versions for every Python
    command += ["--generate-hashes", "--no-annotate", "--no-header", *options]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def write(path: Path, pins: str) -> None:
    path.write_text(HEADER + pins)
    print(f"{path.name}: {len(_PIN.findall(pins))} packages")


if __name__ == "__main__":
    sys.exit(main())
