"""From weights to the session that a run uses: precision, then provider, then the check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import onnxruntime as ort

from apps.common.config import DetectorConfig
from apps.common.contracts.manifest import ModelFacts, ProviderProbe, QuantisedFacts
from apps.common.files import sha256_of
from apps.pipeline.arrays import ByteArray
from apps.pipeline.detect.base import (
    DetectorFacts,
    DetectorRequest,
    Network,
)
from apps.pipeline.detect.quantise import Quantiser
from apps.pipeline.detect.weights import Shape, check_network
from apps.pipeline.geometry import Letterbox
from apps.pipeline.inference.callbacks import LoadCallbacks
from apps.pipeline.inference.provider_benchmark import fastest_session
from apps.pipeline.inference.session import SessionPlan, nodes_on_cpu
from apps.pipeline.types import Faces


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


@dataclass(frozen=True)
class ModelSource:
    """Where a model came from, for the run's report.

    Args:
        id: names it, in every row of its detections.
        file: as it came.
        sha256: of that file.
    """

    id: str
    file: Path
    sha256: str
    licence: str


def checked_source(
    model_id: str,
    file: Path,
    config: DetectorConfig,
    network: str,
    fits: Callable[[dict[str, Shape]], bool],
) -> ModelSource:
    """A file for a network. One that is not the configured one is looked into first.

    Args:
        config: the detector's entry in `config/models.toml`.
        network, fits: see `check_network`.

    Raises:
        ModelUnavailable: the file is broken, or of another network.
    """
    sha256 = sha256_of(file)
    if sha256 != config.sha256:
        check_network(file, network, fits)
    return ModelSource(model_id, file, sha256, config.licence)


class NetworkDetector:
    """A `Detector`: a network in a session. See the protocol for the arguments' units."""

    def __init__(
        self,
        source: ModelSource,
        weights: Weights,
        sought: Network,
        request: DetectorRequest,
        letterbox: Letterbox,
        cache: Path,
        callbacks: LoadCallbacks,
    ) -> None:
        """Loads the network.

        Args:
            sought: the weights' network with the request's threshold.
            request: threshold, provider, threads, precision.
            letterbox: the picture that it is loaded for.
            cache: folder of caches.
            callbacks: receive progress messages, and may stop the work.

        Raises:
            ModelUnavailable, AcceleratorMissing: as `load_session`.
        """
        loaded = load_session(weights, request, letterbox, cache, callbacks)
        self._session = loaded.session
        self._letterbox = letterbox
        self._find = sought.finder(loaded.session)
        facts = ModelFacts(
            id=source.id,
            sha256=source.sha256,
            licence=source.licence,
            file=source.file.name,
            precision=request.precision,
            quantised=loaded.quantised,
        )
        self._facts = detector_facts(facts, loaded)

    @property
    def facts(self) -> DetectorFacts:
        return self._facts

    @property
    def letterbox(self) -> Letterbox:
        return self._letterbox

    def detect(self, image: ByteArray) -> Faces:
        return self._find(image)


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
