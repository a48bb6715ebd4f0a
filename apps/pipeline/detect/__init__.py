"""Detectors, behind one protocol."""

from __future__ import annotations

from pathlib import Path

from apps.common.config import model_registry
from apps.common.errors import InvalidInput
from apps.pipeline.detect.base import Detector, DetectorFacts, DetectorRequest

__all__ = ["Detector", "DetectorFacts", "DetectorRequest", "make_detector"]


def make_detector(
    name: str, request: DetectorRequest, *, cache: Path, retinaface_model: str | None
) -> Detector:
    """Loads the detector of that name in `config/models.toml`.

    Raises:
        InvalidInput: there is none of that name.
        ModelUnavailable: its weights are missing or broken.
        AcceleratorMissing: the session does not use the provider that was asked for.
    """
    config = model_registry().detectors
    if name == "centerface":
        from apps.pipeline.detect.centerface import CenterFace

        return CenterFace(request, config[name], cache)
    if name == "retinaface":
        from apps.pipeline.detect.retinaface import RetinaFace

        return RetinaFace(request, config[name], retinaface_model)
    raise InvalidInput(f"Unknown detector {name!r}.", hint=f"Allowed: {', '.join(sorted(config))}.")
