"""Detectors, behind one protocol."""

from __future__ import annotations

from pathlib import Path

from apps.common.config import model_registry
from apps.common.errors import InvalidInput
from apps.pipeline.detect.base import (
    Detector,
    DetectorFacts,
    DetectorRequest,
)
from apps.pipeline.inference.callbacks import NO_CALLBACKS, LoadCallbacks

__all__ = ["Detector", "DetectorFacts", "DetectorRequest", "make_detector"]


def make_detector(
    name: str,
    request: DetectorRequest,
    *,
    cache: Path,
    retinaface_model: str | None,
    callbacks: LoadCallbacks = NO_CALLBACKS,
) -> Detector:
    """Loads the detector of that name in `config/models.toml`.

    Args:
        cache: folder of caches.
        retinaface_model: pack or file for `retinaface`; None takes the configured pack.
        callbacks: receive progress messages, and may stop the work.

    Raises:
        InvalidInput: there is none of that name.
        ModelUnavailable: its weights are missing or broken, or int8 was asked for and is no good.
        AcceleratorMissing: the session does not use the provider that was asked for.
    """
    config = model_registry().detectors
    if name == "centerface":
        from apps.pipeline.detect.centerface import CenterFace

        return CenterFace(request, config[name], cache, callbacks)
    if name == "retinaface":
        from apps.pipeline.detect.retinaface import RetinaFace

        return RetinaFace(request, config[name], retinaface_model, cache, callbacks)
    raise InvalidInput(f"Unknown detector {name!r}.", hint=f"Allowed: {', '.join(sorted(config))}.")
