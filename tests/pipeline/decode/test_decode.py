"""Frames have their own number and their own time, whatever the file is like."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from apps.common.errors import VideoUnreadable
from apps.common.options import sampled_count
from apps.pipeline.arrays import ByteArray
from apps.pipeline.decode.video import Video, open_video
from apps.pipeline.frame_features import Glimpse
from apps.pipeline.geometry import fit
from apps.pipeline.types import Frame
from tests.pipeline.videos import (
    AV1,
    H264,
    HEVC,
    MPEG4,
    VP9,
    Recipe,
    corner_names,
    corners,
    numbered,
    read_number,
    write_audio,
    write_numbered,
    write_video,
)

COUNT = 50
ONE_GROUP = replace(MPEG4, options={"b": "2M", "bf": "0", "g": "600"})
MPEG4_B = replace(MPEG4, options={"b": "2M", "bf": "2"})


def inner(frame: Frame) -> ByteArray:
    box = frame.letterbox
    return frame.image[: box.inner_height, : box.inner_width]


def sampled(video: Video, stride: int = 1) -> list[Frame]:
    box = fit(video.facts.width, video.facts.height, 640)
    return list(video.frames(stride, box))


def all_frames(path: Path, stride: int = 1, threads: int = 1) -> list[Frame]:
    with open_video(path, threads=threads) as video:
        return sampled(video, stride)


@pytest.fixture
def h264(tmp_path: Path) -> Path:
    return write_numbered(tmp_path / "h264.mp4", COUNT)


# --- numbers and times -------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 6, 7])
@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        pytest.param(H264, "a.mp4", id="h264-b-frames-mp4"),
        pytest.param(H264, "a.mkv", id="h264-b-frames-mkv"),
        pytest.param(H264, "a.ts", id="h264-b-frames-ts"),
        pytest.param(H264, "a.avi", id="h264-b-frames-avi"),
        pytest.param(H264, "a.flv", id="h264-b-frames-flv"),
        pytest.param(H264, "a.h264", id="h264-b-frames-raw"),
        pytest.param(HEVC, "a.mp4", id="hevc-mp4"),
        pytest.param(VP9, "a.webm", id="vp9-webm"),
        pytest.param(AV1, "a.mp4", id="av1-mp4"),
        pytest.param(AV1, "a.webm", id="av1-webm"),
        pytest.param(MPEG4, "a.avi", id="mpeg4-avi"),
        pytest.param(MPEG4_B, "a.avi", id="mpeg4-b-frames-avi"),
        pytest.param(Recipe("mpeg2video", options={"b": "2M", "bf": "2"}), "a.mpg", id="mpeg2-ps"),
        pytest.param(Recipe("wmv2", options={"b": "2M"}), "a.wmv", id="wmv2-asf"),
    ],
)
def test_frame_i_is_picture_i_at_its_time(
    tmp_path: Path, recipe: Recipe, name: str, stride: int
) -> None:
    path = write_numbered(tmp_path / name, COUNT, recipe)
    with open_video(path, threads=1) as video:
        frames = sampled(video, stride)
        assert video.facts.frames == COUNT
        assert video.facts.fps == pytest.approx(25)
        assert not video.facts.variable_frame_rate
        assert (video.damaged_packets, video.truncated) == (0, False)
    wanted = list(range(0, COUNT, stride))
    assert [read_number(inner(f)) for f in frames] == wanted
    assert [f.index for f in frames] == wanted
    assert len(frames) == sampled_count(COUNT, stride)
    assert [f.ts_s for f in frames] == pytest.approx([i / 25 for i in wanted], abs=1e-3)


@pytest.mark.parametrize(("frames", "stride", "count"), [(13, 6, 3), (12, 6, 2), (1, 6, 1)])
def test_the_number_of_sampled_frames_is_known_beforehand(
    tmp_path: Path, frames: int, stride: int, count: int
) -> None:
    path = write_numbered(tmp_path / "a.mp4", frames)
    assert len(all_frames(path, stride)) == sampled_count(frames, stride) == count


def test_several_decoder_threads_give_the_same_frames(h264: Path) -> None:
    one, four = all_frames(h264, 6, threads=1), all_frames(h264, 6, threads=4)
    assert [f.index for f in one] == [f.index for f in four]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, four, strict=True))


# --- frames seen in passing ----------------------------------------------------------------------


def passed(path: Path, stride: int, threads: int = 1) -> list[tuple[int, list[Glimpse]]]:
    """Of each sampled frame its number, and the frames before it that were decoded."""
    with open_video(path, threads=threads) as video:
        return [(decoded.index, list(decoded.passed)) for decoded in video.sampled(stride)]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(
    ("recipe", "name", "every"),
    [
        pytest.param(H264, "a.mp4", False, id="b-frames"),
        pytest.param(replace(H264, pix_fmt="yuv420p10le"), "a.mkv", False, id="ten-bits"),
        pytest.param(replace(H264, pix_fmt="yuvj444p"), "a.mp4", False, id="full-range"),
        pytest.param(replace(H264, rotation=90), "a.mp4", False, id="turned"),
        pytest.param(ONE_GROUP, "a.avi", True, id="no-b-frames"),
    ],
)
def test_frames_that_had_to_be_decoded_are_seen_in_passing(
    tmp_path: Path, recipe: Recipe, name: str, every: bool, threads: int
) -> None:
    """They are those that they are said to be, in order, and are displayed as the sampled ones."""
    path, seen = write_numbered(tmp_path / name, COUNT, recipe), []
    for index, glimpses in passed(path, 6, threads):
        for glimpse in glimpses:
            view = glimpse.view.image
            upright = cv2.rotate(view, cv2.ROTATE_90_CLOCKWISE) if recipe.rotation else view
            number = read_number(upright)
            assert number is not None
            assert index - 6 < number < index
            assert glimpse.ts_s == pytest.approx(number / 25, abs=1e-3)
            assert view.shape[1] == 256
            assert np.abs(glimpse.layout - glimpse.view.layout).mean() < 3
            seen.append(number)
    assert seen == sorted(set(seen))
    in_between = [n for n in range(48) if n % 6 != 0]
    assert seen == in_between if every else len(in_between) / 4 < len(seen) < len(in_between)


def test_every_frame_sampled_leaves_none_to_pass(h264: Path) -> None:
    assert all(glimpses == [] for _, glimpses in passed(h264, 1))


def test_few_of_many_frames_in_passing_are_kept(tmp_path: Path) -> None:
    """A long stride does not fill the memory."""
    path = write_numbered(tmp_path / "a.avi", 251, ONE_GROUP)
    [(_, none), (_, glimpses)] = passed(path, 250)
    assert none == []
    assert 16 < len(glimpses) <= 64
    times = [glimpse.ts_s for glimpse in glimpses]
    assert times == sorted(times)
    assert times[0] < 1
    assert times[-1] == pytest.approx(249 / 25, abs=0.1)
    assert max(np.diff(times)) < 0.5


def test_colours_that_are_not_stored_as_planes_are_not_seen_in_passing(tmp_path: Path) -> None:
    recipe = Recipe("ffv1", pix_fmt="bgr0")
    assert all(
        not glimpses for _, glimpses in passed(write_numbered(tmp_path / "a.mkv", 20, recipe), 6)
    )


@pytest.mark.trap(9)
def test_frame_102_of_25_fps_is_at_4_08_s(tmp_path: Path) -> None:
    frames = all_frames(write_numbered(tmp_path / "a.mp4", 110), stride=6)
    assert {f.index: f.ts_s for f in frames}[102] == pytest.approx(4.08)


@pytest.mark.trap(39)
def test_a_variable_frame_rate_keeps_its_true_times(tmp_path: Path) -> None:
    steps = [Fraction(1, 25), Fraction(1, 10), Fraction(3, 100), Fraction(1, 2)]
    times = [Fraction(0)]
    for number in range(1, 30):
        times.append(times[-1] + steps[number % 4])
    for name in ("a.mp4", "a.mkv"):
        path = write_numbered(tmp_path / name, 30, replace(H264, times=times))
        with open_video(path, threads=1) as video:
            assert video.facts.variable_frame_rate
            assert video.facts.fps == pytest.approx(29 / float(times[-1]), rel=1e-3)
            frames = sampled(video)
        assert [read_number(inner(f)) for f in frames] == list(range(30))
        # Matroska stores milliseconds.
        assert [f.ts_s for f in frames] == pytest.approx([float(t) for t in times], abs=1e-3)


def test_a_clock_that_starts_at_ten_seconds_begins_at_zero(tmp_path: Path) -> None:
    times = [10 + Fraction(n, 25) for n in range(20)]
    path = write_numbered(tmp_path / "a.ts", 20, replace(H264, times=times))
    with av.open(str(path)) as container:
        assert (container.start_time or 0) / av.time_base >= 10
    frames = all_frames(path)
    assert [read_number(inner(f)) for f in frames] == list(range(20))
    assert [f.ts_s for f in frames] == pytest.approx([n / 25 for n in range(20)], abs=1e-3)


# --- pictures ----------------------------------------------------------------------------------

TURNED = {
    0: ["red", "green", "blue", "white"],
    90: ["green", "white", "red", "blue"],  # counterclockwise: what was right is above
    180: ["white", "blue", "green", "red"],
    270: ["blue", "red", "white", "green"],
}


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_applied_as_players_do(tmp_path: Path, rotation: int) -> None:
    picture = corners(192, 96)
    path = write_video(tmp_path / "a.mp4", [picture] * 3, replace(H264, rotation=rotation))
    with open_video(path, threads=1) as video:
        frames = sampled(video)
        shown = (96, 192) if rotation % 180 == 90 else (192, 96)
        facts = video.facts
        assert (facts.width, facts.height) == shown
        assert (facts.coded_width, facts.coded_height) == (192, 96)
        assert facts.rotation == rotation
        for frame in frames:
            assert (frame.letterbox.inner_width, frame.letterbox.inner_height) == shown
            assert corner_names(inner(frame)) == TURNED[rotation]
            assert frame.picture is not None
            whole = frame.picture.crops(np.array([[0, 0, 1, 1]], np.float32), 0)[0]
            assert corner_names(whole) == TURNED[rotation]
            # A crop is cut from the picture as displayed.
            corner = frame.picture.crops(np.array([[0, 0, 0.5, 0.5]], np.float32), 0)[0]
            assert set(corner_names(corner)) == {TURNED[rotation][0]}
    # The reference: the angle that FFmpeg itself reads, counterclockwise.
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).rotation % 360 == rotation


@pytest.mark.parametrize(("rotation", "shown"), [(0, (256, 96)), (90, (96, 256))])
def test_pixels_that_are_not_square_are_stretched(
    tmp_path: Path, rotation: int, shown: tuple[int, int]
) -> None:
    recipe = replace(H264, sample_aspect_ratio=Fraction(4, 3), rotation=rotation)
    path = write_video(tmp_path / "a.mp4", [corners(192, 96)] * 3, recipe)
    with open_video(path, threads=1) as video:
        assert (video.facts.width, video.facts.height) == shown
        assert video.facts.sample_aspect_ratio == pytest.approx(4 / 3, abs=1e-5)
        for frame in sampled(video):
            assert (frame.letterbox.inner_width, frame.letterbox.inner_height) == shown
            assert corner_names(inner(frame)) == TURNED[rotation]


@pytest.mark.parametrize("size", [(101, 67), (33, 35), (641, 361)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    recipe = replace(H264, pix_fmt="yuv444p")  # x264 takes odd sizes without chroma subsampling
    path = write_video(tmp_path / "a.mkv", [corners(*size)] * 3, recipe)
    with open_video(path, threads=1) as video:
        assert (video.facts.width, video.facts.height) == size
        frames = sampled(video)
    assert len(frames) == 3
    for frame in frames:
        assert corner_names(inner(frame)) == TURNED[0]


@pytest.mark.parametrize("rotation", [0, 90])
def test_crops_have_square_pixels(tmp_path: Path, rotation: int) -> None:
    recipe = replace(H264, sample_aspect_ratio=Fraction(4, 3), rotation=rotation)
    path = write_video(tmp_path / "a.mp4", [corners(144, 108)] * 2, recipe)
    with open_video(path, threads=1) as video:
        frame = sampled(video)[0]
    assert frame.picture is not None
    whole = frame.picture.crops(np.array([[0, 0, 1, 1]], np.float32), 0)[0]
    assert whole.shape[:2] == ((108, 192) if rotation == 0 else (192, 108))
    assert corner_names(whole) == TURNED[rotation]


def test_the_rest_of_the_canvas_is_black(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [np.full((90, 160, 3), 235, np.uint8)] * 2)
    for frame in all_frames(path):
        assert frame.image.shape == (96, 160, 3)
        assert frame.image.dtype == np.uint8
        assert inner(frame).min() > 200
        assert frame.image[90:].max() == 0


def test_a_large_frame_is_shrunk_whole(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [corners(1280, 720)] * 2)
    for frame in all_frames(path):
        assert frame.image.shape == (384, 640, 3)
        assert corner_names(inner(frame)) == TURNED[0]


def test_the_picture_is_at_hand_at_full_size(h264: Path) -> None:
    with open_video(h264, threads=1) as video:
        for frame in sampled(video, 12):
            assert frame.picture is not None
            whole = frame.picture.crops(np.array([[0, 0, 1, 1]], np.float32), 0.25)[0]
            assert read_number(whole) == frame.index


def test_sound_is_passed_over(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", COUNT, replace(H264, audio=True))
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 1
    frames = all_frames(path)
    assert [read_number(inner(f)) for f in frames] == [f.index for f in frames]
    assert len(frames) == COUNT


# --- damage ------------------------------------------------------------------------------------


def packets_of(path: Path) -> list[tuple[int, int, bool]]:
    """Position, size and "is a key frame" of each video packet, in the file's order."""
    with av.open(str(path)) as container:
        return [
            (packet.pos, packet.size, packet.is_keyframe)
            for packet in container.demux(video=0)
            if packet.size
        ]


def corrupt(path: Path, place: int) -> None:
    """Overwrites the payload of the packet with that place in the file, but its first bytes."""
    pos, size, is_key = packets_of(path)[place]
    assert not is_key
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(7)
    if path.suffix == ".ts":
        # It ends with its transport packet; headers and stuffing in front of it stay.
        start, end = pos + 188 - size // 2, pos + 188
    else:
        start, end = pos + min(4, size // 4), pos + size
    data[start:end] = rng.integers(0, 256, end - start, np.uint8).tobytes()
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("recipe", "name", "gop"),
    [
        pytest.param(H264, "a.mp4", 12, id="h264-mp4"),
        pytest.param(H264, "a.ts", 12, id="h264-ts"),
        pytest.param(
            replace(MPEG4, options={"b": "2M", "bf": "0", "g": "12"}), "a.mp4", 12, id="mpeg4-mp4"
        ),
        pytest.param(replace(VP9, options={**VP9.options, "g": "12"}), "a.mp4", 12, id="vp9-mp4"),
    ],
)
def test_a_damaged_packet_does_not_shift_later_frames(
    tmp_path: Path, recipe: Recipe, name: str, gop: int, threads: int
) -> None:
    path = write_numbered(tmp_path / name, COUNT, recipe)
    before = path.read_bytes()
    corrupt(path, 15)
    assert path.read_bytes() != before
    frames = all_frames(path, threads=threads)
    numbers = [f.index for f in frames]
    assert numbers == sorted(set(numbers))
    assert len(frames) >= COUNT - gop
    # Nothing before the damaged group of pictures and nothing after it is touched.
    for frame in frames:
        if frame.index < gop or frame.index >= 2 * gop:
            assert read_number(inner(frame)) == frame.index
            assert frame.ts_s == pytest.approx(frame.index / 25, abs=1e-3)
    assert set(range(gop)) | set(range(2 * gop, COUNT)) <= set(numbers)


def test_damage_is_counted(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", COUNT, VP9)
    pos, size, _ = packets_of(path)[20]
    data = bytearray(path.read_bytes())
    data[pos : pos + size] = bytes(size)  # a frame marker of zero is refused by the decoder
    path.write_bytes(bytes(data))
    with open_video(path, threads=1) as video:
        frames = sampled(video)
        assert video.damaged_packets >= 1
    assert 20 <= len(frames) < COUNT
    assert [f.index for f in frames[:20]] == list(range(20))


def test_a_frame_lost_in_transport_leaves_the_times_of_the_others(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.ts", COUNT)
    pos, size, _ = packets_of(path)[15]
    assert size < 100  # it fills one transport packet only
    data = bytearray(path.read_bytes())
    data[pos + 4 : pos + 188] = b"\xff" * 184
    path.write_bytes(bytes(data))
    frames = all_frames(path)
    for frame in frames:
        if frame.index < 12 or frame.ts_s > 1:
            assert frame.ts_s == pytest.approx((read_number(inner(frame)) or 0) / 25, abs=1e-3)
    assert len(frames) >= COUNT - 12


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        pytest.param(H264, "a.mp4", id="h264-mp4"),
        pytest.param(H264, "a.mkv", id="h264-mkv"),
        pytest.param(H264, "a.ts", id="h264-ts"),
        pytest.param(H264, "a.flv", id="h264-flv"),
        pytest.param(MPEG4, "a.mp4", id="mpeg4-mp4"),
        pytest.param(MPEG4, "a.avi", id="mpeg4-avi"),
        pytest.param(VP9, "a.webm", id="vp9-webm"),
    ],
)
def test_of_a_file_that_is_cut_off_what_is_there_is_processed(
    tmp_path: Path, name: str, recipe: Recipe
) -> None:
    front = {"movflags": "+faststart"} if name == "a.mp4" else {}
    path = write_numbered(tmp_path / name, COUNT, replace(recipe, container_options=front))
    place = COUNT * 6 // 10
    pos, size, _ = packets_of(path)[place]
    path.write_bytes(path.read_bytes()[: pos + size // 2])
    with open_video(path, threads=1) as video:
        frames = sampled(video)
        assert video.facts.frames < COUNT
        assert video.truncated == (name in ("a.mp4", "a.avi"))  # those announce their frames
    # The last ones may be half there, or lack the frame that they refer to.
    assert place - 4 <= len(frames) <= place + 2
    for frame in frames[: place - 4]:
        assert read_number(inner(frame)) == frame.index


@pytest.mark.parametrize("beyond", [-1000, -4, 0, 4, 200])
def test_an_mp4_whose_index_is_cut_off_is_incomplete(h264: Path, beyond: int) -> None:
    data = h264.read_bytes()
    assert data.rfind(b"moov") > len(data) // 2
    h264.write_bytes(data[: data.rfind(b"moov") + beyond])
    with pytest.raises(VideoUnreadable, match="incomplete"):
        all_frames(h264)


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no such call")
def test_encoders_leave_the_priority_of_the_tests_alone(tmp_path: Path) -> None:
    write_numbered(tmp_path / "a.mkv", 3, AV1)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


# --- what is no video --------------------------------------------------------------------------


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    frames = all_frames(write_numbered(tmp_path / "a.mp4", 1), stride=6)
    assert [(f.index, f.ts_s, read_number(inner(f))) for f in frames] == [(0, 0.0, 0)]


def text(folder: Path, content: str, name: str = "episode.mp4") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def hls(target: str) -> str:
    return (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n"
        f"#EXTINF:2.0,\n{target}\n#EXT-X-ENDLIST\n"
    )


def segment(folder: Path) -> Path:
    return write_numbered(folder / "segment.ts", 10)


def dash(folder: Path) -> Path:
    write_numbered(folder / "segment.mp4", 10)
    return text(
        folder,
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
        "<BaseURL>segment.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "episode.mpd",
    )


def picture_file(folder: Path) -> Path:
    path = folder / "episode.png"
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(1), format="rgb24")))
    return path


def photo(folder: Path) -> Path:
    pixels = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    return _bytes(folder / "episode.jpg", bytes(cv2.imencode(".jpg", pixels)[1]))


NO_VIDEOS: dict[str, Callable[[Path], Path]] = {
    "text": lambda d: text(d, "This is not a video.\n" * 50),
    "empty": lambda d: text(d, ""),
    "noise": lambda d: _bytes(d / "episode.mp4", np.random.default_rng(1).bytes(50_000)),
    "sound only": lambda d: write_audio(d / "episode.mp4"),
    "sound only, mkv": lambda d: write_audio(d / "episode.mkv"),
    "picture": picture_file,
    "photo": photo,
    "missing": lambda d: d / "episode.mp4",
    "folder": lambda d: d,
    "hls": lambda d: text(d, hls(segment(d).name), "episode.m3u8"),
    "hls, absolute": lambda d: text(d, hls(str(segment(d))), "episode.m3u8"),
    "hls named mp4": lambda d: text(d, hls(segment(d).name)),
    "dash": dash,
    "ffconcat": lambda d: text(d, f"ffconcat version 1.0\nfile '{segment(d).name}'\n"),
    "ffconcat named so": lambda d: text(
        d, f"ffconcat version 1.0\nfile {segment(d).name}\n", "episode.ffconcat"
    ),
    "concat:": lambda d: Path(f"concat:{segment(d)}"),
    "subfile,": lambda d: Path(f"subfile,,start,0,end,9999,,:{segment(d)}"),
    "file:": lambda d: Path(f"file:{segment(d)}"),
}


def _bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", NO_VIDEOS)
def test_no_video(tmp_path: Path, kind: str) -> None:
    path = NO_VIDEOS[kind](tmp_path)
    with pytest.raises(VideoUnreadable) as caught:
        all_frames(path)
    assert caught.value.hint
    assert str(tmp_path) not in str(caught.value.to_dict())  # details hold no paths of the host


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("photo", "single picture"),
        ("sound only", "no video stream"),
        ("text", "not a video"),
    ],
)
def test_why_it_is_no_video(tmp_path: Path, kind: str, said: str) -> None:
    with pytest.raises(VideoUnreadable, match=said):
        all_frames(NO_VIDEOS[kind](tmp_path))


def test_the_segment_of_those_playlists_is_a_video(tmp_path: Path) -> None:
    # Else the cases above would pass for want of a good segment.
    assert len(all_frames(segment(tmp_path))) == 10


def test_a_name_is_never_taken_for_a_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_numbered(tmp_path / "a.mp4", 5).read_bytes()
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a.mp4|b.mp4", "subfile,,start,0,end,9,,:a.mp4", "a%03d.mp4", "-i.mp4"):
        Path(name).write_bytes(video)
        assert len(all_frames(Path(name))) == 5


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A loopback port on which nobody may knock."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.mark.parametrize("kind", ["url", "hls", "hls key", "ffconcat"])
def test_nothing_is_opened_over_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: socket.socket, kind: str
) -> None:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.ts"
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n'
    monkeypatch.chdir(tmp_path)
    path = {
        "url": lambda: Path(url),
        "hls": lambda: text(tmp_path, hls(url), "episode.m3u8"),
        "hls key": lambda: text(tmp_path, hls(key + segment(tmp_path).name), "episode.mp4"),
        "ffconcat": lambda: text(tmp_path, f"ffconcat version 1.0\nfile '{url}'\n"),
    }[kind]()
    with pytest.raises(VideoUnreadable):
        all_frames(path)
    with pytest.raises(BlockingIOError):
        listener.accept()


# --- real videos -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "frames", "fps", "size"),
    [
        ("short_hamilton_clip.mp4", 275, 29.97, (640, 360)),
        ("facenet_video.mp4", 105, 25.0, (1920, 1080)),
        ("carphone_pristine.mp4", 120, 29.97, (193, 144)),  # 176 pixels of 128:117
    ],
)
def test_real_videos(
    test_data: Path, name: str, frames: int, fps: float, size: tuple[int, int]
) -> None:
    with open_video(test_data / "videos" / name, threads=2) as video:
        assert video.facts.frames == frames
        assert video.facts.fps == pytest.approx(fps, abs=0.01)
        assert (video.facts.width, video.facts.height) == size
        seen = sampled(video, 6)
        assert (video.damaged_packets, video.truncated) == (0, False)
    assert [f.index for f in seen] == list(range(0, frames, 6))
    start = seen[0].ts_s
    assert [f.ts_s - start for f in seen] == pytest.approx([f.index / fps for f in seen], abs=0.01)
    # The reference: a plain decode of everything, pictures counted in display order.
    with av.open(str(test_data / "videos" / name)) as container:
        picture = next(f for n, f in enumerate(container.decode(video=0)) if n == 60)
        small = picture.reformat(
            seen[10].letterbox.inner_width, seen[10].letterbox.inner_height, "bgr24"
        ).to_ndarray()
    assert np.abs(small.astype(int) - inner(seen[10])).mean() < 3
