"""What is decoded of a damaged video depends on the file alone."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from apps.pipeline.decode import groups
from apps.pipeline.decode.groups import ClosedGroups, Fed, PacketWindow
from apps.pipeline.decode.selection import Need, PacketOrder
from apps.pipeline.decode.steady import SteadyFrames
from apps.pipeline.decode.video import open_video
from apps.pipeline.parts.plan import spans
from lab.processes.priority import ordinary_priority
from tests.pipeline.damage import damaged
from tests.pipeline.grouped import AV1_GROUPS, MPEG2, VP9
from tests.pipeline.videos import H264, Recipe, moving, write_video

COUNT = 60
SLICES = replace(H264, options={**H264.options, "slices": "4"})
# libx265's damaged pictures are left out: its decoder does not notice all damage.
RECIPES = {"h264": H264, "slices": SLICES, "vp9": VP9, "mpeg2": MPEG2, "av1": AV1_GROUPS}
Seen = list[tuple[int, bytes]]


@pytest.fixture(scope="module", params=list(RECIPES))
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("steady") / f"{request.param}.mp4"
    with ordinary_priority():
        return write_video(target, moving(COUNT), RECIPES[request.param])


def decoded(path: Path, stride: int, threads: int) -> tuple[Seen, int, int]:
    """Frames, how many packets were refused, and in how many groups damage was met."""
    with open_video(path, threads=threads) as video:
        frames = [(d.index, d.picture.frame.to_ndarray().tobytes()) for d in video.sampled(stride)]
        return frames, video.damaged_packets, video.damaged_groups


@pytest.mark.parametrize("seed", range(4))
def test_threads_do_not_change_what_is_decoded(path: Path, tmp_path: Path, seed: int) -> None:
    """By several threads FFmpeg gives other pictures nearly each time."""
    chance = random.Random(seed)
    broken = damaged(
        Path(shutil.copy(path, tmp_path)),
        [chance.randrange(1, COUNT) for _ in range(2)] + [chance.choice([12, 24, 36])],
        chance,
    )
    stride = chance.choice([1, 6])
    one = decoded(broken, stride, 1)
    assert [decoded(broken, stride, threads) for threads in (1, 2, 4)] == [one] * 3


def test_only_groups_with_damage_are_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "v.mp4", moving(COUNT), H264)
    begun: list[int] = []
    decode_again = SteadyFrames._decoded_again

    def noted(self: SteadyFrames, begin: int, *, alone: bool) -> Iterator[object]:
        begun.append(begin)
        return decode_again(self, begin, alone=alone)

    monkeypatch.setattr(SteadyFrames, "_decoded_again", noted)
    whole, *none = decoded(path, 1, 2)
    assert (begun, none) == ([], [0, 0])
    damaged(path, [36], random.Random(1))
    some, *told = decoded(path, 1, 1)
    assert told == [0, 1]
    assert begun[-1] == 36
    assert set(begun) <= {24, 36}  # the one before may not have come out of the decoder by then
    pairs = zip(whole, some, strict=True)
    changed = {number for (number, one), (_, other) in pairs if one != other}
    assert changed
    assert changed <= set(range(36, 48))


@pytest.mark.parametrize("limit", ["MAX_PACKETS", "MAX_BYTES"])
def test_a_large_group_is_left_as_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Its packets are not kept in memory; what the decoder can make of it is shown."""
    recipe = Recipe(options={"preset": "ultrafast", "g": "1000", "sc_threshold": "0"})
    path = write_video(tmp_path / "v.mp4", moving(COUNT), recipe)
    monkeypatch.setattr(groups, limit, 40)
    damaged(path, [30], random.Random(2))
    monkeypatch.setattr(SteadyFrames, "_decoded_again", None)
    frames, *_ = decoded(path, 1, 1)
    assert [number for number, _ in frames] == list(range(COUNT))


def test_who_lets_go_of_frames_in_the_making_waits_for_nothing(tmp_path: Path) -> None:
    """A decoder's threads want Python's lock to free a packet; who frees the decoder has it."""
    path = write_video(tmp_path / "v.mp4", moving(COUNT), AV1_GROUPS)
    damaged(path, [13, 26, 39], random.Random(3))
    code = (
        "import sys; from pathlib import Path\n"
        "from apps.pipeline.decode.video import open_video\n"
        "for taken in range(1, 30):\n"
        "    with open_video(Path(sys.argv[1]), threads=4) as video:\n"
        "        frames = video.sampled(1)\n"
        "        for _ in range(taken): next(frames)\n"
        "        del frames\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    assert subprocess.run(command, timeout=120, check=False).returncode == 0


@pytest.mark.parametrize("damage", [22, 23, 37, 38])
def test_beside_a_large_group_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: int
) -> None:
    """Its packets are not kept: none may be in the decoder when damage beside it is met."""
    noise = np.random.default_rng(1).integers(0, 255, (12, 96, 160, 3), np.uint8)
    pictures = moving(COUNT)
    pictures[24:36] = list(noise)
    path = write_video(tmp_path / "v.mp4", pictures, H264)
    monkeypatch.setattr(groups, "MAX_BYTES", path.stat().st_size // 2)
    with open_video(path, threads=1) as video:
        assert ClosedGroups(video.index.order).seams() == {24, 36}
    whole, *_ = decoded(path, 1, 1)
    damaged(path, [damage], random.Random(4))
    touched = set(range(damage // 12 * 12, damage // 12 * 12 + 12))
    for threads in (1, 2, 4):
        some, *_ = decoded(path, 1, threads)
        assert [each for each in whole if each[0] not in touched] == [
            each for each in some if each[0] not in touched
        ]


def test_a_decoder_that_does_not_open_after_the_last_group_is_no_error(tmp_path: Path) -> None:
    """What FFmpeg finds at the beginning of a file may be damaged; it does not open with that."""
    path = write_video(tmp_path / "v.ts", moving(COUNT), SLICES)
    data = bytearray(path.read_bytes())
    data[data.index(b"\0\0\1\x67") + 7] ^= 0xFF
    path.write_bytes(data)
    with open_video(path, threads=1) as video:
        last, count = spans(video.index, 7)[-1], video.index.count
    with open_video(path, threads=1) as video:
        numbers = [each.index for each in video.sampled_in(last, 1, [])]
    assert numbers == list(range(last.first, count))


def test_of_many_packets_with_parameters_the_latest_go_before_a_group() -> None:
    """Each damaged one counts as new: all of them, before each group, would take ever longer."""
    count = 200
    every = np.ones(count, np.bool_)
    order = PacketOrder(np.arange(count), every, every, np.ones(count, np.int64))
    closed, packet = ClosedGroups(order), av.Packet(b"")
    fed = (Fed(n, packet, Need.PICTURE, Need.PICTURE, False, True) for n in range(count))
    window = PacketWindow(fed, closed)
    for each in window:
        window.forget(closed.run_up(each.number))
        if each.number == 150:
            break
    assert [each.number for each in window.of_group(150)] == [0, *range(118, 151)]
    assert len(window._headers) < 2 * groups.MAX_HEADERS


@pytest.mark.parametrize("seed", range(4))
def test_a_healthy_group_between_damaged_ones_comes_out_as_it_is(tmp_path: Path, seed: int) -> None:
    """The damage behind it is met before its last frames have come."""
    path = write_video(tmp_path / "v.mp4", moving(COUNT), H264)
    whole = dict(decoded(path, 1, 1)[0])
    chance = random.Random(seed)
    damaged(path, [22, 23, 36], chance)
    for threads in (1, 2, 4):
        some = dict(decoded(path, 1, threads)[0])
        assert [number for number in range(24, 36) if some.get(number) != whole[number]] == []


def test_packets_of_a_group_are_had_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", moving(COUNT), H264)
    with open_video(path, threads=1) as video:
        closed = ClosedGroups(video.index.order)
        packets: Iterator[Fed] = video.software._fed(1, 0, None, closed)
        window = PacketWindow(packets, closed)
        taken = [next(iter(window)).number for _ in range(40)]
        assert taken == list(range(40))
        assert [fed.number for fed in window.of_group(2)] == list(range(12, 36))
        assert next(iter(window)).number == 36
        window.forget(24)
        assert [fed.number for fed in window.of_group(3)] == list(range(24, 48))
        assert [fed.number for fed in window] == list(range(48, COUNT))
