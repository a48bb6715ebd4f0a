"""From weights to the session that a run uses: precision, then provider, then the check."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import onnxruntime as ort

from apps.common.contracts.manifest import ModelFacts, ProviderProbe, QuantisedFacts
from apps.common.files import sha256_of
from apps.pipeline.detect.base import (
    DetectorFacts,
    DetectorRequest,
    Network,
)
from apps.pipeline.detect.quantise import Quantiser
from apps.pipeline.geometry import Letterbox
from apps.pipeline.inference.callbacks import LoadCallbacks
from apps.pipeline.inference.provider_benchmark import fastest_session
from apps.pipeline.inference.session import SessionPlan, nodes_on_cpu


@dataclass(frozen=True)
class Weights:
    """A float model with the network that it is of."""

    path: Path
    network: Network


@dataclass(frozen=True)
class LoadedSession:
    """A session that can detect, and how it came to be.

    Args:
        quantised: facts of the eight-bit model, where that runs.
        probe: the benchmark that decided on the provider, where there was one.
    """

    session: ort.InferenceSession
    quantised: QuantisedFacts | None
    probe: ProviderProbe | None


def load_session(
    weights: Weights,
    request: DetectorRequest,
    letterbox: Letterbox,
    cache: Path,
    callbacks: LoadCallbacks,
) -> LoadedSession:
    """Loads weights for the provider, threads and precision of a request.

    Raises:
        ModelUnavailable: the model cannot be loaded, or int8 is no good here.
        AcceleratorMissing: the session does not use the provider that was asked for.
    """
    width, height = letterbox.canvas_width, letterbox.canvas_height
    sha256 = sha256_of(weights.path)
    plan = SessionPlan(
        weights.path,
        sha256,
        weights.network.dimensions(width, height),
        request.threads,
        request.provider,
        coreml_units=request.coreml_units,
        compiled=cache,
    )
    if request.precision == "float32":
        session, probe = fastest_session(plan, request.rivals, letterbox, cache, callbacks)
        return LoadedSession(session, None, probe)
    quantiser = Quantiser(weights.path, sha256, weights.network, request.threads, cache, callbacks)
    eight = quantiser.model()
    plan = replace(plan, model=eight.path, sha256=eight.facts.sha256, precision="int8")
    session, probe = fastest_session(plan, request.rivals, letterbox, cache, callbacks)
    facts = quantiser.checked(session.get_providers()[0]).facts
    return LoadedSession(session, facts, probe)


def detector_facts(model: ModelFacts, loaded: LoadedSession) -> DetectorFacts:
    """Read back from the session."""
    providers = tuple(loaded.session.get_providers())
    return DetectorFacts(
        model=model,
        provider=providers[0],
        session_providers=providers,
        intra_op_threads=loaded.session.get_session_options().intra_op_num_threads,
        probe=loaded.probe,
        nodes_on_cpu=nodes_on_cpu(loaded.session),
    )
