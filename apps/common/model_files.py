"""Where models' weights lie on disk, found without loading InsightFace."""

from __future__ import annotations

import os
from pathlib import Path

from apps.common.config import model_registry


def insightface_root() -> Path:
    """InsightFace's folder: `INSIGHTFACE_HOME`, else its own default."""
    return Path(os.environ.get("INSIGHTFACE_HOME") or "~/.insightface").expanduser()


def insightface_detector(model: str) -> Path | None:
    """The detector's file of a pack, or the given `.onnx` file; None where it is not on disk.

    Packs hold several models; detectors are named `det_*.onnx` (buffalo) or `scrfd_*.onnx`
    (antelopev2).
    """
    return _in_pack(model, "det_*.onnx", "scrfd_*.onnx")


def insightface_recogniser(model: str) -> Path | None:
    """The recognition model's file of a pack, or the given `.onnx` file; None where there is none.

    Packs name them `w600k_*.onnx` (buffalo) or `glintr100.onnx` (antelopev2).
    """
    return _in_pack(model, "w600k_*.onnx", "glintr*.onnx")


def _in_pack(model: str, *patterns: str) -> Path | None:
    if model.endswith(".onnx"):
        path = Path(model).expanduser()
        return path if path.is_file() else None
    folder = insightface_root() / "models" / model
    found = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return found[0] if found else None


def detectors_on_disk(retinaface_model: str | None) -> frozenset[str]:
    """Detectors that need no download."""
    registry = model_registry().detectors
    model = retinaface_model or registry["retinaface"].pack or ""
    there = {"centerface"}
    if insightface_detector(model) is not None:
        there.add("retinaface")
    return frozenset(there)
