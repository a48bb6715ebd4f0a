"""Where models' weights lie on disk, found without loading InsightFace."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path

from apps.common.config import model_registry
from apps.common.errors import ModelUnavailable

_HOME_VARIABLE, _DEFAULT_HOME = "INSIGHTFACE_HOME", "~/.insightface"


def insightface_root(pack: str) -> Path:
    """InsightFace's folder, where one of its packs is or may be put.

    Raises:
        ModelUnavailable: this user cannot look into it, or has no home where it could be.
    """
    root = _root()
    if root is None:
        reason = "this user has no home"
    else:
        try:
            os.scandir(root / "models" / pack).close()
        except FileNotFoundError:
            return root
        except OSError as error:
            reason = error.strerror or type(error).__name__
        else:
            return root
    shown = f"${_HOME_VARIABLE}" if os.environ.get(_HOME_VARIABLE) else _DEFAULT_HOME
    raise ModelUnavailable(
        f"InsightFace's folder {shown}/models/{pack} cannot be read: {reason}.",
        hint=f"Set {_HOME_VARIABLE} to a folder that this user may read, or do without the pack.",
    )


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
    """What cannot be read is not there: a user may have no home, or one of somebody else."""
    if model.endswith(".onnx"):
        path = _expanded(model)
        return path if path is not None and os.access(path, os.R_OK) and path.is_file() else None
    root = _root()
    if root is None:
        return None
    folder = root / "models" / model
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return None
    found = (path for pattern in patterns for path in entries if fnmatch(path.name, pattern))
    return next((path for path in found if os.access(path, os.R_OK)), None)


def _root() -> Path | None:
    """`INSIGHTFACE_HOME`, else InsightFace's own default; None where a home is missing."""
    return _expanded(os.environ.get(_HOME_VARIABLE) or _DEFAULT_HOME)


def _expanded(name: str) -> Path | None:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # there is no such user, or this one has no home
        return None


def detectors_on_disk(retinaface_model: str | None) -> frozenset[str]:
    """Detectors that need no download."""
    registry = model_registry().detectors
    model = retinaface_model or registry["retinaface"].pack or ""
    there = {"centerface"}
    if insightface_detector(model) is not None:
        there.add("retinaface")
    return frozenset(there)
