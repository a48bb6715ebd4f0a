"""What crosses from a launcher to the process that it starts: a JSON line on its input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from apps.common.contracts.manifest import ExecutionMode, VideoFacts, VideoFile
from apps.common.contracts.media import PlayablePlan
from apps.common.contracts.parts import MadeParts, PartOrder
from apps.common.names import EpisodeId, RunId, new_run_id
from apps.common.options import RUN_OPTIONS, Niceness, model_of
from apps.common.resolve import Resolution
from apps.common.run_plan import RunPlan

if TYPE_CHECKING:
    from apps.common.settings import Settings  # a run that was launched has read none


class RunSpec(RunPlan):
    """All that crosses from the launcher to the process that runs: one JSON line on its stdin."""

    execution_mode: ExecutionMode
    nice: Niceness = 0
    min_free_mb: float = 0
    launcher_fingerprint: str | None = None
    replace_unfinished: bool = False

    @classmethod
    def of(
        cls,
        ep_id: str,
        run_id: str | None,
        resolution: Resolution,
        settings: Settings,
        *,
        mode: ExecutionMode,
        data_root: Path,
        nice: int = 0,
        fingerprint: str | None = None,
    ) -> RunSpec:
        """A run under these settings.

        Args:
            ep_id: checked.
            run_id: checked; a new one where it is None.
            data_root: that of the settings, as it is shown to people.
            fingerprint: names the code that the launcher has loaded.
        """
        return cls(
            ep_id=ep_id,
            run_id=new_run_id() if run_id is None else run_id,
            execution_mode=mode,
            resolution=resolution,
            data_root=str(data_root),
            detector_model=settings.detector_model,
            retinaface_model=settings.retinaface_model,
            recognition_model=settings.recognition_model,
            nice=nice,
            min_free_mb=settings.min_free_mb,
            launcher_fingerprint=fingerprint,
        )


class JoinSpec(RunSpec):
    """A run that is put together from parts, where it has any.

    Args:
        made: all of them.
    """

    made: MadeParts | None = None


class PartSpec(RunSpec):
    """One part of a run: one JSON line on the stdin of the process that makes it."""

    order: PartOrder


CLIP_RUN = "clip"  # stands for a run's name in the progress of a clip
PLAYABLE_RUN = "playable"  # stands for a run's name in the progress of a file that is made
_preview_options = [RUN_OPTIONS["cpu_threads"], RUN_OPTIONS["max_cpu_percent"]]


class PreviewSpec(model_of(_preview_options, optional=False)):  # type: ignore[misc]
    """What the process that makes a run's preview is to do: one JSON line on its stdin.

    Beside its own fields it has the options of the run that bound its CPU; of `cpu_threads` no more
    than this host allows.

    Args:
        video: as the run found it.
        video_file: the file that the run read; None of runs that did not note it.
    """

    ep_id: EpisodeId
    run_id: RunId
    data_root: str
    video: VideoFacts
    video_file: VideoFile | None = None
    nice: Niceness = 0


class PlayableSpec(model_of(_preview_options, optional=False)):  # type: ignore[misc]
    """What the process that makes a file for browsers is to do: one JSON line on its stdin.

    Args:
        state: of the video that is meant, see `state_of_video`.
        plan: how it is made.
        min_free_mb: that must stay free on the disk.
    """

    ep_id: EpisodeId
    data_root: str
    state: str
    plan: PlayablePlan
    nice: Niceness = 0
    min_free_mb: float = 0


class ClipSpec(model_of(_preview_options, optional=False)):  # type: ignore[misc]
    """What the process that makes a clip is to do: one JSON line on its stdin.

    Args:
        state: of the video that is meant, see `state_of_video`.
        name: of the clip in the cache, see `part_of`.
        stream: of the video in the file; None for the likeliest one.
        from_s, to_s: the part that is wanted, on the player's clock.
        copy_as: kind of the file into which its pictures may be copied; None where they may not.
        deinterlace: its pictures are made of two fields.
        boxes_of: the run whose boxes are drawn; None for none.
        video_file: the file that the run read, where boxes are drawn and that is known.
        min_free_mb: that must stay free on the disk.
    """

    ep_id: EpisodeId
    data_root: str
    state: str
    name: str
    stream: int | None
    from_s: float
    to_s: float
    copy_as: Literal["mp4", "webm"] | None
    deinterlace: bool
    boxes_of: RunId | None = None
    video_file: VideoFile | None = None
    nice: Niceness = 0
    min_free_mb: float = 0
