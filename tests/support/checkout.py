"""A copy of the product's source that a test may change while it is served."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.paths import CHECKOUT


def copy_checkout(target: Path) -> Path:
    """Copies what the programs need, as it lies on disk now.

    What is compiled goes with it, for each program would compile the whole again; what another
    process is writing does not.
    """
    ignored = shutil.ignore_patterns("*.pyc.*")
    shutil.copytree(CHECKOUT / "apps", target / "apps", ignore=ignored)
    return target
