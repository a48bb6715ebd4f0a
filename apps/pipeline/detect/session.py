"""ONNX Runtime sessions: providers and threads are decided here and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnxruntime as ort

from apps.common.errors import AcceleratorMissing, ModelUnavailable

CPU = "CPUExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
_COREML = "CoreMLExecutionProvider"
_ERRORS_ONLY = 3


@dataclass(frozen=True)
class SessionPlan:
    """One session that is to be made.

    Args:
        model: the file.
        sha256: of the file.
        dimensions: sizes for the model's symbolic dimensions, so that shapes are static.
        threads: intra-op threads, >= 1.
        provider: ONNX Runtime's execution provider.
    """

    model: Path
    sha256: str
    dimensions: Mapping[str, int]
    threads: int
    provider: str

    def by(self, provider: str) -> SessionPlan:
        """The same with another provider."""
        return replace(self, provider=provider)


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
    # The arena stays: without it every inference returns its memory and faults it in again (13 %
    # more CPU, and 40 MB more at the peak). Planning one block for all activations of a static
    # shape does not pay: the same time, 10 to 15 MB more.
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    # Idle threads would otherwise spin and burn a core each between two frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    for name, size in (dimensions or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    return options


def provider_list(provider: str, threads: int) -> list[Any]:
    """The provider with its options, then the CPU for what it does not know."""
    if provider == CPU:
        return [CPU]
    return [(provider, _provider_options(provider, threads)), CPU]


def _provider_options(provider: str, threads: int) -> dict[str, str]:
    if provider == OPENVINO:
        # Its pool is its own. Pinned threads of two runs would share a core while others idle.
        config = {
            "INFERENCE_NUM_THREADS": str(threads),
            "NUM_STREAMS": "1",
            "ENABLE_CPU_PINNING": "NO",
        }
        return {"device_type": "CPU", "load_config": json.dumps({"CPU": config})}
    if provider == _COREML:
        return {"RequireStaticInputShapes": "1"}  # every shape is; moving ones may crash it
    return {}


def make_session(plan: SessionPlan) -> ort.InferenceSession:
    """Loads a model.

    Raises:
        ModelUnavailable: the file is no model that ONNX Runtime can run.
        AcceleratorMissing: the session does not use the provider that was asked for.
    """
    options = session_options(plan.threads, plan.dimensions)
    return load(plan.model.name, str(plan.model), options, plan)


def load(
    name: str, model: str | bytes, options: ort.SessionOptions, plan: SessionPlan
) -> ort.InferenceSession:
    """Loads a model with other options or from other bytes than the plan's own.

    Args:
        name: of the file, for the error.
        model: a path, or the content.

    Raises:
        ModelUnavailable, AcceleratorMissing: as `make_session`.
    """
    try:
        session = ort.InferenceSession(
            model, options, providers=provider_list(plan.provider, plan.threads)
        )
    except Exception as error:  # ONNX Runtime raises bare exception classes of its own
        raise ModelUnavailable(
            f"{name} cannot be loaded by ONNX Runtime.",
            hint="The file may be damaged: delete it and run again to get a new one.",
        ) from error
    check_provider(session, plan.provider)
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
