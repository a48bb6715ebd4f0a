from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.processes.service import Server, add_episode, serving


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("service") / "data"
    videos = test_data / "videos"
    add_episode(root, "talk", videos / "carphone_pristine.mp4")
    add_episode(root, "show", videos / "short_hamilton_clip.mp4")
    add_episode(root, "street", videos / "facenet_video.mp4")
    return root


@pytest.fixture(scope="module")
def server(data_root: Path) -> Iterator[Server]:
    with serving(data_root) as running:
        yield running
