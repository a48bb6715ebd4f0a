"""Fixtures that every folder of tests uses."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import apps  # noqa: F401 - sets what ONNX Runtime reads when a test loads it

if TYPE_CHECKING:
    from lab.processes.queue import Redis

# A script that starts the tests in the background makes them ignore SIGINT, and `nohup` SIGHUP.
# What ignores one passes that on to every process it starts; the tests send both to theirs.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)  # the tests go on; processes get the default

REPO_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real videos and weights; see its INDEX.md."""
    named = os.environ.get("SCREENALYTICS_TEST_DATA")
    folder = Path(named) if named else REPO_ROOT.parent / "shared" / "data"
    if not (folder / "videos").is_dir():
        pytest.skip("no test data: set SCREENALYTICS_TEST_DATA to a folder that has videos/")
    return folder


@pytest.fixture(scope="module")
def broker(data_root: Path) -> Iterator[Redis]:
    """A Redis beside the module's data root."""
    from lab.processes.queue import redis_server  # most folders need no Redis

    with redis_server(data_root.parent / "redis") as running:
        yield running
