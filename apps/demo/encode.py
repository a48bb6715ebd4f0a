"""Writes generated episodes: the video with PyAV, and the ground truth next to it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
from av.codec.context import Flags
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from apps.common.layout import Layout
from apps.demo.look import Image
from apps.demo.scene import Episode, GroundTruth, TruthRow, ground_truth, render_frames
from apps.pipeline.render.x264 import x264_options

VIDEO_NAME = "episode.mp4"
MOT_NAME = "ground_truth.txt"
JSON_NAME = "ground_truth.json"
# The video comes last: whoever finds it may rely on the ground truth being there.
FILE_NAMES = (MOT_NAME, JSON_NAME, VIDEO_NAME)

_BT709 = 1  # the same code for matrix, primaries and transfer curve (ITU-T H.273)
_LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
_CRF = 20

Wrap = Callable[[Iterable[Image]], Iterable[Image]]
"""Passes frames through, for example to show progress."""


def _add_h264(container: av.container.OutputContainer, episode: Episode) -> VideoStream:
    """Add a stream whose bytes depend on the pictures only."""
    options = x264_options(_CRF)
    stream: VideoStream = container.add_stream("libx264", rate=episode.fps, options=options)
    stream.width, stream.height = episode.width, episode.height
    stream.pix_fmt = "yuv420p"
    codec = stream.codec_context
    codec.gop_size = 2 * round(episode.fps)  # seeking never has to decode more than two seconds
    codec.thread_count = 1  # x264's result depends on the number of threads
    codec.flags |= Flags.bitexact
    codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
    codec.color_range = _LIMITED_RANGE
    return stream


def _one_ahead(frames: Iterable[Image]) -> Iterator[Image]:
    """Yield the same frames, drawing the next one while the caller encodes the current one."""
    source = iter(frames)
    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(next, source, None)
        while (frame := upcoming.result()) is not None:
            upcoming = pool.submit(next, source, None)
            yield frame


def write_video(path: Path, episode: Episode, frames: Iterable[Image]) -> None:
    """Encode ``frames`` (BGR, the episode's size) as H.264 in MP4 without audio."""
    # bitexact leaves times and library versions out of the container.
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    name = f"file:{path.resolve()}"  # FFmpeg takes what stands before a colon for a protocol
    with av.open(name, "w", format="mp4", options=options) as container:
        stream = _add_h264(container, episode)
        for number, pixels in enumerate(_one_ahead(frames)):
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, threads=1
            )
            frame.pts = episode.tick(number)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def mot_line(row: TruthRow, flag: int = 1) -> str:
    """Return ``frame,id,x,y,w,h,flag,1,visibility``: frame 1-based, box in pixels of the frame.

    ``flag`` 0 is MOT Challenge's word for a box that an evaluation does not count.
    """
    # Round the edges, not the size: a box at the border must not stick out by a hundredth.
    x1, y1, x2, y2 = (round(edge, 2) for edge in (row.box.x1, row.box.y1, row.box.x2, row.box.y2))
    box = f"{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
    return f"{row.frame + 1},{row.id},{box},{flag},1,{row.visibility:.3f}"


def truth_json(episode: Episode, truth: GroundTruth) -> str:
    """Return the text of ``ground_truth.json``; all frame numbers in it are 0-based."""
    identities = [
        {
            "id": identity.id,
            "person": identity.person,
            "first_frame": identity.first_frame,
            "last_frame": identity.last_frame,
        }
        for identity in truth.identities
    ]
    document = {
        "ep_id": episode.ep_id,
        "fps": episode.fps if isinstance(episode.fps, int) else float(episode.fps),
        "width": episode.width,
        "height": episode.height,
        "frames": episode.frames,
        "cuts": list(episode.cuts),
        "identities": identities,
    }
    return json.dumps(document, indent=2) + "\n"


def is_complete(folder: Path) -> bool:
    """Tell whether all files of an episode are there and not empty."""
    paths = [folder / name for name in FILE_NAMES]
    return all(path.is_file() and path.stat().st_size > 0 for path in paths)


def write_episode(
    episode: Episode, data_root: Path, *, force: bool = False, wrap: Wrap | None = None
) -> bool:
    """Render an episode and its ground truth below ``data_root``.

    Returns False, and touches nothing, if the episode is complete already and ``force`` is off.
    The files appear under their names only when all of them are finished.
    """
    folder = Layout(data_root).episode(episode.ep_id)
    if is_complete(folder) and not force:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    frames: Iterable[Image] = render_frames(episode)
    # Inside the target folder, so that renaming never crosses file systems.
    with tempfile.TemporaryDirectory(prefix=".render-", dir=folder) as name:
        unfinished = Path(name)
        truth = ground_truth(episode)
        mot = "".join(mot_line(row) + "\n" for row in truth.rows)
        (unfinished / MOT_NAME).write_text(mot, encoding="ascii", newline="\n")
        document = truth_json(episode, truth)
        (unfinished / JSON_NAME).write_text(document, encoding="utf-8", newline="\n")
        write_video(unfinished / VIDEO_NAME, episode, wrap(frames) if wrap else frames)
        for file_name in FILE_NAMES:
            (unfinished / file_name).replace(folder / file_name)
    return True
