"""ONNX Runtime sessions: providers and threads are decided here and nowhere else."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime as ort

from apps.common.errors import AcceleratorMissing, ModelUnavailable
from apps.common.options import CoreMLUnits, FloatType, Precision
from apps.pipeline.inference.cpu_kind import CpuKind, cpu_kind

CPU = "CPUExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
COREML = "CoreMLExecutionProvider"
CUDA = "CUDAExecutionProvider"
_KEPT_COREML = 8  # compiled models, of some megabytes each
_ASSIGNMENTS = "session.record_ep_graph_assignment_info"
_ERRORS_ONLY = 3


@dataclass(frozen=True)
class SessionPlan:
    """One session that is to be made.

    Args:
        model: the file.
        sha256: checksum of the file, hexadecimal.
        dimensions: sizes for the model's symbolic dimensions, so that shapes are static.
        threads: intra-op threads, >= 1.
        provider: ONNX Runtime's execution provider.
        precision: "int8" where the model is quantised.
        coreml_units: what CoreML may compute on.
        compiled: folder for what a provider makes of models; None keeps nothing.
    """

    model: Path
    sha256: str
    dimensions: Mapping[str, int]
    threads: int
    provider: str
    precision: Precision = "float32"
    coreml_units: CoreMLUnits = "CPUAndNeuralEngine"
    compiled: Path | None = None

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


def float_type(provider: str, precision: Precision, kind: CpuKind) -> FloatType:
    """What the layers that are not quantised are computed in on such a CPU. Pure.

    Beside eight bits the rounding of bfloat16 loses nothing (the check would tell), and where the
    CPU has instructions for it, OpenVINO takes a sixth less time. A float32 model stays exact.
    """
    has_instructions = not kind.flags.isdisjoint({"avx512_bf16", "amx_bf16"})
    is_worth_it = provider == OPENVINO and precision == "int8" and has_instructions
    return "bfloat16" if is_worth_it else "float32"


def _provider_list(plan: SessionPlan) -> list[Any]:
    """The provider with its options, then the CPU for what it does not know."""
    if plan.provider == CPU:
        return [CPU]
    return [(plan.provider, _provider_options(plan)), CPU]


def _provider_options(plan: SessionPlan) -> dict[str, str]:
    if plan.provider == OPENVINO:
        # Its pool is its own. Pinned threads of two runs would share a core while others idle.
        hints = {"float32": "f32", "bfloat16": "bf16"}
        config = {
            "INFERENCE_NUM_THREADS": str(plan.threads),
            "NUM_STREAMS": "1",
            "ENABLE_CPU_PINNING": "NO",
            "INFERENCE_PRECISION_HINT": hints[
                float_type(plan.provider, plan.precision, cpu_kind())
            ],
        }
        return {"device_type": "CPU", "load_config": json.dumps({"CPU": config})}
    if plan.provider == COREML:
        # The older format, NeuralNetwork, knows no ConvTranspose: CenterFace would go to pieces.
        return {
            "ModelFormat": "MLProgram",
            "MLComputeUnits": plan.coreml_units,
            "RequireStaticInputShapes": "1",  # every shape is; moving ones may crash it
            **_coreml_cache(plan),
        }
    if plan.provider == CUDA:
        return {
            "cudnn_conv_algo_search": "HEURISTIC",  # the exhaustive search takes seconds a shape
            "use_tf32": "0",  # its 10 bits of mantissa move boxes
            "arena_extend_strategy": "kSameAsRequested",  # not twice the memory at each step
        }
    return {}


def _coreml_cache(plan: SessionPlan) -> dict[str, str]:
    """A folder of its own for a model, its picture and ONNX Runtime; CoreML compiles for seconds.

    The oldest ones go. The cache is a help and never a condition.
    """
    if plan.compiled is None:
        return {}
    sizes = "x".join(str(size) for _, size in sorted(plan.dimensions.items()))
    name = f"{plan.sha256[:16]}-{sizes}-{plan.coreml_units}-ort{ort.__version__}"
    folder = plan.compiled / "coreml"
    try:
        (folder / name).mkdir(parents=True, exist_ok=True)
        os.utime(folder / name)
        kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    except OSError:
        return {}
    for old in kept[:-_KEPT_COREML]:
        shutil.rmtree(old, ignore_errors=True)
    return {"ModelCacheDirectory": str(folder / name)}


def make_session(plan: SessionPlan) -> ort.InferenceSession:
    """Loads a model.

    Raises:
        ModelUnavailable: the file is no model that ONNX Runtime can run.
        AcceleratorMissing: the session does not use the provider that was asked for.
    """
    options = session_options(plan.threads, plan.dimensions)
    if plan.provider != CPU:
        options.add_session_config_entry(_ASSIGNMENTS, "1")
    return load(plan.model.name, str(plan.model), options, plan)


def load(
    name: str, model: str | bytes, options: ort.SessionOptions, plan: SessionPlan
) -> ort.InferenceSession:
    """Loads a model with other options or from other bytes than the plan's own.

    Args:
        name: the file's, for the error's message.
        model: a path, or the content.

    Raises:
        ModelUnavailable, AcceleratorMissing: as `make_session`.
    """
    if plan.provider == CUDA:
        _load_cuda_libraries()
    try:
        session = ort.InferenceSession(model, options, providers=_provider_list(plan))
    except Exception as error:  # ONNX Runtime raises bare exception classes of its own
        raise ModelUnavailable(
            f"{name} cannot be loaded by ONNX Runtime.",
            hint="The file may be damaged: delete it and run again to get a new one.",
        ) from error
    check_provider(session, plan.provider)
    return session


@cache
def _load_cuda_libraries() -> None:
    """Loads those that packages of NVIDIA bring, which the system's loader does not find.

    ONNX Runtime prints what is missing; the session's own error follows.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        ort.preload_dlls()


def nodes_on_cpu(session: ort.InferenceSession) -> dict[str, int]:
    """How many nodes of each kind an accelerator has left to the CPU.

    Empty where it took all of them, and where this build of ONNX Runtime does not tell.
    """
    if session.get_providers()[0] == CPU:
        return {}
    try:
        parts = session.get_provider_graph_assignment_info()
    except Exception:  # ONNX Runtime raises bare exception classes of its own; older ones have none
        return {}
    left = Counter(
        node.op_type for part in parts if part.ep_name == CPU for node in part.get_nodes()
    )
    return dict(sorted(left.items()))


def check_provider(session: ort.InferenceSession, asked: str) -> None:
    """Compares the provider that a session uses with the one that was asked for.

    Raises:
        AcceleratorMissing: ONNX Runtime fell back without a word.
    """
    used = session.get_providers()[0]
    if used != asked:
        raise AcceleratorMissing(
            f"{asked} was asked for, but the session runs on {used}.",
            hint="Check the accelerator's driver and libraries, or use device 'cpu'.",
            providers=list(session.get_providers()),
        )
