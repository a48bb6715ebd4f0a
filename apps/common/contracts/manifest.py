"""Files that are read as a whole: a run's manifest, progress and metrics; who holds a lock."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from apps.common.contracts.base import Readable
from apps.common.names import EpisodeId, RunId
from apps.common.options import FloatType, Options, Precision

SCHEMA_VERSION = 1
ExecutionMode = Literal["local", "redis", "sse", "cli"]
RunStatus = Literal["running", "completed", "cancelled", "failed", "interrupted"]
Phase = Literal["waiting", "starting", "loading", "running", "preview", "writing", "done"]
TrackEnd = Literal["cut", "left", "covered", "lost", "end"]
"""With its shot, at the picture's edge, behind something, for no known reason, with the file."""


PartState = Literal["queued", "in_progress", "retrying", "made"]


class PartProgress(Readable):
    """One part of a run that is divided.

    Args:
        number: from 1, in the order of the video.
        state: `retrying`: its worker is lost, and it will be begun again.
        attempts: how often it was begun.
    """

    number: int
    state: PartState
    worker: str | None = None
    host: str | None = None
    attempts: int = 0
    frames_done: int
    frames_total: int
    elapsed_sec: float | None = None
    cpu_percent: float | None = None


class Progress(Readable):
    """`progress.json`, and the `progress` events.

    ``parts`` are those of a queued run that is divided.
    """

    phase: Phase
    frames_done: int
    frames_total: int
    video_frames_total: int
    elapsed_sec: float
    analyzed_fps: float
    eta_sec: float | None
    run_id: str
    updated_at: str
    cpu_percent: float | None = None
    parts: list[PartProgress] = Field([])


class CpuFigures(Readable):
    """CPU of the run's process tree; 100 percent is one core.

    ``waited_seconds`` is how long its threads were ready and no core was free for them, all
    together; null where the system does not tell.
    """

    peak_percent: float
    mean_percent: float
    seconds: float
    waited_seconds: float | None = None


class ThermalFacts(Readable):
    """What heat did to a run's CPU budget; percents are of one core.

    Args:
        sensor: the driver that was read.
        usual_percent: the budget of a cool machine.
        lowest_percent: the lowest budget that was used.
    """

    sensor: str
    hottest_celsius: float
    usual_percent: float
    lowest_percent: float


class RunResult(Readable):
    """The answer of a finished run, the same by every path.

    Args:
        screen_s: for how long faces were on the screen, summed over all tracks.
        screen_error_s: its standard error.
    """

    status: Literal["completed"] = "completed"
    ep_id: str
    operation: Literal["detect_track"] = "detect_track"
    execution_mode: ExecutionMode
    run_id: str
    elapsed_seconds: float
    device: str
    provider: str
    profile: str
    options: Options
    cpu_threads: int
    frames_total: int
    frames_done: int
    detections: int
    tracks: int
    screen_s: float | None = None  # of runs that did not measure it
    screen_error_s: float | None = None
    analyzed_fps: float
    cpu: CpuFigures
    peak_rss_mb: float
    artifacts: dict[str, str]
    logs: list[str] = Field([])
    warnings: list[str] = Field([])


class Agreement(Readable):
    """How far one detector finds the faces that its exact form finds.

    Args:
        faces: that the exact one finds in the pictures of the check.
        recall: share of these that the other finds as well, overlapping by a half or more.
        precision: share of what the other finds that is a face of the exact one.
        mean_iou, least_iou: intersection over union of the matched boxes.
    """

    pictures: int
    faces: int
    recall: float
    precision: float
    mean_iou: float
    least_iou: float


class DecodingFacts(Readable):
    """What decoded a video.

    Args:
        device: FFmpeg's name of the hardware; None for software.
        format: how its frames are laid out, by FFmpeg's name.
        pictures: that were decoded by both first.
        difference: of the worst 16 x 16 pixels of them as the detector sees them, 0..255.
        refused: devices that were not believed, and why.
        lost: which was believed and then given up, and why.
    """

    device: str | None = None
    format: str | None = None
    pictures: int = 0
    difference: float | None = None
    refused: list[str] = Field([])
    lost: str | None = None


class PartFacts(Readable):
    """One part of a run that was put together from parts.

    Args:
        first: number of its first picture, in display order.
        frames: that were processed.
        host: where that was done.
        seconds: that it took.
        cpu_seconds: of all its threads.
        cpu_peak_percent: its highest use of CPU; 100 is one core.
        worker: that did it, of a job of the queue.
        attempts: how often it was begun; more than once where a worker was lost over it.
    """

    first: int
    frames: int
    host: str
    seconds: float
    cpu_seconds: float
    cpu_peak_percent: float = 0.0
    worker: str | None = None
    attempts: int = 1


class QuantisedFacts(Readable):
    """The eight-bit form of a model: its own checksum, how it was made, what its check found.

    ``float_layers`` is what the layers that are not quantised were computed in.
    """

    sha256: str
    recipe: str
    onnxruntime: str
    agreement: Agreement | None
    float_layers: FloatType = "float32"


class ModelFacts(Readable):
    """Which weights ran."""

    id: str
    sha256: str
    licence: str
    file: str
    precision: Precision = "float32"
    quantised: QuantisedFacts | None = None


class RecognitionFacts(Readable):
    """What a recognition model did to the tracks.

    Args:
        compared: faces that it looked at.
        splits: tracks that ended because their face was another person's.
        joins: tracks that went on with the number of one before them in the shot.
    """

    model: ModelFacts
    compared: int
    splits: int
    joins: int


class PeopleFacts(Readable):
    """How tracks were grouped into people.

    Args:
        faces: that were described, mirror images included.
        described: tracks of which at least one face was.
        unassigned: tracks of which none was: too small, too blurred, in profile, or too short.
        people: groups.
        max_distance: cosine distance up to which clusters are one person.
    """

    model: ModelFacts
    faces: int
    described: int
    unassigned: int
    people: int
    max_distance: float


class ProviderProbe(Readable):
    """A benchmark between ONNX Runtime's providers for one model and picture.

    Args:
        chosen: the fastest.
        milliseconds: median of one inference, by provider.
        picture: width and height, pixels.
        remembered: true where the benchmark was run by an earlier run on this host.
    """

    chosen: str
    milliseconds: dict[str, float]
    picture: list[int]
    threads: int
    remembered: bool = False


class VideoFacts(Readable):
    """What the decoder found. Sizes in pixels as shown: rotated, with square pixels.

    Args:
        width, height, coded_width, coded_height, rotation, mirrored: as the first frame has them;
            later frames may differ.
        rotation: degrees counterclockwise; a mirrored picture is mirrored left to right before.
        fps: frames a second, gaps not counted.
        start_s: when the first picture is shown; None in manifests that do not tell.
        timecode: of the first picture, as the file has it; None where it has none.
        stream: number of the stream in the file.
        streams: all video streams of the file, for people.
        transfer: `sdr`, or the kind of high dynamic range (Rec. ITU-R BT.2100).
    """

    width: int
    height: int
    coded_width: int
    coded_height: int
    rotation: int
    sample_aspect_ratio: float
    fps: float
    variable_frame_rate: bool
    frames: int
    duration_s: float
    codec: str
    container: str
    mirrored: bool = False
    start_s: float | None = None
    timecode: str | None = None
    stream: int | None = None  # of manifests that do not tell it
    streams: list[str] = Field([])
    transfer: Literal["sdr", "pq", "hlg"] = "sdr"


class VideoFile(Readable):
    """Which file a run read.

    Args:
        fingerprint: checksum of its size and of samples of its content; a copy has the same.
    """

    name: str
    size_bytes: int
    fingerprint: str


class TrackMetrics(Readable):
    """`track_metrics.json`.

    Args:
        longest_tracks: those that are longest on the screen (`duration_s`).
        screen_s, screen_error_s: as in `RunResult`.
        scene_cuts_s, scene_cuts_error_s: when each of the cuts is, and the standard error of that.
    """

    ep_id: str
    tracks_born: int
    tracks_lost: int
    longest_tracks: list[dict[str, Any]]
    avg_tracks_per_frame: float
    tracks_per_minute: float
    short_track_fraction: float
    total_frames: int
    frames_done: int
    analyzed_fps: float
    elapsed_sec: float
    device: str
    detector: str
    tracker: str
    scene_cuts: list[int]
    detections_total: int
    track_to_detection_ratio: float
    screen_s: float | None = None  # of runs that did not measure it
    screen_error_s: float | None = None
    scene_cuts_s: list[float] | None = None
    scene_cuts_error_s: list[float] | None = None


class RunManifest(Readable):
    """`run.json`. Written when the run starts and replaced when it ends."""

    schema_version: int = SCHEMA_VERSION
    ep_id: EpisodeId
    run_id: RunId
    operation: Literal["detect_track"] = "detect_track"
    execution_mode: ExecutionMode
    status: RunStatus
    started_at: str
    finished_at: str | None = None
    host: str
    pid: int
    options: Options
    sources: dict[str, str]
    versions: dict[str, str]
    launcher_fingerprint: str | None = None
    device: str | None = None
    provider: str | None = None
    session_providers: list[str] = Field([])
    model: ModelFacts | None = None
    full_model: ModelFacts | None = Field(
        None, description="Of a pair of detectors: the one that is asked where it matters."
    )
    provider_probe: ProviderProbe | None = None
    detector_checks: dict[str, Agreement] = Field(
        {}, description="Of eight bits and accelerators: how far they find what float32 finds."
    )
    nodes_on_cpu: dict[str, int] = Field(
        {}, description="Nodes of the detector that the accelerator has left to the CPU, by kind."
    )
    recognition: RecognitionFacts | None = None
    people: PeopleFacts | None = Field(None, description="Of runs with the option `people`.")
    decoding: DecodingFacts | None = Field(
        None, description="What decoded the video, where hardware was asked for."
    )
    parts: list[PartFacts] = Field(
        [], description="Of a run that was put together from parts: what each of them took."
    )
    video: VideoFacts | None = None
    video_file: VideoFile | None = None
    effective_stride: int | None = None
    detection_picture: list[int] = Field([])
    counts: dict[str, int] = Field({})
    times: dict[str, float] = Field({})
    threads: dict[str, Any] = Field({})
    cpu: CpuFigures | None = None
    cpu_limit_percent: float | None = None
    thermal: ThermalFacts | None = None
    peak_rss_mb: float | None = None
    warnings: list[str] = Field([])
    exit_reason: str | None = None
    result: RunResult | None = None


class Holder(Readable):
    """Who holds an episode's lock."""

    ep_id: EpisodeId
    run_id: RunId
    execution_mode: ExecutionMode
    pid: int
    host: str
    since: str
