"""What is made for browsers: the source's pictures at the product's times, with its sound."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from apps.common.config import PreviewConfig
from apps.pipeline.decode.media import media_facts
from apps.pipeline.decode.video import open_video
from apps.pipeline.render.encode import Encoding, encode
from apps.pipeline.render.preview import render_preview
from apps.pipeline.render.remux import CannotCopy, remux
from apps.pipeline.render.sound import SoundPlan
from apps.results.playability import PLAYED_SOUND, plan_for
from tests.pipeline.videos import (
    AV1,
    H264,
    HEVC,
    MPEG4,
    VP9,
    Recipe,
    corner_names,
    corners,
    needs,
    numbered,
    read_number,
    write_numbered,
    write_video,
)

SOUND = SoundPlan(PLAYED_SOUND["mp4"])
RATE = 48_000
LATE = [Fraction(85, 100) + Fraction(n, 25) for n in range(50)]
UNEVEN = [Fraction(n, 25) + (Fraction(2, 5) if n >= 15 else 0) for n in range(50)]


def made(source: Path, how: str, ending: str = "mp4", **encoding: Any) -> Path:
    """The file, made as `how` says."""
    target = source.with_name(f"made.{ending}")
    done: list[int] = []
    with open_video(source, threads=1) as video:
        if how == "remux":
            kind: Any = ending
            plan = SoundPlan(PLAYED_SOUND[ending])
            remux(video, target, kind, plan, after_frame=lambda: done.append(1))
        else:
            chosen = Encoding(1280, 20, key_frame_s=2.0, **{"sound": SOUND, **encoding})
            encode(video, target, chosen, cpu_threads=1, after_frame=done.append)
        assert len(done) == video.index.count
    return target


def shown(path: Path) -> tuple[list[int | None], list[float]]:
    """Numbers of the pictures, and their times in the file."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    numbers = [read_number(frame.to_ndarray(format="rgb24")) for frame in frames]
    return numbers, [float(frame.time or 0) for frame in frames]


def check_times(source: Path, target: Path) -> None:
    """Each picture is shown when the product says."""
    with open_video(source, threads=1) as video:
        expected = [(read_number(d.picture.pixels()), d.ts_s) for d in video.decoded()]
    numbers, times = shown(target)
    assert numbers == [number for number, _ in expected]
    assert times == pytest.approx([time for _, time in expected], abs=0.0011)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("a.mkv", H264), ("a.ts", H264), ("a.flv", H264), ("a.h264", H264), ("a.avi", H264),
        ("late.mkv", replace(H264, times=LATE)), ("late.ts", replace(H264, times=LATE)),
        ("late.mp4", replace(H264, times=LATE)), ("uneven.mp4", replace(H264, times=UNEVEN)),
        ("uneven.mkv", replace(H264, times=UNEVEN)), ("uneven.ts", replace(H264, times=UNEVEN)),
        ("sound.ts", replace(H264, audio=True)), ("av1.mkv", AV1), ("vp9.mkv", VP9),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["remux", "encode"])
def test_pictures_are_shown_at_the_products_times(
    tmp_path: Path, name: str, recipe: Recipe, how: str
) -> None:
    source = write_numbered(tmp_path / name, 50, recipe)
    ending = plan_for(media_facts(source)).ending if how == "remux" else "mp4"
    target = made(source, how, ending)
    check_times(source, target)
    assert plan_for(media_facts(target)).kind == "source"


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("a.mp4", replace(H264, pix_fmt="yuv420p10le")), ("a.mp4", HEVC), ("a.avi", MPEG4),
        ("a.mpg", Recipe("mpeg2video", options={"b": "4M", "bf": "2"})),
        ("late.mp4", replace(HEVC, times=LATE)),
    ],
)  # fmt: skip
def test_what_browsers_do_not_decode(tmp_path: Path, name: str, recipe: Recipe) -> None:
    source = write_numbered(tmp_path / name, 50, recipe)
    plan = plan_for(media_facts(source))
    assert plan.kind == "proxy"
    target = made(source, "encode")
    check_times(source, target)
    assert plan_for(media_facts(target)).kind == "source"


def test_a_seek_is_quick(tmp_path: Path) -> None:
    source = write_numbered(tmp_path / "a.mp4", 200, HEVC)
    with av.open(str(made(source, "encode"))) as container:
        keys = [p.pts * p.time_base for p in container.demux(video=0) if p.is_keyframe and p.size]
    assert max(b - a for a, b in itertools.pairwise(keys)) <= 2.0


def test_the_index_stands_before_the_pictures(tmp_path: Path) -> None:
    source = write_numbered(tmp_path / "a.mkv", 50)
    for how in ("remux", "encode"):
        data = made(source, how).read_bytes()
        assert 0 < data.index(b"moov") < data.index(b"mdat")
        assert b"moof" not in data


def test_large_pictures_become_720_lines(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", [corners(1920, 1080)] * 3, HEVC)
    with av.open(str(made(source, "encode"))) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (1280, 720)
        frame = next(container.decode(video=0))
        assert corner_names(frame.to_ndarray(format="bgr24")) == ["red", "green", "blue", "white"]


def test_turned_pictures(tmp_path: Path) -> None:
    """A copy says how they are turned, what is encoded is upright."""
    source = write_video(tmp_path / "a.mp4", [corners(192, 96)] * 5, replace(H264, rotation=90))
    with open_video(made(source, "remux"), threads=1) as video:
        assert (video.facts.width, video.facts.height) == (96, 192)
        picture = next(iter(video.decoded())).picture.pixels()
    assert corner_names(picture) == ["green", "white", "red", "blue"]
    with av.open(str(made(source, "encode"))) as container:
        frame = next(container.decode(video=0))
    assert frame.rotation == 0
    assert corner_names(frame.to_ndarray(format="bgr24")) == ["green", "white", "red", "blue"]


def test_interlaced_pictures_are_made_whole(tmp_path: Path) -> None:
    """Two fields of a thing that moves: without combs, and as many as before."""
    needs("mpeg2video")
    pictures = []
    for number in range(30):
        image = np.full((288, 352, 3), 30, np.uint8)
        for field in range(2):
            left = 20 + number * 8 + field * 4
            image[field::2, left : left + 60] = 220
        pictures.append(image)
    recipe = Recipe("mpeg2video", options={"b": "8M", "flags": "+ildct+ilme", "top": "1", "g": "5"})
    source = write_video(tmp_path / "a.mpg", pictures, recipe)
    facts = media_facts(source)
    assert facts.interlaced
    assert plan_for(facts).deinterlace
    combs = {}
    for deinterlace in (False, True):
        with av.open(str(made(source, "encode", deinterlace=deinterlace))) as container:
            frames = [f.to_ndarray(format="gray").astype(int) for f in container.decode(video=0)]
        assert len(frames) == 30
        combs[deinterlace] = np.mean([np.abs(f[2::2] - f[1:-1:2]).mean() for f in frames[2:-2]])
    assert combs[True] < combs[False] / 3


# --- sound -------------------------------------------------------------------------------------


def write_beeps(
    path: Path, codec: str, beeps: Sequence[float], *, begins: float = 0.0, rate: int = RATE,
    times: Sequence[Fraction] | None = None, layout: str = "stereo", video: str = "libx264",
) -> Path:  # fmt: skip
    """Four seconds of numbered pictures with sound that is loud for a tenth at these seconds."""
    needs(codec)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(video, rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        stream.codec_context.thread_count = 1
        if video == "libx264":
            stream.codec_context.options = {"preset": "ultrafast", "bf": "2", "g": "12"}
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 90_000)
        sound = container.add_stream(codec, rate=rate, layout=layout)
        length = 4 * rate
        wave = np.zeros(length, np.float32)
        for beep in beeps:
            at = round((beep - begins) * rate)
            tone = np.sin(np.arange(rate // 10) * 2 * np.pi * 1000 / rate) * 0.8
            wave[at : at + rate // 10] = tone[: max(0, min(rate // 10, length - at))]
        resampler = av.AudioResampler(sound.codec_context.format, layout, rate)
        for number in range(100):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            if times is None:
                frame.pts, frame.time_base = number, Fraction(1, 25)
            else:
                frame.pts, frame.time_base = int(times[number] * 90_000), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
            part = wave[number * rate // 25 : (number + 1) * rate // 25]
            channels = len(sound.codec_context.layout.channels)
            block = np.ascontiguousarray(np.tile(part, (channels, 1)))
            heard = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            heard.sample_rate, heard.time_base = rate, Fraction(1, rate)
            heard.pts = number * rate // 25 + round(begins * rate)
            for piece in resampler.resample(heard):
                container.mux(sound.encode(piece))
        container.mux(stream.encode())
        container.mux(sound.encode())
    return path


def heard(path: Path) -> list[float]:
    """When it gets loud, seconds in the file."""
    starts, loud_until = [], -1.0
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", RATE)
        for frame in container.decode(audio=0):
            begin = float(frame.time or 0)
            frame.pts = None
            for piece in resampler.resample(frame):
                for at in np.flatnonzero(np.abs(piece.to_ndarray()[0]) > 0.25):
                    time = begin + at / RATE
                    if time > loud_until + 0.05:
                        starts.append(time)
                    loud_until = time
                begin += piece.samples / RATE
    return starts


@pytest.mark.parametrize(
    ("name", "codec", "kept"),
    [
        ("a.mkv", "aac", "aac"), ("a.ts", "aac", "aac"), ("a.flv", "aac", "aac"),
        ("a.mkv", "libmp3lame", "mp3"), ("a.mkv", "libopus", "opus"), ("a.mkv", "flac", "flac"),
        ("a.mkv", "ac3", "aac"), ("a.ts", "ac3", "aac"), ("a.ts", "mp2", "aac"),
        ("a.mov", "pcm_s16le", "aac"), ("a.mkv", "eac3", "aac"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["remux", "encode"])
def test_sound_stays_with_the_pictures(
    tmp_path: Path, name: str, codec: str, kept: str, how: str
) -> None:
    source = write_beeps(tmp_path / name, codec, [0.5, 1.7, 3.2])
    target = made(source, how)
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.codec.name.startswith(kept[:3])
    check_times(source, target)
    assert heard(target) == pytest.approx([0.5, 1.7, 3.2], abs=0.05)


@pytest.mark.parametrize("how", ["remux", "encode"])
@pytest.mark.parametrize("codec", ["aac", "ac3"])
def test_sound_that_begins_later_and_pictures_that_do(tmp_path: Path, how: str, codec: str) -> None:
    source = write_beeps(tmp_path / "a.mkv", codec, [1.5, 3.2], begins=1.0)
    assert heard(made(source, how)) == pytest.approx([1.5, 3.2], abs=0.05)
    times = [Fraction(n, 25) + 1 for n in range(100)]
    source = write_beeps(tmp_path / "b.ts", codec, [0.5, 3.2], times=times)
    target = made(source, how)
    check_times(source, target)
    assert shown(target)[1][0] == pytest.approx(1.0, abs=0.05)
    assert heard(target) == pytest.approx([0.5, 3.2], abs=0.05)


def test_sound_goes_with_a_clock_that_leaps(tmp_path: Path) -> None:
    """Two recordings joined, whose clocks both begin anew."""
    first = write_beeps(tmp_path / "a.ts", "aac", [0.5, 3.2])
    second = write_beeps(tmp_path / "b.ts", "aac", [1.0, 2.2])
    source = tmp_path / "joined.ts"
    source.write_bytes(first.read_bytes() + second.read_bytes())
    for how in ("remux", "encode"):
        target = made(source, how)
        check_times(source, target)
        assert heard(target) == pytest.approx([0.5, 3.2, 5.0, 6.2], abs=0.12)


def test_sound_years_later_makes_no_years_of_silence(tmp_path: Path) -> None:
    times = [Fraction(n, 25) + (10**6 if n > 50 else 0) for n in range(100)]
    source = write_beeps(tmp_path / "a.mkv", "ac3", [10**6 + 3.2], begins=10**6, times=times)
    assert made(source, "remux").stat().st_size < 500_000


def test_mono_and_other_rates_are_encoded(tmp_path: Path) -> None:
    source = write_beeps(tmp_path / "a.mkv", "ac3", [0.5, 3.2], rate=32_000, layout="mono")
    assert heard(made(source, "remux")) == pytest.approx([0.5, 3.2], abs=0.05)
    source = write_beeps(tmp_path / "b.mkv", "ac3", [0.5, 3.2], layout="5.1")
    target = made(source, "remux")
    assert heard(target) == pytest.approx([0.5, 3.2], abs=0.05)
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.layout.nb_channels == 2


@pytest.mark.parametrize(
    ("name", "codec", "kept"),
    [
        ("a.mkv", "aac", "aac"), ("a.ts", "ac3", "ac3"), ("a.mkv", "libopus", "opus"),
        ("a.mkv", "libmp3lame", "mp3"), ("a.mov", "pcm_s16le", "aac"), ("a.ts", "mp2", "aac"),
    ],
)  # fmt: skip
def test_a_preview_keeps_the_sound(tmp_path: Path, name: str, codec: str, kept: str) -> None:
    source = write_beeps(tmp_path / name, codec, [0.5, 1.7, 3.2])
    targets = [tmp_path / "first.mp4", tmp_path / "again.mp4"]
    for target in targets:
        with open_video(source, threads=1) as video:
            render_preview(
                video, [], target, PreviewConfig(long_side=1280, crf=20), cpu_threads=1,
                after_frame=lambda _: None,
            )  # fmt: skip
    with av.open(str(targets[0])) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == kept
    check_times(source, targets[0])
    assert heard(targets[0]) == pytest.approx([0.5, 1.7, 3.2], abs=0.05)
    assert targets[0].read_bytes() == targets[1].read_bytes()


# --- what cannot be copied ---------------------------------------------------------------------


def test_pictures_that_a_cut_leaves_out_are_not_copied(tmp_path: Path) -> None:
    """An MP4 whose edit list begins in the middle of a group: they are needed, and not shown."""
    source = write_numbered(
        tmp_path / "a.mp4", 50, replace(H264, options={**H264.options, "g": "50"})
    )
    cut = tmp_path / "cut.mp4"
    data = bytearray(source.read_bytes())
    at = data.index(b"elst")
    timescale = int.from_bytes(data[data.index(b"mdhd") + 16 :][:4])
    start = int.from_bytes(data[at + 16 : at + 20])
    data[at + 16 : at + 20] = (start + timescale * 10 // 25).to_bytes(4)
    cut.write_bytes(data)
    with open_video(cut, threads=1) as video:
        assert video.index.count < 50
    with pytest.raises(CannotCopy):
        made(cut, "remux")
    check_times(cut, made(cut, "encode"))


def test_a_stop_ends_a_copy(tmp_path: Path) -> None:
    source = write_numbered(tmp_path / "a.mkv", 50)

    def stop() -> None:
        raise KeyboardInterrupt

    with open_video(source, threads=1) as video, pytest.raises(KeyboardInterrupt):
        remux(video, tmp_path / "made.mp4", "mp4", SOUND, after_frame=stop)


def test_a_recording_that_begins_in_the_middle(tmp_path: Path) -> None:
    """What cannot be decoded at its start is left out of the copy too."""
    whole = write_numbered(tmp_path / "a.ts", 100)
    data = whole.read_bytes()
    source = tmp_path / "part.ts"
    source.write_bytes(data[len(data) // 3 // 188 * 188 :])
    check_times(source, made(source, "remux"))


def test_a_file_that_breaks_off(tmp_path: Path) -> None:
    whole = write_beeps(tmp_path / "a.mkv", "aac", [0.5, 1.7])
    source = tmp_path / "part.mkv"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    for how in ("remux", "encode"):
        target = made(source, how)
        numbers, _ = shown(target)
        assert len(numbers) > 40
        assert heard(target)[:2] == pytest.approx([0.5, 1.7], abs=0.05)
