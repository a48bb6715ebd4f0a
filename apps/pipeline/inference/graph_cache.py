"""Optimised graphs, kept on disk: ONNX Runtime's optimiser runs once for a model and shape.

Only for the CPU provider; others compile what ONNX Runtime cannot write down. The cache is a help
and never a condition: a damaged file is made again, and a folder that cannot be written is passed
over.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import zlib
from pathlib import Path

import onnxruntime as ort

from apps.common.errors import ModelUnavailable
from apps.common.files import TEMPORARY, claimed
from apps.pipeline.inference.cpu_kind import cpu_kind
from apps.pipeline.inference.session import CPU, SessionPlan, load, make_session, session_options

_KEPT = 16  # graphs; about 8 MB each
_VERSION = 1  # raise when session options change that shape the graph


def open_session(plan: SessionPlan, cache: Path) -> ort.InferenceSession:
    """The session of a plan, from an optimised graph where there is one.

    Args:
        cache: folder of caches.

    Raises:
        ModelUnavailable, AcceleratorMissing: as `make_session`.
    """
    if plan.provider != CPU:
        return make_session(plan)
    folder = cache / "graphs"
    key = _key(plan)
    session = _cached(plan, folder, key)
    return _optimised(plan, folder, key) if session is None else session


def _key(plan: SessionPlan) -> str:
    """Threads are not in it: they do not shape the graph."""
    sizes = sorted(plan.dimensions.items())
    words = (
        f"{plan.sha256} {ort.__version__} {sizes} {plan.provider} {cpu_kind().digest} {_VERSION}"
    )
    return hashlib.sha256(words.encode()).hexdigest()[:24]


def _cached(plan: SessionPlan, folder: Path, key: str) -> ort.InferenceSession | None:
    """None where there is no file of that key that is whole."""
    for path in folder.glob(f"{key}-*.onnx"):
        try:
            graph = path.read_bytes()
        except OSError:
            continue
        if path.name == _name(key, graph):
            options = session_options(plan.threads)  # sizes are in the graph already
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            with contextlib.suppress(ModelUnavailable):
                session = load(path.name, graph, options, plan)
                with contextlib.suppress(OSError):
                    os.utime(path)  # the ones not used for longest go first
                return session
        with contextlib.suppress(OSError):
            path.unlink()
    return None


def _optimised(plan: SessionPlan, folder: Path, key: str) -> ort.InferenceSession:
    """Optimises the graph and keeps it, where it can be kept."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{secrets.token_hex(8)}{TEMPORARY}"
        with claimed(temporary):
            return _optimised_by(temporary, plan, folder, key)
    except OSError:
        return make_session(plan)


def _optimised_by(
    temporary: Path, plan: SessionPlan, folder: Path, key: str
) -> ort.InferenceSession:
    """A session whose optimised graph is kept for later runs.

    Args:
        temporary: where the graph is written at first.
    """
    options = session_options(plan.threads, plan.dimensions)
    options.optimized_model_filepath = str(temporary)
    try:
        session = load(plan.model.name, str(plan.model), options, plan)
        with contextlib.suppress(OSError):
            temporary.replace(folder / _name(key, temporary.read_bytes()))
            _remove_oldest(folder)
    except ModelUnavailable:  # no model, or no space for the graph: the plain way tells which
        session = make_session(plan)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return session


def _name(key: str, graph: bytes) -> str:
    """The checksum is part of the name, so that both appear in one step."""
    return f"{key}-{zlib.crc32(graph):08x}.onnx"


def _remove_oldest(folder: Path) -> None:
    graphs = sorted(folder.glob("[!.]*.onnx"), key=lambda path: path.stat().st_mtime)
    for path in graphs[:-_KEPT]:
        path.unlink(missing_ok=True)
