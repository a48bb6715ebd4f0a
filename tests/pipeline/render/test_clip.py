"""Parts of videos as files: the pictures, their times and their sound are those of the source."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from apps.common.errors import InvalidInput
from apps.pipeline.decode.video import open_video
from apps.pipeline.render.encode import Encoding, encode
from apps.pipeline.render.remux import CannotCopy, remux
from apps.pipeline.render.sound import SoundPlan
from apps.pipeline.render.stretch import Stretch, picture_at, stretch_of
from tests.pipeline.videos import H264, HEVC, VP9, Recipe, numbered, read_number, write_video

COUNT = 60
UNEVEN = [Fraction(n // 3 * 3, 25) + Fraction(n % 3, 60) for n in range(COUNT)]
SOUND = SoundPlan(frozenset({"aac"}))
RECIPES = {
    "b-frames": H264,
    "uneven": replace(H264, times=UNEVEN),
    "hevc": HEVC,
    "vp9": VP9,
}


def nothing(_: int = 0) -> None:
    """After each frame."""


def times_and_numbers(path: Path) -> list[tuple[float, int | None]]:
    with open_video(path, threads=1) as video:
        return [
            (frame.ts_s, read_number(frame.picture.pixels()[:, :, ::-1]))
            for frame in video.decoded()
        ]


def written(path: Path, name: str) -> Path:
    ending = "webm" if name == "vp9" else "mp4"
    recipe: Recipe = replace(RECIPES[name], audio=name not in ("uneven", "vp9"))
    return write_video(path / f"{name}.{ending}", map(numbered, range(COUNT)), recipe)


@pytest.fixture(scope="module", params=RECIPES)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("clips"), request.param)


@pytest.fixture
def encoded(source: Path, tmp_path: Path) -> tuple[Stretch, Path]:
    target = tmp_path / "clip.mp4"
    with open_video(source, threads=1) as video:
        seconds = video.index.timeline.seconds
        stretch = stretch_of(video.index, float(seconds[17]), float(seconds[41]))
        sound = replace(SOUND, start_s=stretch.start_s, end_s=stretch.end_s)
        encoding = Encoding(1920, 18, sound=sound)
        encode(video, target, encoding, cpu_threads=2, after_frame=nothing, stretch=stretch)
    return stretch, target


def test_an_encoded_clip_has_its_pictures_and_no_others(
    source: Path, encoded: tuple[Stretch, Path]
) -> None:
    stretch, target = encoded
    assert (stretch.first, stretch.last, stretch.count) == (17, 41, 25)
    whole, clip = times_and_numbers(source), times_and_numbers(target)
    assert [number for _, number in clip] == list(range(17, 42))
    times = [time for time, _ in clip]
    wanted = [time - whole[17][0] for time, _ in whole[17:42]]
    assert times == pytest.approx(wanted, abs=2e-3 if "webm" in source.name else 1e-4)


def test_what_is_before_a_clip_is_not_decoded(source: Path) -> None:
    """Only from the last picture on where decoding can begin."""
    passed: list[int] = []
    with open_video(source, threads=1) as video:
        stretch = stretch_of(video.index, 1.9, 1.9)
        for _ in video.software.sampled(1, stretch.first - 1, lambda: passed.append(1)):
            break
    if source.stem in ("b-frames", "uneven"):  # each 12 pictures
        assert len(passed) < 12


@pytest.mark.parametrize(("first", "last"), [(12, 23), (12, 59), (0, 35), (24, 24)])
def test_a_copied_clip_is_the_source_to_the_bit(tmp_path: Path, first: int, last: int) -> None:
    source, target = written(tmp_path, "b-frames"), tmp_path / "clip.mp4"
    with open_video(source, threads=1) as video:
        seconds = video.index.timeline.seconds
        stretch = stretch_of(video.index, float(seconds[first]), float(seconds[last]))
        sound = replace(SOUND, start_s=stretch.start_s, end_s=stretch.end_s)
        remux(video, target, "mp4", sound, after_frame=nothing, stretch=stretch)
    with open_video(source, threads=1) as video, open_video(target, threads=1) as clip:
        whole = list(video.decoded())[first : last + 1]
        copied = list(clip.decoded())
        assert len(copied) == len(whole)
        for one, other in zip(copied, whole, strict=True):
            assert one.ts_s == pytest.approx(other.ts_s - whole[0].ts_s, abs=1e-4)
            assert np.array_equal(one.picture.pixels(), other.picture.pixels())


@pytest.mark.parametrize(("first", "last"), [(13, 23), (12, 22), (12, 13), (5, 40)])
def test_what_cannot_be_copied_exactly_is_not(tmp_path: Path, first: int, last: int) -> None:
    """It begins in the middle of a group, or the last picture needs one that is shown later."""
    source, target = written(tmp_path, "b-frames"), tmp_path / "clip.mp4"
    with open_video(source, threads=1) as video:
        seconds = video.index.timeline.seconds
        stretch = stretch_of(video.index, float(seconds[first]), float(seconds[last]))
        with pytest.raises(CannotCopy):
            remux(video, target, "mp4", SOUND, after_frame=nothing, stretch=stretch)
    assert not target.exists()


def test_sound_is_that_of_the_clip(tmp_path: Path) -> None:
    """A tone begins in the middle of the video, and so in the middle of the clip."""
    source = tmp_path / "tone.mp4"
    with av.open(str(source), "w") as film:
        pictures = film.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "25"})
        pictures.width, pictures.height, pictures.pix_fmt = 128, 64, "yuv420p"
        tones = film.add_stream("aac", rate=48_000, layout="mono")
        for number in range(100):
            frame = av.VideoFrame.from_ndarray(numbered(number % 60), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            film.mux(pictures.encode(frame))
            loud = 0.5 if number >= 50 else 0.0
            wave = np.sin(np.arange(1920) * 2 * np.pi * 500 / 48_000) * loud
            sound = av.AudioFrame.from_ndarray(
                wave.astype(np.float32).reshape(1, -1), format="fltp", layout="mono"
            )
            sound.sample_rate, sound.pts, sound.time_base = (
                48_000, number * 1920, Fraction(1, 48_000),
            )  # fmt: skip
            film.mux(tones.encode(sound))
        film.mux(pictures.encode(None))
        film.mux(tones.encode(None))
    for name, copied in (("copied", frozenset({"aac"})), ("encoded", frozenset[str]())):
        target = tmp_path / f"{name}.mp4"
        with open_video(source, threads=1) as video:
            stretch = stretch_of(video.index, 1.4, 2.999)
            plan = SoundPlan(copied, stretch.start_s, stretch.end_s)
            encode(
                video, target, Encoding(128, 20, sound=plan),
                cpu_threads=2, after_frame=nothing, stretch=stretch,
            )  # fmt: skip
        begins, ends = heard(target)
        assert begins == pytest.approx(0.6, abs=0.05), name  # 2.0 s of the source
        assert ends == pytest.approx(1.6, abs=0.06), name


def heard(path: Path) -> tuple[float, float]:
    """When the tone begins, and when all sound ends; seconds."""
    begins, ends = -1.0, 0.0
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            samples = np.abs(frame.to_ndarray()[0])
            start = float(frame.pts * frame.time_base)
            loud = np.flatnonzero(samples > 0.25)
            if begins < 0 and len(loud):
                begins = start + float(loud[0]) / frame.sample_rate
            ends = start + len(samples) / frame.sample_rate
    return begins, ends


def test_a_time_means_the_picture_that_is_shown_then(tmp_path: Path) -> None:
    source = written(tmp_path, "uneven")
    with open_video(source, threads=1) as video:
        index = video.index
        seconds = index.timeline.seconds
        assert picture_at(index, 0.0) == 0
        for number in (0, 7, 31, 58):
            middle = float(seconds[number] + seconds[number + 1]) / 2
            for time in (float(seconds[number]), float(seconds[number]) - 0.0004, middle):
                assert picture_at(index, time) == number
        assert picture_at(index, index.end_s - 0.01) == COUNT - 1
        with pytest.raises(InvalidInput):
            picture_at(index, index.end_s)
        assert stretch_of(index, 0.0, 1e6).last == COUNT - 1
        assert stretch_of(index, 1.0, 1.0).count == 1
