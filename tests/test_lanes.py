"""Which tests `make test-fast` takes."""

from __future__ import annotations

import re
import subprocess
import sys

from lab.paths import CHECKOUT
from lab.processes.service import clean_environment


def test_the_fast_ones_start_no_process() -> None:
    """The choice is made once all are marked."""
    chosen = re.search(r'-m "(not slow.*?)"', (CHECKOUT / "Makefile").read_text())
    assert chosen is not None
    names = ("common/test_names.py", "common/test_version.py", "browser/test_system.py")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", chosen[1]]
    done = subprocess.run(
        [*command, *(f"tests/{name}" for name in names)],
        cwd=CHECKOUT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    files = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    assert "tests/common/test_names.py" in files
    assert "tests/common/test_version.py" not in files
    assert "tests/browser/test_system.py" not in files
