"""Fixtures that every folder of tests uses."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import apps  # noqa: F401 - sets what ONNX Runtime reads when a test loads it

# A script that starts the tests in the background makes them ignore SIGINT, and what ignores it
# passes that on to every process it starts; the tests send it to theirs.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPO_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real videos and weights; see its INDEX.md."""
    named = os.environ.get("SCREENALYTICS_TEST_DATA")
    folder = Path(named) if named else REPO_ROOT.parent / "shared" / "data"
    if not (folder / "videos").is_dir():
        pytest.skip("no test data: set SCREENALYTICS_TEST_DATA to a folder that has videos/")
    return folder
