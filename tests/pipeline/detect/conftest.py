"""Weights that tests of several detectors share."""

from __future__ import annotations

from pathlib import Path

import pytest


def weights_file(test_data: Path, name: str) -> Path:
    """A file of the test data's weights; skips where it is missing."""
    path = test_data / "weights" / name
    if not path.is_file():
        pytest.skip(f"no {name} in the test data")
    return path


@pytest.fixture(scope="session")
def scrfd_path(test_data: Path) -> Path:
    return weights_file(test_data, "scrfd_500m_kps.onnx")


@pytest.fixture(scope="session")
def yunet_path(test_data: Path) -> Path:
    return weights_file(test_data, "yunet_n_dynamic.onnx")
