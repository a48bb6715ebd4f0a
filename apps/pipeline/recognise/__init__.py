"""Recognisers: numbers that describe a face, alike for faces of one person."""

from __future__ import annotations

from pathlib import Path

from apps.pipeline.inference.callbacks import NO_CALLBACKS, LoadCallbacks
from apps.pipeline.recognise.base import Recogniser

__all__ = ["DLIB", "Recogniser", "make_recogniser"]

DLIB = "dlib"


def make_recogniser(
    model: str, threads: int, *, cache: Path, callbacks: LoadCallbacks = NO_CALLBACKS
) -> Recogniser:
    """Loads a recogniser.

    Args:
        model: `dlib`, a pack of InsightFace, or an `.onnx` file of its form.
        threads: intra-op threads, >= 1.
        cache: folder of caches.
        callbacks: receive progress messages, and may stop the work.

    Raises:
        ModelUnavailable: its weights are missing, damaged, or another network's.
    """
    if model == DLIB:
        from apps.pipeline.recognise.dlib_resnet import DlibResNet

        return DlibResNet(threads, cache, callbacks)
    from apps.pipeline.recognise.arcface import ArcFace  # loads InsightFace

    return ArcFace(model, threads)
