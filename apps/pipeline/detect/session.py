"""ONNX Runtime sessions: providers and threads are decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort

from apps.common.errors import AcceleratorMissing, ModelUnavailable

_ERRORS_ONLY = 3


def session_options(
    threads: int, dimensions: Mapping[str, int] | None = None
) -> ort.SessionOptions:
    """Options for a session that shares a machine.

    Args:
        threads: intra-op threads, >= 1. Set even where it equals the number of cores: otherwise
            ONNX Runtime pins threads to cores that a cpuset may forbid (onnxruntime#8313).
        dimensions: sizes for symbolic dimensions of the model, so that shapes are static.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    # Idle threads would otherwise spin and burn a core each between two frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    for name, size in (dimensions or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    return options


def provider_list(provider: str) -> list[str]:
    """The provider, then the CPU for what it does not know."""
    return list(dict.fromkeys([provider, "CPUExecutionProvider"]))


def make_session(model: Path, options: ort.SessionOptions, provider: str) -> ort.InferenceSession:
    """Loads a model.

    Raises:
        ModelUnavailable: the file is no model that ONNX Runtime can run.
        AcceleratorMissing: the session does not use the provider that was asked for.
    """
    try:
        session = ort.InferenceSession(str(model), options, providers=provider_list(provider))
    except Exception as error:  # ONNX Runtime raises bare exception classes of its own
        raise ModelUnavailable(
            f"{model.name} cannot be loaded by ONNX Runtime.",
            hint="The file may be damaged: delete it and run again to get a new one.",
        ) from error
    check_provider(session, provider)
    return session


def check_provider(session: ort.InferenceSession, asked: str) -> None:
    """Raises:
    AcceleratorMissing: ONNX Runtime fell back without a word.
    """
    used = session.get_providers()[0]
    if used != asked:
        raise AcceleratorMissing(
            f"{asked} was asked for, but the session runs on {used}.",
            hint="Check the accelerator's driver and libraries, or use device 'cpu'.",
            providers=list(session.get_providers()),
        )
