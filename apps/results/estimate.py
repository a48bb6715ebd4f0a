"""How long a run will take, judged by earlier runs. Pure.

A run's time has a part that is there anyway (programs and models are loaded), one that grows with
the video (decoding) and one that grows with the processed frames. Only what the samples are made
from is decoded, and from stride 3 on that depends little on the stride: in three H.264 files it
becomes less by 14 to 30 % from stride 3 to 12. So decoding is taken to cost the same at every
stride. Between stride 1, where all is decoded, and larger ones that is wrong by up to two times.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from apps.common.contracts.manifest import RunManifest, VideoFacts
from apps.common.options import Options

# What an earlier run must share, the nearest first. `_ALWAYS` besides.
_NEARNESS: tuple[tuple[str, ...], ...] = (
    ("ep_id", "det_size", "small_faces", "threads", "cap", "save_crops", "save_preview"),
    ("ep_id", "det_size", "small_faces", "threads", "cap"),
    ("ep_id", "threads", "cap"),
    ("threads", "cap"),
    ("threads",),
)
_ALWAYS = ("host", "device", "detector", "precision")
_ASKED = 5  # newest runs of the nearest kind whose median counts
_LARGEST = 1e12  # of any figure; a file that says more is damaged
_OTHER_STAGES = ("look", "shots", "crops", "track", "write")
INFERENCE = ("detect", "second_look", "full_look")  # stages of a run that are a network's
_STAGES = ("stages", "decode", "scale", *INFERENCE, *_OTHER_STAGES, "paced", "preview")


@dataclass(frozen=True)
class Work:
    """What a run's time depends on.

    Args:
        det_size: bound of the detector picture's long side, pixels.
        threads: compute threads.
        cap: CPU budget in percent, None without one.
        frames: processed frames, >= 1.
        video_pixels: frames of the video times the pixels of one.
        picture_pixels: size of the detector's picture, about.
    """

    ep_id: str
    host: str
    device: str
    detector: str
    precision: str
    det_size: int
    small_faces: str
    threads: int
    cap: float | None
    save_crops: bool
    save_preview: bool
    frames: int
    video_pixels: int
    picture_pixels: float


@dataclass(frozen=True)
class PastRun:
    """A completed run: its work, and where its seconds went.

    Args:
        total: seconds of the whole run.
        staged: seconds from the first frame to the last.
        decode: seconds in the decoder, summed over threads as the next three.
        detect: seconds in the detector, or in both of a pair.
        second_look: seconds in it once more, for small faces.
        other: seconds in the other stages.
        paced: seconds in pauses for the CPU budget.
        preview: seconds of rendering the preview.
    """

    work: Work
    total: float
    staged: float
    decode: float
    detect: float
    second_look: float
    other: float
    paced: float
    preview: float


@dataclass(frozen=True)
class Estimate:
    """Seconds, None where there is nothing to go by, and how many runs they rest on."""

    seconds: float | None
    runs: int


def planned_work(
    ep_id: str, host: str, options: Options, video: VideoFacts, frames: int
) -> Work | None:
    """The work of a run with these options on this video; None where figures make no sense.

    Args:
        frames: that will be, or were, processed.
    """
    sizes = (video.width, video.height, video.frames, frames, options.det_size)
    if not all(1 <= size <= _LARGEST for size in sizes):
        return None
    scale = min(1.0, options.det_size / max(video.width, video.height))
    return Work(
        ep_id=ep_id,
        host=host,
        device=options.device,
        detector=options.detector,
        precision=options.precision,
        det_size=options.det_size,
        small_faces=options.small_faces,
        threads=options.cpu_threads,
        cap=options.max_cpu_percent,
        save_crops=options.save_crops,
        save_preview=options.save_preview,
        frames=frames,
        video_pixels=video.width * video.height * video.frames,
        picture_pixels=video.width * video.height * scale**2,
    )


def past_run(manifest: RunManifest) -> PastRun | None:
    """What can be learnt from a run; None where it did not complete or its figures are damaged."""
    result, video, stride = manifest.result, manifest.video, manifest.effective_stride
    if manifest.parts or manifest.status != "completed":  # several processes, each with its start
        return None
    if result is None or video is None or stride is None:
        return None
    work = planned_work(manifest.ep_id, manifest.host, manifest.options, video, result.frames_done)
    seconds = {name: manifest.times.get(name, 0.0) for name in _STAGES}
    figures = (result.elapsed_seconds, *seconds.values())
    if work is None or not all(0 <= figure <= _LARGEST for figure in figures):
        return None
    return PastRun(
        work=work,
        total=result.elapsed_seconds,
        staged=seconds["stages"],
        decode=seconds["decode"] + seconds["scale"],
        detect=seconds["detect"] + seconds["full_look"],
        second_look=seconds["second_look"],
        other=sum(seconds[name] for name in _OTHER_STAGES),
        paced=seconds["paced"],
        preview=seconds["preview"],
    )


def estimate(wanted: Work, past: Sequence[PastRun]) -> Estimate:
    """The median of what the newest of the nearest earlier runs suggest.

    Args:
        past: newest first.
    """
    candidates = [run for run in past if _shares(run.work, wanted, _ALWAYS)]
    for fields in _NEARNESS:
        nearest = [run for run in candidates if _shares(run.work, wanted, fields)][:_ASKED]
        if nearest:
            seconds = statistics.median(_scaled(run, wanted) for run in nearest)
            return Estimate(round(seconds, 1), len(nearest))
    return Estimate(None, 0)


def _second_look(run: PastRun, wanted: Work) -> float:
    """Seconds that it would have taken in this run: where nothing is known of it, the most."""
    if wanted.small_faces == "off":
        return 0.0
    return run.detect if run.work.small_faces == "off" else run.second_look


def _shares(work: Work, wanted: Work, fields: tuple[str, ...]) -> bool:
    return all(getattr(work, field) == getattr(wanted, field) for field in fields)


def _scaled(run: PastRun, wanted: Work) -> float:
    """Seconds that the wanted work would have taken this run."""
    anyway = max(0.0, run.total - run.staged - run.preview)
    by_frames = wanted.frames / run.work.frames
    by_video = wanted.video_pixels / run.work.video_pixels
    by_picture = wanted.picture_pixels / run.work.picture_pixels
    spent = run.decode + run.detect + run.second_look + run.other
    detect = run.detect + _second_look(run, wanted)
    needed = run.decode * by_video + (detect * by_picture + run.other) * by_frames
    at_work = max(0.0, run.staged - run.paced)
    # Frames are decoded one after the other, whatever the threads beside that.
    staged = max(at_work * needed / spent if spent > 0 else 0.0, run.decode * by_video)
    paced = run.paced * staged / at_work if at_work > 0 else 0.0
    preview = run.preview * by_video if wanted.save_preview else 0.0
    return anyway + staged + paced + preview
