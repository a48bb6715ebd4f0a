"""Hardware decoding: refused where it is not there, believed where it gives what software gives.

Where a test needs a device, FFmpeg's software plays it, for few machines have one: what is under
test is how a decoder is compared, believed and given up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from av.container import InputContainer
from av.video.reformatter import ColorRange, Colorspace

from apps.common.config import pipeline_config
from apps.common.files import read_jsonl
from apps.common.layout import Layout
from apps.pipeline.decode import container, decoder, hardware, video
from apps.pipeline.decode.codec import StreamCodec
from apps.pipeline.decode.hardware import (
    HardwareFrames,
    HardwareLost,
    devices,
    largest_block_difference,
)
from apps.pipeline.decode.video import Video, open_video
from apps.pipeline.geometry import fit
from tests.pipeline.coded import MPEG2, coded, to_ts
from tests.pipeline.test_guards import run
from tests.pipeline.transport import blank_packets
from tests.pipeline.videos import Recipe, moving, read_number, write_numbered, write_video

CONFIG = pipeline_config().hardware


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> None:
    """Software plays the device."""
    monkeypatch.setattr(video, "accelerator", lambda device: None)
    monkeypatch.setattr(hardware, "is_in_hardware", lambda context: True)


@contextlib.contextmanager
def tried(path: Path, *names: str, stride: int = 3) -> Iterator[Video]:
    with open_video(path, threads=1) as opened:
        box = fit(opened.facts.width, opened.facts.height, 640)
        opened.try_hardware(names, stride, box, CONFIG)
        yield opened


def numbers_of(opened: Video, stride: int = 3) -> list[tuple[int, int | None]]:
    return [(item.index, read_number(item.picture.pixels())) for item in opened.sampled(stride)]


def test_only_what_is_built_in_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    built = set(av.codec.hwaccel.hwdevices_available())
    for platform in ("linux", "darwin", "win32"):
        monkeypatch.setattr(hardware.sys, "platform", platform)
        assert set(devices()) <= built
    monkeypatch.setattr(hardware, "hwdevices_available", lambda: ["videotoolbox", "opencl"])
    monkeypatch.setattr(hardware.sys, "platform", "darwin")
    assert devices() == ("videotoolbox",)


@pytest.mark.parametrize("name", ["cuda", "qsv", "vaapi", "no such kind"])
def test_what_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    path = write_numbered(tmp_path / "a.mp4", 12)
    with tried(path, name) as opened:
        facts = opened.decoding
        if facts.device is not None:
            pytest.skip("this machine has such a device")
        assert len(facts.refused) == 1
        assert facts.refused[0].startswith(f"{name}: it cannot be opened: ")
        assert numbers_of(opened) == [(n, n) for n in range(0, 12, 3)]


def test_software_in_its_place_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a device does that has no decoder for this codec: FFmpeg takes over without a word."""
    monkeypatch.setattr(video, "accelerator", lambda device: None)
    with tried(write_numbered(tmp_path / "a.mp4", 12), "videotoolbox") as opened:
        assert opened.decoding.refused == ["videotoolbox: it has no decoder for this video"]


@pytest.mark.usefixtures("played")
def test_what_gives_the_same_is_believed(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", 30)
    with tried(path, "videotoolbox", "cuda") as opened:
        facts = opened.decoding
        assert (facts.device, facts.format) == ("videotoolbox", "yuv420p")
        assert (facts.pictures, facts.difference, facts.refused) == (CONFIG.pictures, 0.0, [])
        assert numbers_of(opened) == [(n, n) for n in range(0, 30, 3)]
        assert facts is opened.decoding
        with opened.again() as again:
            assert again.decoding.device == "videotoolbox"


@pytest.mark.usefixtures("played")
@pytest.mark.parametrize(
    ("pictures", "why"),
    [
        (moving(30)[::-1], "its pictures differ from software's by "),
        (moving(9), "it does not give the same frames as software"),
    ],
    ids=["other", "fewer"],
)
def test_other_pictures_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: list[np.ndarray], why: str
) -> None:
    path = write_video(tmp_path / "a.mp4", moving(30))
    other = write_video(tmp_path / "b.mp4", pictures)
    played_from = iter([other])  # by the device alone

    @contextlib.contextmanager
    def opened_by(path: Path, device: object = None) -> Iterator[InputContainer]:
        with container.opened(next(played_from, path)) as opened:
            yield opened

    with open_video(path, threads=1) as opened:
        monkeypatch.setattr(video, "opened", opened_by)
        opened.try_hardware(["cuda"], 3, fit(128, 64, 640), CONFIG)
        assert opened.decoding.device is None
        assert opened.decoding.refused[0].startswith(f"cuda: {why}")
        assert [item.index for item in opened.sampled(3)] == list(range(0, 30, 3))


@pytest.mark.usefixtures("played")
def test_one_that_breaks_midway_is_given_up(tmp_path: Path) -> None:
    """Software goes on where it stopped, and what it cannot decode either counts as damage."""
    path = write_numbered(tmp_path / "a.ts", 75)
    blank_packets(path, 0.5, 12)
    with open_video(path, threads=1) as plain:
        expected = [(item.index, item.ts_s, len(item.passed)) for item in plain.sampled(3)]
        damaged = plain.damaged_packets
    with tried(path, "cuda") as opened:
        assert opened.decoding.device == "cuda"
        seen = [(item.index, item.ts_s, len(item.passed)) for item in opened.sampled(3)]
        assert opened.decoding.device is None
        assert opened.decoding.lost is not None
        assert "cuda was given up after frame " in opened.decoding.lost
        assert opened.damaged_packets == damaged
    assert seen == expected


@pytest.mark.usefixtures("played")
def test_one_whose_frames_change_is_given_up(tmp_path: Path) -> None:
    packets = coded(MPEG2, range(50)) + coded(MPEG2, range(50, 100), 50, size=(256, 128))
    path = to_ts(tmp_path / "a.ts", packets, MPEG2)
    with tried(path, "cuda") as opened:
        numbers = numbers_of(opened)
        assert opened.decoding.lost is not None
        assert "changed from yuv420p 128x64 to yuv420p 256x128" in opened.decoding.lost
    assert numbers == [(n, n) for n in range(0, 100, 3)]


class Silent(StreamCodec):
    """A device that gives nothing any more from a packet on, and no error."""

    begin = 0

    def _decoded(self, packet: Any, number: int) -> Any:
        frames = super()._decoded(packet, number)
        is_silent = packet is None or number >= self.begin
        return [] if is_silent and self._hardware is not None else frames


@pytest.mark.usefixtures("played")
@pytest.mark.parametrize("begin", [0, 45])
def test_one_that_falls_silent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: int
) -> None:
    path = write_numbered(tmp_path / "a.mp4", 90)
    monkeypatch.setattr(decoder, "StreamCodec", Silent)
    monkeypatch.setattr(Silent, "begin", begin)
    with tried(path, "cuda") as opened:
        assert (opened.decoding.device is None) == (begin == 0)
        assert numbers_of(opened) == [(n, n) for n in range(0, 90, 3)]
        if begin == 0:
            assert opened.decoding.refused == ["cuda: it gives no frames"]
        else:
            assert opened.decoding.lost is not None
            assert opened.decoding.lost.endswith("its last frames are missing.")


@pytest.mark.usefixtures("played")
def test_software_goes_on_in_the_same_file_and_decodes_little_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever lies under its name by then."""
    recipe = Recipe(options={"preset": "veryfast", "g": "15"})
    path = write_numbered(tmp_path / "a.mp4", 90, recipe)
    other = write_numbered(tmp_path / "b.mp4", 200, recipe)
    monkeypatch.setattr(decoder, "StreamCodec", Silent)
    monkeypatch.setattr(Silent, "begin", 70)
    passed: list[None] = []
    with open_video(path, threads=1) as opened:
        opened.try_hardware(["cuda"], 3, fit(128, 64, 640), CONFIG, lambda: passed.append(None))
        compared, before = len(passed), psutil.Process().num_fds()
        samples = opened.sampled(3)
        first = next(samples)
        other.replace(path)
        rest = list(samples)
        assert opened.decoding.lost is not None
        assert psutil.Process().num_fds() == before - 1  # the device's is closed
    numbers = [read_number(item.picture.pixels()) for item in [first, *rest]]
    assert numbers == list(range(0, 90, 3))
    assert compared == CONFIG.pictures
    assert len(passed) - compared < 15  # of one group of pictures


@pytest.mark.usefixtures("played")
def test_fast_decoding_is_no_reason_to_refuse(tmp_path: Path) -> None:
    """No device leaves the loop filter out."""
    path = write_video(tmp_path / "a.mp4", moving(30), Recipe(options={"crf": "42"}))
    with open_video(path, threads=1, fast=True) as opened:
        opened.try_hardware(["cuda"], 3, fit(160, 64, 640), CONFIG)
        assert (opened.decoding.device, opened.decoding.difference) == ("cuda", 0.0)


def test_a_small_fault_counts_as_much_as_a_large_one() -> None:
    one = np.full((128, 256, 3), 120, np.uint8)
    other = one.copy()
    assert largest_block_difference(one, other) == 0
    other[32:48, 64:80] = 100
    assert largest_block_difference(one, other) == pytest.approx(20)


def test_layouts_of_devices_become_planes() -> None:
    source = av.VideoFrame.from_ndarray(moving(1)[0], format="bgr24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709
    )
    source.color_range = ColorRange.JPEG
    source.pts = 7
    given = source.reformat(format="nv12")
    given.opaque = marker = object()
    frames = HardwareFrames()
    context = av.CodecContext.create("h264", "r")
    with pytest.raises(HardwareLost):  # nothing of the context is a device's
        frames.planar(given, context)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hardware, "is_in_hardware", lambda context: True)
        made = frames.planar(given, context)
    assert (frames.format, made.format.name) == ("nv12", "yuv420p")
    assert (made.pts, made.opaque) == (7, marker)
    assert (made.colorspace, made.color_range) == (given.colorspace, given.color_range)
    np.testing.assert_array_equal(made.to_ndarray(), source.to_ndarray())


def test_a_run_says_what_became_of_it(test_data: Path, tmp_path: Path) -> None:
    talk = test_data / "videos" / "carphone_pristine.mp4"
    outcomes = {
        choice: run(talk, tmp_path / choice, decoder=choice, stride=30, cpu_threads=1)
        for choice in ("software", "auto", "hardware")
    }
    rows = {
        choice: list(read_jsonl(Layout(tmp_path / choice).run("talk", "run").staged.detections))
        for choice in outcomes
    }
    assert rows["software"] == rows["auto"] == rows["hardware"]
    said = [w for w in outcomes["hardware"].warnings if "No hardware decodes this video" in w]
    assert outcomes["auto"].warnings == outcomes["software"].warnings
    assert outcomes["software"].decoding is None
    for choice in ("auto", "hardware"):
        facts = outcomes[choice].decoding
        assert facts is not None
        assert (facts.device is None) == (len(facts.refused) == len(devices()))
    assert len(said) == (facts.device is None)
