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
from apps.pipeline.detect.weights import weights_of
from apps.pipeline.inference.callbacks import NO_CALLBACKS, LoadCallbacks

__all__ = ["Detector", "DetectorFacts", "DetectorRequest", "make_detector"]


def make_detector(
    name: str,
    request: DetectorRequest,
    *,
    cache: Path,
    given: str | None = None,
    callbacks: LoadCallbacks = NO_CALLBACKS,
) -> Detector:
    """Loads the detector of that name in `config/models.toml`.

    Args:
        cache: folder of caches.
        given: its weights, where they were named by hand: a file, or a pack for `retinaface`.
        callbacks: receive progress messages, and may stop the work.

    Raises:
        InvalidInput: there is none of that name.
        ModelUnavailable: its weights are missing or broken, or int8 was asked for and is no good.
        AcceleratorMissing: the session does not use the provider that was asked for.
    """
    registry = model_registry().detectors
    if name == "centerface":
        from apps.pipeline.detect.centerface import CenterFace

        weights = weights_of(registry[name], given, cache, callbacks)
        return CenterFace(request, registry[name], weights, cache, callbacks)
    if name == "yunet":
        from apps.pipeline.detect.yunet import YuNet

        weights = weights_of(registry[name], given, cache, callbacks)
        return YuNet(request, registry[name], weights, cache, callbacks)
    if name == "retinaface":
        from apps.pipeline.detect.retinaface import RetinaFace

        return RetinaFace(request, registry[name], given, cache, callbacks)
    raise InvalidInput(
        f"Unknown detector {name!r}.", hint=f"Allowed: {', '.join(sorted(registry))}."
    )
