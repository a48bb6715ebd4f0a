"""Packages that development, measuring and tests need, and a run of the product does not."""

from __future__ import annotations

import sys
from importlib.util import find_spec

_BAD_ARGUMENTS = 2  # the exit status of whatever the caller can mend


def require(*modules: str) -> None:
    """Ends the process with a sentence where one of these modules is not installed."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"error: the development packages are not installed ({', '.join(missing)} missing). "
            "Run `make setup-dev`, then this again with .venv/bin/python.\n"
        )
        raise SystemExit(_BAD_ARGUMENTS)
