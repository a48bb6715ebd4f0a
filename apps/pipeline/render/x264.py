"""How this product asks libx264 for H.264."""

from __future__ import annotations

import cv2

_AVX512 = 13  # CV_CPU_AVX_512F of OpenCV's interface.h, which has no name in Python


def x264_options(crf: int) -> dict[str, str]:
    """Options of FFmpeg's encoder, with which equal pictures become equal bytes.

    With one thread, that is: x264's result depends on their number. With AVX-512 it also differs
    from one run to the next now and then (core 165, macroblock-tree rate control on small
    pictures; seen in one encoding of twenty on a Zen 4 processor, in none of 120 with AVX2), so
    such a processor is asked for AVX2, which gives the same pictures as fast. Elsewhere x264
    chooses: it would take our word for what the processor has.

    Args:
        crf: constant rate factor, 0..51; less is prettier and larger.
    """
    repeatable = {"x264-params": "asm=avx2"} if cv2.checkHardwareSupport(_AVX512) else {}
    return {"preset": "veryfast", "crf": str(crf), **repeatable}
