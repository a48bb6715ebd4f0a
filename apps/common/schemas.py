"""Bodies of the web service's requests and answers: what it sends and what its clients read.

`apps.common.contracts` holds what lies in files or crosses between processes; a few of those models
are answers as well.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from apps.common.config import Profile
from apps.common.contracts.events import ErrorEvent, HeartbeatEvent, LogEvent
from apps.common.contracts.manifest import Progress, RunResult, VideoFacts
from apps.common.contracts.media import PlayableKind
from apps.common.names import EpisodeId, RunId, RunIdOrLatest, TrackId
from apps.common.options import Options, RunRequest

TimeoutSeconds = Annotated[
    float | None, Field(gt=0, le=7 * 24 * 3600, description="Longest run, in seconds.")
]


MAX_SEGMENTS = 100
Segments = Annotated[
    Literal["auto", "off"] | Annotated[int, Field(ge=2, le=MAX_SEGMENTS)],
    Field(
        description="Into how many parts a queued run is divided, for several workers at once: "
        "`auto` where workers of other hosts have nothing else to do and it pays, `off` never, "
        "or a number. What comes out is the same."
    ),
]


class EpisodeRequest(RunRequest):
    """A run of an episode."""

    ep_id: EpisodeId = Field(description="Name of the episode.")
    run_id: RunId | None = Field(None, description="Name of the run; a new one by default.")


class DetectTrackRequest(EpisodeRequest):
    """`POST /celery_jobs/detect_track`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"ep_id": "demo-s01e01", "execution_mode": "local", "stride": 6}
        },
    )

    execution_mode: Literal["redis", "local"] = Field(
        "redis",
        description="`local` blocks until the run ends; `redis` queues it for a worker.",
    )
    segments: Segments = "auto"
    timeout_s: TimeoutSeconds = None

    @model_validator(mode="after")
    def _divides_queued_runs_only(self) -> Self:
        if self.execution_mode == "local" and not isinstance(self.segments, str):
            raise PydanticCustomError(
                "segments", "A local run is not divided: leave `segments` out, or queue it"
            )
        return self


class LegacyRequest(EpisodeRequest):
    """`POST /jobs/detect_track` and `/jobs/detect_track/stream`."""

    model_config = ConfigDict(json_schema_extra={"example": {"ep_id": "demo-s01e01", "stride": 6}})


class LegacyJobAccepted(BaseModel):
    """A run that goes on in the background."""

    job_id: str
    state: Literal["running"] = "running"
    ep_id: str
    run_id: str
    execution_mode: Literal["sse"] = "sse"
    profile: str
    message: str


class QueryParameters(BaseModel):
    """Of a request's address: a name that the route does not have is refused, not passed over."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _are_known(cls, values: dict[str, Any]) -> dict[str, Any]:
        unknown = [name for name in values if name not in cls.model_fields]
        if unknown:
            raise PydanticCustomError(
                "unknown_parameter",
                "There is no parameter {name}; there are {known}",
                {"name": unknown[0][:100], "known": ", ".join(cls.model_fields)},
            )
        return values


class PageQuery(QueryParameters):
    offset: int = Field(0, ge=0, le=10**9, description="Items that are left out first.")
    limit: int = Field(1000, ge=1, le=10_000, description="Most items of the answer.")


class EpisodeSummary(BaseModel):
    ep_id: str
    video: str | None = Field(description="Name of the video file, or null where there is none.")
    size_bytes: int | None
    running: bool
    runs: int
    latest_run_id: str | None


class EpisodeList(BaseModel):
    items: list[EpisodeSummary]
    total: int


class EpisodesQuery(PageQuery):
    q: str = Field("", max_length=128, description="Part of the name; case is ignored.")


class EpisodeDetail(EpisodeSummary):
    facts: VideoFacts | None
    problem: str | None = Field(None, description="Why the video cannot be read.")
    other_videos: list[str] = Field([], description="Videos beside the one that is taken.")


class RunSummary(BaseModel):
    run_id: str
    ep_id: str
    status: str
    execution_mode: str
    started_at: str
    finished_at: str | None
    profile: str
    exit_reason: str | None
    frames_done: int | None
    tracks: int | None
    title: str | None = None
    of_comparison: bool = Field(False, description="It was made to compare paths; no default.")
    people: int | None = Field(
        None, description="People that it found; null where it did not look for any."
    )


class RunList(BaseModel):
    items: list[RunSummary]
    total: int


TrackOrder = Literal["start", "length", "confidence", "detections"]


class TracksQuery(PageQuery):
    sort: TrackOrder | None = Field(
        None,
        description="By `start` (first sighting), `length` (seconds on the screen), `confidence` "
        "(mean) or number of `detections`; the file's order by default.",
    )
    descending: bool = Field(False, description="The largest first.")
    min_screen_s: float | None = Field(
        None, ge=0, le=1e9, allow_inf_nan=False, description="Seconds on the screen, at least."
    )
    max_screen_s: float | None = Field(
        None, ge=0, le=1e9, allow_inf_nan=False, description="At most."
    )
    min_confidence: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="Mean, at least."
    )
    min_face_height: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Median, at least; 1 is the picture's height.",
    )
    from_s: float | None = Field(
        None,
        ge=-1e9,
        le=1e9,
        allow_inf_nan=False,
        description="Only what is seen at this second or later.",
    )
    to_s: float | None = Field(
        None,
        ge=-1e9,
        le=1e9,
        allow_inf_nan=False,
        description="Only what is seen at this second or before.",
    )
    hide_single: bool = Field(False, description="Leaves out tracks of a single sighting.")


class Rows(BaseModel):
    """A page of rows of a run's file."""

    items: list[dict[str, Any]]
    total: int
    offset: int


class ActiveRun(BaseModel):
    run_id: str
    ep_id: str
    execution_mode: str
    state: str
    job_id: str | None = Field(None, description="Of the queue; null for any other run.")
    progress: Progress | None = None
    ahead: int | None = Field(None, description="Unfinished ones that came before, where it waits.")


class ActiveRunsQuery(QueryParameters):
    ep_id: EpisodeId | None = Field(None, description="This episode's, ended jobs included.")


class ActiveRuns(BaseModel):
    items: list[ActiveRun]
    total: int
    queue_problem: str | None = Field(None, description="Why the queue's jobs are not listed.")
    workers: int | None = Field(
        None, description="Workers that listen to the queue, where a job of these waits for one."
    )


class JobAccepted(BaseModel):
    """`202` of a queued run."""

    job_id: str
    state: Literal["queued"] = "queued"
    ep_id: str
    run_id: str
    execution_mode: Literal["redis"] = "redis"
    profile: str
    message: str


class JobStatus(BaseModel):
    job_id: str
    state: Literal["queued", "in_progress", "success", "failed", "cancelled", "retrying"]
    ep_id: str
    run_id: str
    execution_mode: Literal["redis"] = "redis"
    profile: str
    submitted_at: str
    attempts: int
    worker: str | None
    progress: Progress | None
    result: RunResult | None = Field(description="The same object that a local run answers with.")
    error: dict[str, Any] | None = Field(description="The problem object of a job that failed.")


Severity = Literal["problem", "notice", "info"]


class Finding(BaseModel):
    """One cause.

    Args:
        code: stable name of the rule, for programs.
        severity: `problem` should be acted on, `notice` explains, `info` describes.
        summary: one sentence.
        evidence: the figures that it rests on.
        action: what to do, one sentence; empty where nothing is to be done.
    """

    code: str
    severity: Severity
    summary: str
    evidence: dict[str, object]
    action: str = ""


class Diagnosis(BaseModel):
    """Findings, the most serious first."""

    ep_id: str
    run_id: str
    status: str
    findings: list[Finding]


class Live(BaseModel):
    status: str = "ok"


class Dependency(BaseModel):
    ok: bool
    required: bool = Field(description="Without it nothing works; else only a part does not.")
    detail: str


class WorkerSummary(BaseModel):
    """A worker that listens to the queue."""

    name: str
    host: str
    version: str
    source_fingerprint: str
    concurrency: int
    running: int = Field(description="Jobs that it executes now.")


class Ready(BaseModel):
    status: str
    dependencies: dict[str, Dependency]
    workers: list[WorkerSummary]


class Version(BaseModel):
    version: str
    git_sha: str
    started_at: str
    source_fingerprint: str
    stale: bool


class ProfileOffer(Profile):
    model_config = ConfigDict(extra="ignore")  # of a server of another version

    name: str


class DeviceOffer(BaseModel):
    name: str
    provider: str = Field(description="ONNX Runtime's execution provider.")
    available: bool


class DetectorOffer(BaseModel):
    name: str
    summary: str
    licence: str
    on_disk: bool = Field(description="False where its weights would be downloaded first.")


class RunOptionsOffer(BaseModel):
    """What this host has to choose from."""

    profiles: list[ProfileOffer]
    devices: list[DeviceOffer]
    detectors: list[DetectorOffer]
    switches: dict[str, bool] = Field(
        description="Options that are on or off, as they are where a request names none."
    )
    thread_limit: int
    thread_limit_source: str


class PlanRequest(RunRequest):
    """Options of a run that is only thought of."""

    ep_id: EpisodeId | None = Field(
        None, description="Of this episode, whose frames are counted then."
    )


class ResolvedPlan(BaseModel):
    """What a run would do: the options as they would be applied, and what that means.

    The time is estimated from the episode's and then other episodes' completed runs on this host.
    """

    options: Options
    sources: dict[str, str]
    warnings: list[str]
    provider: str
    effective_stride: int | None
    frames_total: int | None
    estimate_seconds: float | None
    estimate_runs: int = Field(description="How many earlier runs the estimate rests on.")


class FacesBin(BaseModel):
    """Faces in one stretch of time."""

    start_s: float
    faces_per_frame: float = Field(description="Mean over the stretch's processed frames.")
    tracks: int = Field(description="Tracks that are seen in it.")


class HistogramBin(BaseModel):
    low: float
    high: float
    count: int


class ChartsQuery(QueryParameters):
    bins: int = Field(240, ge=1, le=2000, description="Most stretches of time.")


class RunCharts(BaseModel):
    """Figures of a run's detections, counted on the server, since there may be many."""

    duration_s: float
    bin_seconds: float
    faces: list[FacesBin]
    confidence: list[HistogramBin] = Field(description="Of confidences, 0..1.")
    face_size: list[HistogramBin] = Field(description="Of face heights, pixels of the video.")
    cuts_s: list[float] = Field(description="Times of the shot cuts, seconds.")
    unreadable_rows: int


class ReviewTracks(BaseModel):
    """The tracks of a run, a column a fact; all columns are of one length, ordered by `start_s`.

    Null is what a damaged line or a run of an older version does not tell.
    """

    id: list[str]
    first_s: list[float] = Field(description="First sighting, seconds.")
    last_s: list[float] = Field(description="Last sighting, seconds.")
    start_s: list[float] = Field(description="Where what its sightings stand for begins, seconds.")
    end_s: list[float] = Field(description="Where that ends; never over a cut.")
    lane: list[int] = Field(description="Row, from 0: no two overlap in one.")
    confidence: list[float | None] = Field(description="Mean, 0..1.")
    sightings: list[int]
    face_height: list[float | None] = Field(description="Median, 0..1 of the picture's height.")
    screen_s: list[float | None] = Field(description="Seconds on the screen.")
    screen_error_s: list[float | None] = Field(description="Standard error of that, seconds.")
    ended: list[str | None]


class ReviewData(BaseModel):
    """What a timeline of a run shows. Times are seconds on the player's clock."""

    ep_id: str
    run_id: str
    duration_s: float = Field(description="When the last picture ends, as far as the run tells.")
    fps: float
    width: int = Field(description="Of the video as displayed, pixels.")
    height: int
    stride: int
    before_s: float = Field(description="For how long before it a sample stands, seconds.")
    after_s: float = Field(description="For how long after it.")
    length_s: float = Field(description="For how long there are pictures: the whole of shares.")
    with_faces_s: float = Field(description="For how long any track is in sight, seconds.")
    cuts_s: list[float] = Field(description="Where the cuts lie, ascending.")
    lanes: int
    tracks: ReviewTracks


class BoxesQuery(QueryParameters):
    start_s: float = Field(ge=-1e9, le=1e9, allow_inf_nan=False, description="Seconds.")
    end_s: float = Field(
        ge=-1e9, le=1e9, allow_inf_nan=False, description="At most 600 s after the start."
    )


class ReviewBoxes(BaseModel):
    """Faces of a stretch of time, ordered by time; columns of one length, `box` of four times that.

    Of each track that is there it also has the last sighting before the stretch, and the first
    one after it.
    """

    start_s: float
    end_s: float
    time_s: list[float]
    track: list[int] = Field(description="Place in the tracks of the review; -1 for none.")
    box: list[float] = Field(description="x1, y1, x2, y2 of each; 0..1 of the displayed picture.")
    confidence: list[float]


class Playable(BaseModel):
    """What a browser is to play of an episode."""

    kind: PlayableKind = Field(
        description="`source`: the video itself; `remuxed`: its streams in another container; "
        "`proxy`: encoded again."
    )
    ready: bool = Field(description="False until POST to this address has made it.")
    path: Literal["video", "playable/file"] = Field(description="Below the episode's address.")
    mime: str = Field(description="As `canPlayType` wants it; about so before it is ready.")
    why: str | None = Field(description="Why the video itself is not played.")
    size_bytes: int | None = Field(description="Null until it is ready.")


PlaceS = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class ClipQuery(QueryParameters):
    """Which part of an episode's video: from one time to another, or where a track is seen."""

    from_s: PlaceS | None = Field(
        None, description="The clip begins with the picture that is shown then, seconds."
    )
    to_s: PlaceS | None = Field(
        None, description="It ends with the one that is shown then; at most 600 s later."
    )
    run: RunIdOrLatest | None = Field(None, description="Of the track, or of the boxes.")
    track: TrackId | None = Field(
        None, description="From its first sighting to its last one, and half a second more."
    )
    boxes: bool = Field(False, description="With the boxes and track numbers of the run.")

    @model_validator(mode="after")
    def _is_one_part(self) -> ClipQuery:
        times = [time for time in (self.from_s, self.to_s) if time is not None]
        if len(times) == 1 or bool(times) == (self.track is not None):
            raise PydanticCustomError("no_part", "give from_s and to_s, or run and track")
        if self.run is None and (self.track is not None or self.boxes):
            raise PydanticCustomError("no_run", "a track or boxes need the run")
        return self


class StillQuery(QueryParameters):
    t: PlaceS = Field(description="The picture that is shown then, seconds.")
    format: Literal["png", "jpeg"] = Field("png", description="PNG is exact.")


class ComparisonRequest(BaseModel):
    """`POST /episodes/{ep_id}/comparisons`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modes: list[Literal["sse", "local", "redis"]] = Field(
        default=["sse", "local", "redis"], min_length=1
    )
    repeat: int = Field(1, ge=1, le=20, description="Rounds.")
    options: RunRequest = RunRequest()


class ModeFigures(BaseModel):
    """One mode's medians over its rounds. CPU and memory are null where they could not be seen."""

    model_config = ConfigDict(allow_inf_nan=False)

    mode: str
    runs: int
    wall_seconds: float
    own_seconds: float
    overhead_seconds: float
    overhead_percent: float
    frames_per_second: float
    mean_percent: float | None
    peak_percent: float | None
    cpu_seconds: float | None
    peak_rss_mb: float | None
    nice: int | None
    frames_done: int
    tracks: int


class ComparisonSummary(BaseModel):
    """The same run by several paths; the first mode is the bare command line."""

    comparison_id: str
    ep_id: str
    created_at: str
    cores: int
    repeat: int
    summaries: list[ModeFigures]
    warnings: list[str]
    notes: list[str]


class ComparisonResultEvent(ComparisonSummary):
    type: Literal["result"] = "result"


# What a comparison tells while it is on.
ComparisonEvent = Annotated[
    LogEvent | HeartbeatEvent | ErrorEvent | ComparisonResultEvent, Field(discriminator="type")
]


class ComparisonList(BaseModel):
    items: list[ComparisonSummary]
    total: int


class UploadStatus(BaseModel):
    """A resumable upload."""

    upload_id: str
    ep_id: str = Field(description="The episode that it becomes.")
    filename: str
    modified: str | None = Field(description="What its client said of the file's last change.")
    length: int = Field(description="Of the whole file, bytes.")
    offset: int = Field(description="How many bytes have arrived.")
    state: Literal["receiving", "checking", "finished"] = Field(
        description="`checking`: all bytes are there, and the decoder looks at them."
    )
    active: bool = Field(description="Whether a client is sending, or the decoder looking, now.")
    created_at: str
    expires_at: str = Field(description="When it is removed, unless more of it arrives.")


class UploadList(BaseModel):
    items: list[UploadStatus]
    total: int
