"""Small videos, made by the encoders of PyAV's FFmpeg, whose pictures say which frame they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lab.processes.priority import ordinary_priority

Image = NDArray[np.uint8]

BITS = 8
BLOCK = 16  # pixels; as large as a macroblock, so that no codec smears one bit into the next
NUMBER_SIZE = (BITS * BLOCK, 4 * BLOCK)  # width, height


@dataclass(frozen=True)
class Recipe:
    """How a video is encoded. `times` are seconds of every frame where they are irregular."""

    codec: str = "libx264"
    fps: int = 25
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    format: str | None = None
    times: Sequence[Fraction] | None = None
    pix_fmt: str = "yuv420p"
    rotation: int = 0
    sample_aspect_ratio: Fraction | None = None
    audio: bool = False


H264 = Recipe(options={"preset": "ultrafast", "bf": "3", "b-adapt": "0", "g": "12"})
HEVC = Recipe("libx265", options={"preset": "ultrafast", "x265-params": "log-level=none:bframes=3"})
VP9 = Recipe("libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "b": "500k"})
AV1 = Recipe(
    next((name for name in ("libsvtav1", "libaom-av1") if name in av.codecs_available), "no-av1"),
    options={"preset": "10", "svtav1-params": "lp=1"},
)
MPEG4 = Recipe("mpeg4", options={"b": "2M", "bf": "0"})


def needs(codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no encoder {codec}")


def numbered(number: int) -> Image:
    """A picture that carries `number` in bright and dark blocks; shape (64, 128, 3), RGB.

    The upper half holds the bits and the lower half their complement, so that a blend of two
    frames, or a picture of something else, does not read as a number.
    """
    bits = np.array([number >> bit & 1 for bit in range(BITS)], np.uint8)
    rows = np.repeat(np.stack([bits, bits, 1 - bits, 1 - bits]), BLOCK, axis=0)
    grey = np.repeat(rows, BLOCK, axis=1) * 180 + 40
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def read_number(image: Image) -> int | None:
    """The number in a picture of `numbered`, at any scale; None where it holds none."""
    height, width = image.shape[:2]
    bright = []
    for row in range(4):
        for bit in range(BITS):
            y, x = round((row + 0.5) * height / 4), round((bit + 0.5) * width / BITS)
            level = float(image[y - 2 : y + 2, x - 2 : x + 2].mean())
            if 90 < level < 170:
                return None
            bright.append(level >= 170)
    upper, upper2, lower, lower2 = np.array(bright).reshape(4, BITS)
    if not (upper == upper2).all() or not (lower == lower2).all() or (upper == lower).any():
        return None
    return int(sum(int(bit) << place for place, bit in enumerate(upper)))


# Corners of `corners()`, RGB: upper left, upper right, lower left, lower right.
RED, GREEN, BLUE, WHITE = (220, 20, 20), (20, 200, 20), (20, 20, 220), (235, 235, 235)


def corners(width: int, height: int) -> Image:
    """An asymmetric picture: a colour in each quarter, RGB."""
    image = np.zeros((height, width, 3), np.uint8)
    x, y = width // 2, height // 2
    image[:y, :x], image[:y, x:], image[y:, :x], image[y:, x:] = RED, GREEN, BLUE, WHITE
    return image


def corner_names(image_bgr: Image) -> list[str]:
    """Names of the quarters' colours: upper left, upper right, lower left, lower right."""
    palette = {"red": RED, "green": GREEN, "blue": BLUE, "white": WHITE}
    height, width = image_bgr.shape[:2]
    names = []
    for y in (height // 4, height * 3 // 4):
        for x in (width // 4, width * 3 // 4):
            seen = image_bgr[y, x, ::-1].astype(int)
            distance = {name: int(np.abs(seen - rgb).sum()) for name, rgb in palette.items()}
            best = min(distance, key=lambda name: distance[name])
            names.append(best if distance[best] < 120 else f"none ({seen})")
    return names


def moving(count: int) -> list[Image]:
    """Pictures that differ everywhere, with a pan and a jump, so that no reference is idle."""
    rng = np.random.default_rng(7)
    texture = cv2.GaussianBlur(rng.integers(0, 255, (140, 420, 3), np.uint8), (0, 0), 2)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    pictures = []
    for number in range(count):
        x, y = number * 3 % 200, round(15 + 12 * np.sin(number / 5))
        picture = np.ascontiguousarray(texture[y : y + 96, x : x + 160])
        cv2.circle(picture, (10 + number * 7 % 140, 50), 12, (255, 40, 0), -1)
        pictures.append(255 - picture if number % 37 == 0 else picture)
    return pictures


def write_video(path: Path, pictures: Iterable[Image], recipe: Recipe = H264) -> Path:
    """Encodes RGB pictures of one size."""
    needs(recipe.codec)
    with (
        ordinary_priority(),
        av.open(
            str(path), "w", format=recipe.format, options=dict(recipe.container_options)
        ) as container,
    ):
        stream = None
        sound = None
        for count, picture in enumerate(pictures):
            if stream is None:
                stream = container.add_stream(recipe.codec, rate=recipe.fps)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = recipe.pix_fmt
                stream.codec_context.options = dict(recipe.options)
                stream.codec_context.thread_count = 1
                if recipe.times is not None:
                    stream.codec_context.time_base = Fraction(1, 90_000)
                if recipe.sample_aspect_ratio is not None:
                    stream.codec_context.sample_aspect_ratio = recipe.sample_aspect_ratio
                if recipe.rotation:
                    stream.set_display_rotation(recipe.rotation)
                if recipe.audio:
                    sound = container.add_stream("aac", rate=48_000, layout="mono")
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if recipe.times is None:
                frame.pts, frame.time_base = count, Fraction(1, recipe.fps)
            else:
                frame.time_base = Fraction(1, 90_000)
                frame.pts = int(recipe.times[count] / frame.time_base)
            container.mux(stream.encode(frame))
            if sound is not None:
                container.mux(sound.encode(_silence(count * 1920, 1920)))
        if stream is not None:
            container.mux(stream.encode())
        if sound is not None:
            container.mux(sound.encode())
    return path


def write_numbered(path: Path, count: int, recipe: Recipe = H264) -> Path:
    return write_video(path, (numbered(number) for number in range(count)), recipe)


def write_repeated(path: Path, picture: Image, count: int, recipe: Recipe = H264) -> Path:
    """So many frames of one picture. A few of them are encoded, then copied again and again."""
    few = 25
    piece = write_video(path.with_name(f"piece-{path.name}"), [picture] * few, recipe)
    with av.open(str(path), "w") as container:
        written = None
        for turn in range(count // few):
            with av.open(str(piece)) as source:
                read = source.streams.video[0]
                if written is None:
                    written = container.add_stream_from_template(read)
                assert read.time_base is not None
                shift = round(turn * few / recipe.fps / read.time_base)
                for packet in source.demux(read):
                    if packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = written
                        container.mux(packet)
    piece.unlink()
    return path


def write_audio(path: Path) -> Path:
    """A file with sound only."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48_000, layout="mono")
        for block in range(20):
            container.mux(sound.encode(_silence(block * 1024, 1024)))
        container.mux(sound.encode())
    return path


def _silence(pts: int, samples: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(
        np.zeros((1, samples), np.float32), format="fltp", layout="mono"
    )
    frame.sample_rate, frame.pts, frame.time_base = 48_000, pts, Fraction(1, 48_000)
    return frame
