"""Which of ONNX Runtime's execution providers this host can run."""

from __future__ import annotations

import ctypes
import sys

import onnxruntime as ort

from apps.pipeline.inference.session import CUDA

_NEED_CUDA_DRIVER = (CUDA, "TensorrtExecutionProvider")


def usable_providers() -> tuple[str, ...]:
    """Those of this build of ONNX Runtime, without CUDA's where there is no device for them.

    ONNX Runtime tells what it was built with, not what is there.
    """
    built = ort.get_available_providers()
    if CUDA in built and not has_cuda_device():
        return tuple(name for name in built if name not in _NEED_CUDA_DRIVER)
    return tuple(built)


def has_cuda_device() -> bool:
    """Whether NVIDIA's driver is installed and finds a device (`cuInit` of CUDA's driver API)."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return bool(ctypes.CDLL(name).cuInit(0) == 0)
    except OSError:
        return False
