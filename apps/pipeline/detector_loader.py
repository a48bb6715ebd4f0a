"""Which detectors a run has: one or a pair, on what the options say, and proved before believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from apps.common.config import PipelineConfig, model_registry
from apps.common.contracts.manifest import Agreement
from apps.common.errors import AcceleratorMissing
from apps.common.options import PROVIDER_OF_DEVICE, Precision, provider_rivals
from apps.common.run_plan import RunPlan
from apps.pipeline.decode.video import Video
from apps.pipeline.detect import Detector, DetectorRequest, make_detector
from apps.pipeline.detect.agreement import is_enough, sentence
from apps.pipeline.detect.cascade import Cascade
from apps.pipeline.detect.mosaic import MosaicMaker
from apps.pipeline.detect.second_look import SecondLook, doubtful_from
from apps.pipeline.detector_check import DetectorCheck
from apps.pipeline.inference.callbacks import LoadCallbacks
from apps.pipeline.inference.session import CPU

Wrap = Callable[[Detector, DetectorRequest], Detector]


@dataclass
class DetectorLoader:
    """Loads what a run detects faces with.

    Args:
        plan: what the run is to do.
        config: see `config/pipeline.toml`.
        cache: folder of caches.
        callbacks: receive progress messages, and may stop the work.
        warn: receives what the run's caller must be told.
        wrap: gives what is asked in place of a detector that was loaded so.

    Attributes:
        checks: of eight bits and accelerators: what they were believed by, or not.
    """

    plan: RunPlan
    config: PipelineConfig
    cache: Path
    callbacks: LoadCallbacks
    warn: Callable[[str], None]
    wrap: Wrap
    checks: dict[str, Agreement] = field(init=False, default_factory=dict)

    @property
    def looks_again(self) -> bool:
        """Small faces in doubt are looked at again by the same detector."""
        return self.plan.options.small_faces != "off" and self._light is None

    def detector(self, video: Video, threads: int) -> Detector:
        """The one that looks at every frame. Of a pair it stays float32, which is faster for it.

        Args:
            threads: of each inference, >= 1.

        Raises:
            ModelUnavailable, AcceleratorMissing: as `make_detector`.
        """
        options, light = self.plan.options, self._light
        if light is not None:
            return self._loaded(video, light, "float32", threads)
        return self._loaded(video, options.detector, options.precision, threads)

    @property
    def is_pair(self) -> bool:
        """Whether a pair of detectors is wanted."""
        return model_registry().detectors[self.plan.options.detector].full is not None

    def cascade(self, video: Video, threads: int) -> Cascade | None:
        """The full one of a pair, where a pair is wanted. As `detector`."""
        options = self.plan.options
        full = model_registry().detectors[options.detector].full
        if full is None:
            return None
        cell = self.config.cascade.cell
        # So small a picture is soon looked at exactly, and shows too little to compare by.
        places = self._made(full, _exact(self._request("float32", threads, cell, cell, cell)))
        return Cascade(
            self.config.cascade,
            options.det_thresh,
            self._loaded(video, full, options.precision, threads),
            places,
            MosaicMaker(
                self.config.second_look.model_copy(update={"cell": cell}), places.letterbox
            ),
        )

    def second_look(self, detector: Detector) -> SecondLook | None:
        """Of that detector, where it is wanted."""
        if not self.looks_again:
            return None
        threshold = self.plan.options.det_thresh
        return SecondLook(self.config.second_look, threshold, detector.letterbox)

    @property
    def _light(self) -> str | None:
        """The light one of a pair, where a pair is wanted."""
        return model_registry().detectors[self.plan.options.detector].light

    @property
    def _reported_from(self) -> float:
        """The least confidence that detectors report."""
        threshold, pair = self.plan.options.det_thresh, self.config.cascade
        if self._light is not None:
            return threshold * min(pair.doubt, pair.confirm)
        return doubtful_from(threshold, self.config.second_look) if self.looks_again else threshold

    def _loaded(
        self,
        video: Video,
        name: str,
        precision: Precision,
        threads: int,
    ) -> Detector:
        """A detector of the video's pictures that can be believed."""
        facts, options = video.facts, self.plan.options
        request = self._request(precision, threads, facts.width, facts.height, options.det_size)
        try:
            detector = self._made(name, request)
        except AcceleratorMissing as missing:
            if not options.allow_cpu_fallback:
                raise
            self.warn(f"{missing.detail} The run uses the CPU.")
            return self._made(name, _exact(request))
        if detector.facts.provider == CPU and precision == "float32":
            return detector
        exact = self._made(name, _exact(request))
        return detector if self._is_believed(video, detector, exact) else exact

    def _request(
        self, precision: Precision, threads: int, width: int, height: int, det_size: int
    ) -> DetectorRequest:
        """As the options say; sides in pixels."""
        options = self.plan.options
        return DetectorRequest(
            width=width,
            height=height,
            det_size=det_size,
            det_thresh=self._reported_from,
            provider=PROVIDER_OF_DEVICE[options.device],
            threads=threads,
            precision=precision,
            rivals=provider_rivals(options),
            coreml_units=options.coreml_units,
        )

    def _made(self, name: str, request: DetectorRequest) -> Detector:
        given = self.plan.given_weights.of(name)
        detector = make_detector(
            name, request, cache=self.cache, given=given, callbacks=self.callbacks
        )
        return self.wrap(detector, request)

    def _is_believed(self, video: Video, detector: Detector, exact: Detector) -> bool:
        threshold = self.plan.options.det_thresh
        check = DetectorCheck(video, self.config.detector_check, threshold, self.callbacks.check)
        agreement = check.agreement(detector, exact)
        facts, box = detector.facts, detector.letterbox
        what = (
            f"{facts.model.id} at {box.canvas_width}x{box.canvas_height}, "
            f"{facts.model.precision} with {facts.provider}"
        )
        self.checks[what] = agreement
        said = f"{what}, against float32 on the CPU: {sentence(agreement)}"
        # Eight bits were found good on photos when they were made; a video may begin with nobody.
        nobody = facts.provider == CPU and agreement.faces == 0 and agreement.precision == 1.0
        if nobody or is_enough(agreement):
            self.callbacks.say(said)
            return True
        self.warn(f"{said}. It is not believed: the run uses float32 on the CPU.")
        return False


def _exact(request: DetectorRequest) -> DetectorRequest:
    return replace(request, provider=CPU, rivals=(), precision="float32")
