"""Which provider is faster on this host? Measured once for a model, picture and threads."""

from __future__ import annotations

import hashlib
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from pydantic import ValidationError

from apps.common.contracts.manifest import ProviderProbe
from apps.common.errors import AcceleratorMissing, ModelUnavailable, StorageFailed
from apps.common.files import read_json, storage_errors, write_json
from apps.pipeline.geometry import Letterbox
from apps.pipeline.inference.callbacks import LoadCallbacks
from apps.pipeline.inference.cpu_kind import cpu_kind
from apps.pipeline.inference.graph_cache import open_session
from apps.pipeline.inference.session import SessionPlan

_BENCHMARK_SECONDS = 1.0
_MIN_ROUNDS = 3


def fastest_session(
    plan: SessionPlan,
    rivals: tuple[str, ...],
    letterbox: Letterbox,
    cache: Path,
    callbacks: LoadCallbacks,
) -> tuple[ort.InferenceSession, ProviderProbe | None]:
    """The session of the plan's provider, or of a rival that is faster.

    Args:
        rivals: without any, the plan's own provider is taken and nothing is measured.
        letterbox: size of the picture.
        cache: folder of caches; the result is kept there.

    Raises:
        ModelUnavailable, AcceleratorMissing: no session can be had.
    """
    if not rivals:
        return open_session(plan, cache), None
    notes = cache / "benchmarks" / f"{_key(plan, rivals)}.json"
    known = _remembered(notes, (plan.provider, *rivals))
    if known is not None:
        return open_session(plan.by(known.chosen), cache), known
    sessions = _sessions(plan, rivals, cache, callbacks)
    size = (letterbox.canvas_width, letterbox.canvas_height)
    callbacks.say(f"Measuring {' and '.join(sessions)}, once for this host and picture")
    milliseconds = benchmark_providers(sessions, size, callbacks)
    probe = ProviderProbe(
        chosen=min(milliseconds, key=lambda provider: milliseconds[provider]),
        milliseconds=milliseconds,
        picture=list(size),
        threads=plan.threads,
    )
    figures = ", ".join(f"{name} {spent:.1f} ms" for name, spent in milliseconds.items())
    callbacks.say(f"One inference: {figures}")
    try:
        with storage_errors():
            notes.parent.mkdir(parents=True, exist_ok=True)
            write_json(notes, probe.model_dump())
    except StorageFailed:
        callbacks.say("The measurement cannot be kept; the next run measures again.")
    return sessions[probe.chosen], probe


def benchmark_providers(
    sessions: dict[str, ort.InferenceSession], size: tuple[int, int], callbacks: LoadCallbacks
) -> dict[str, float]:
    """Median milliseconds of one inference, by provider. They take turns for about a second.

    Args:
        size: width and height of the picture, pixels.
    """
    picture = np.random.default_rng(1).uniform(0, 255, (1, 3, size[1], size[0]))
    blob = picture.astype(np.float32)
    spent: dict[str, list[float]] = {name: [] for name in sessions}
    for session in sessions.values():  # the first inference allocates
        session.run(None, {session.get_inputs()[0].name: blob})
    begin, rounds = time.perf_counter(), 0
    while rounds < _MIN_ROUNDS or time.perf_counter() - begin < _BENCHMARK_SECONDS:
        callbacks.check()
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, {session.get_inputs()[0].name: blob})
            spent[name].append(time.perf_counter() - start)
        rounds += 1
    return {name: round(1000 * statistics.median(each), 2) for name, each in spent.items()}


def _sessions(
    plan: SessionPlan, rivals: tuple[str, ...], cache: Path, callbacks: LoadCallbacks
) -> dict[str, ort.InferenceSession]:
    """Of all that can run the model. What was not asked for by name may fail to."""
    sessions = {}
    for provider in (plan.provider, *rivals[:-1]):
        try:
            sessions[provider] = open_session(plan.by(provider), cache)
        except (ModelUnavailable, AcceleratorMissing):
            callbacks.say(f"{provider} cannot run {plan.model.name}")
    sessions[rivals[-1]] = open_session(plan.by(rivals[-1]), cache)
    return sessions


def _key(plan: SessionPlan, rivals: tuple[str, ...]) -> str:
    words = (
        f"{plan.sha256} {sorted(plan.dimensions.items())} {plan.threads} {plan.provider} {rivals} "
        f"{ort.__version__} {cpu_kind().digest}"
    )
    return hashlib.sha256(words.encode()).hexdigest()[:24]


def _remembered(notes: Path, providers: tuple[str, ...]) -> ProviderProbe | None:
    try:
        probe = ProviderProbe.model_validate(read_json(notes))
    except ValidationError:
        return None
    return probe.model_copy(update={"remembered": True}) if probe.chosen in providers else None
