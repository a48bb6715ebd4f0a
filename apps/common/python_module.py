"""How a program of this product starts another one, with the same code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import apps

_VARIABLE = "PYTHONPATH"


def python_module(module: str) -> list[str]:
    """The command that executes a module, whatever lies in the working folder.

    Args:
        module: dotted name. With `-P` it is not looked for in the working folder, which may hold an
            `apps` of its own; see `same_code`.
    """
    return [sys.executable, "-P", "-m", module]


def same_code(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which that command finds the code that runs here.

    Args:
        environ: what else is in it; this program's own environment by default.
    """
    given = dict(os.environ if environ is None else environ)
    others = given.get(_VARIABLE, "")
    here = str(Path(apps.__file__).resolve().parents[1])
    return {**given, _VARIABLE: f"{here}{os.pathsep}{others}" if others else here}
