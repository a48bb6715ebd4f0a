"""What crosses from a launcher to the process that it starts: a JSON line on its input."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from apps.common.contracts.manifest import ExecutionMode, VideoFacts, VideoFile
from apps.common.names import EpisodeId, RunId
from apps.common.options import Resolution


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunSpec(_Spec):
    """All that crosses from the launcher to the process that runs: one JSON line on its stdin."""

    ep_id: EpisodeId
    run_id: RunId
    execution_mode: ExecutionMode
    resolution: Resolution
    data_root: str
    retinaface_model: str | None = None
    recognition_model: str | None = None
    nice: int = 0
    min_free_mb: float = 0
    launcher_fingerprint: str | None = None
    replace_unfinished: bool = False


class PreviewSpec(_Spec):
    """What the process that makes a run's preview is told: one JSON line on its stdin.

    Args:
        video: as the run found it.
        video_file: the file that the run read; None of runs that did not note it.
        cpu_threads: of the run, and no more than this host allows.
        max_cpu_percent: of the run.
    """

    ep_id: EpisodeId
    run_id: RunId
    data_root: str
    video: VideoFacts
    video_file: VideoFile | None = None
    cpu_threads: int = Field(ge=1)
    max_cpu_percent: float | None = Field(ge=5, le=102_400, allow_inf_nan=False)
    nice: int = 0
