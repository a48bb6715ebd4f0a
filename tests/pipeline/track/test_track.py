"""Every face comes out once, under the number of its track."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.config import TrackConfig, pipeline_config
from apps.pipeline.track.tracker import FaceTracker, TrackThresholds, thresholds
from apps.pipeline.types import Faces, Scene, Sighting, TrackedSighting

CONFIG = pipeline_config().track
FPS = 24.0
A, B, C = (0.1, 0.2, 0.2, 0.4), (0.5, 0.2, 0.6, 0.4), (0.75, 0.5, 0.85, 0.7)
Box = tuple[float, float, float, float]


def tracker(**changes: float) -> FaceTracker:
    config = replace_config(**changes)
    return FaceTracker(config, thresholds(config, det_thresh=0.5))


def replace_config(**changes: float) -> TrackConfig:
    return CONFIG.model_copy(update=changes)


def faces(boxes: Sequence[Box], conf: Sequence[float] | None = None) -> Faces:
    count = len(boxes)
    return Faces(
        np.array(boxes, np.float32).reshape(count, 4),
        np.zeros((count, 5, 2), np.float32),
        np.array([0.9] * count if conf is None else conf, np.float32),
    )


def seen(
    rows: Iterable[Sequence[Box]], stride: int = 6, shots: Sequence[int] | None = None
) -> list[Sighting]:
    return [
        Sighting(n * stride, n * stride / FPS, faces(row), Scene(0 if shots is None else shots[n]))
        for n, row in enumerate(rows)
    ]


def numbers(sightings: Iterable[Sighting]) -> list[tuple[int, ...]]:
    return [item.tracks for item in tracker().track(sightings)]


def test_numbers_start_at_one_and_the_first_sighting_has_its_number_too() -> None:
    assert numbers(seen([[A]] * 4)) == [(1,)] * 4


def test_two_faces_keep_their_numbers_in_whatever_order_they_come() -> None:
    # B is the first to be seen a second time, and so the first to be numbered.
    assert numbers(seen([[A, B], [B, A], [A, B], [B, A]])) == [(2, 1), (1, 2), (2, 1), (1, 2)]


@pytest.mark.trap(26)
def test_trackers_do_not_influence_each_other() -> None:
    one, two = tracker(), tracker()
    rows = seen([[A, B]] * 6)
    first = one.track(iter(rows))
    # The first runs half-way, the second from end to end, then the first goes on.
    begun = [next(first).tracks for _ in range(3)]
    assert [item.tracks for item in two.track(rows)] == [(1, 2)] * 6
    assert begun + [item.tracks for item in first] == [(1, 2)] * 6
    assert one.count == two.count == 2
    assert numbers(rows) == [(1, 2)] * 6


def doubtful(sighting: Sighting, conf: float = 0.6) -> Sighting:
    found = sighting.faces
    return replace(sighting, faces=replace(found, conf=np.full(len(found), conf, np.float32)))


def test_a_single_sighting_is_a_track_where_it_is_sure() -> None:
    rows: list[list[Box]] = [[A], [A, C], [A], [A]]
    assert numbers(seen(rows)) == [(1,), (1, 2), (1,), (1,)]
    assert numbers(map(doubtful, seen(rows))) == [(1,), (1, 0), (1,), (1,)]
    assert numbers(seen([[A]])) == [(1,)]
    assert numbers(map(doubtful, seen([[A]]))) == [(0,)]


def test_frames_without_faces_come_out_as_well() -> None:
    assert numbers(seen([[], [], []])) == [(), (), ()]
    assert numbers(seen([])) == []


def test_tracks_never_span_a_cut() -> None:
    rows = seen([[A]] * 6, shots=[0, 0, 0, 1, 1, 1])
    assert numbers(rows) == [(1,), (1,), (1,), (2,), (2,), (2,)]
    # One sighting on each side of a cut is two single sightings.
    assert numbers(seen([[A], [A]], shots=[0, 1])) == [(1,), (2,)]
    assert numbers(map(doubtful, seen([[A], [A]], shots=[0, 1]))) == [(0,), (0,)]
    # A shot number that comes back is still another shot.
    assert numbers(seen([[A]] * 4, shots=[0, 0, 1, 1]))[-1] == (2,)


@pytest.mark.parametrize("stride", [3, 6, 12])
@pytest.mark.parametrize(("gone_s", "same"), [(0.5, True), (1.25, True), (2.5, False), (5, False)])
@pytest.mark.trap(15)
def test_lost_is_a_matter_of_time_not_of_frames(stride: int, gone_s: float, same: bool) -> None:
    gap = round(gone_s * FPS / stride)
    rows: list[list[Box]] = [[A]] * 8 + [[]] * (gap - 1) + [[A]] * 8
    found = numbers(seen(rows, stride))
    before, after = {row[0] for row in found[:8]}, {row[0] for row in found[-8:]}
    assert before == {1}
    assert after == ({1} if same else {2})


@pytest.mark.parametrize("stride", [6, 12])
def test_a_face_that_moves_keeps_its_number(stride: int) -> None:
    step = 0.08 * stride / FPS  # of the picture's width: a slow walk
    rows: list[list[Box]] = [
        [(0.1 + n * step, 0.2, 0.25 + n * step, 0.5)] for n in range(int(5 * FPS / stride))
    ]
    assert set(numbers(seen(rows, stride))) == {(1,)}


@pytest.mark.parametrize("stride", [6, 12])
@pytest.mark.trap(23)
def test_faces_that_jump_by_more_than_their_width_keep_their_numbers(stride: int) -> None:
    """Two people walk past each other at 0.4 of the picture's width a second."""
    step = 0.4 * stride / FPS
    rows: list[list[Box]] = [
        [
            (0.05 + n * step, 0.2, 0.13 + n * step, 0.36),
            (0.85 - n * step, 0.6, 0.93 - n * step, 0.76),
        ]
        for n in range(int(2 * FPS / stride))
    ]
    assert set(numbers(seen(rows, stride))) == {(1, 2)}


def test_times_count_not_frames() -> None:
    """A variable rate: a face at a steady speed, seen at irregular times."""
    times = [0.0, 0.1, 0.2, 0.7, 0.8, 1.3, 1.8, 1.9]
    rows = [
        Sighting(n, at, faces([(0.1 + 0.3 * at, 0.2, 0.18 + 0.3 * at, 0.36)]), Scene(0))
        for n, at in enumerate(times)
    ]
    assert set(numbers(rows)) == {(1,)}


def test_a_repeated_time_does_no_harm() -> None:
    rows = [Sighting(n, 0.2 * (n // 2), faces([A, C]), Scene(0)) for n in range(6)]
    assert set(numbers(rows)) == {(1, 2)}


def test_a_face_that_walks_out_comes_back_at_the_edge() -> None:
    """In the meantime it is not looked for farther and farther outside."""
    out = [(0.05 * n + 0.5, 0.2, 0.05 * n + 0.6, 0.4) for n in range(9)]
    rows: list[list[Box]] = [[box] for box in out] + [[]] * 20 + [[box] for box in out[::-1]]
    assert numbers(seen(rows, stride=1)) == [(1,)] * 9 + [()] * 20 + [(1,)] * 9


def test_the_camera_is_followed() -> None:
    """The camera jumps by half of the picture: each face is where another one was."""
    row: list[Box] = [(0.1, 0.2, 0.2, 0.4), (0.35, 0.2, 0.45, 0.4), (0.6, 0.2, 0.7, 0.4)]
    moved: list[Box] = [(x1 + 0.25, y1, x2 + 0.25, y2) for x1, y1, x2, y2 in row]
    jump = np.array([[1, 0, 0.25], [0, 1, 0]], np.float32)
    rows = seen([row, row, moved, moved])
    followed = [replace(s, scene=Scene(0, jump if n == 2 else None)) for n, s in enumerate(rows)]
    assert numbers(followed) == [(1, 2, 3)] * 4
    assert numbers(rows) != [(1, 2, 3)] * 4


def test_a_zoom_is_followed() -> None:
    row: list[Box] = [(0.3, 0.4, 0.36, 0.52), (0.5, 0.4, 0.56, 0.52)]
    zoom = np.array([[2, 0, -0.5], [0, 2, -0.5]], np.float32)
    near: list[Box] = [tuple(2 * v - 0.5 for v in box) for box in row]  # type: ignore[misc]
    rows = seen([row, row, near, near])
    followed = [replace(s, scene=Scene(0, zoom if n == 2 else None)) for n, s in enumerate(rows)]
    assert numbers(followed) == [(1, 2)] * 4


def with_appearance(sighting: Sighting, *levels: float) -> Sighting:
    return replace(sighting, appearance=np.array([[level] * 60 for level in levels], np.float32))


def test_another_face_at_the_same_place_is_another_track() -> None:
    rows = seen([[A]] * 4)
    appearance = (0.0, 1.0, 40.0, 40.0)
    assert numbers(with_appearance(s, v) for s, v in zip(rows, appearance, strict=True)) == [
        (1,),
        (1,),
        (2,),
        (2,),
    ]


def test_while_the_picture_changes_faces_must_look_more_alike() -> None:
    rows, appearance = seen([[A]] * 4), (0.0, 1.0, 11.0, 11.0)
    stable = [with_appearance(s, v) for s, v in zip(rows, appearance, strict=True)]
    assert numbers(stable) == [(1,)] * 4
    changing = [replace(s, scene=replace(s.scene, is_stable=n != 2)) for n, s in enumerate(stable)]
    assert numbers(changing) == [(1,), (1,), (2,), (2,)]


def test_a_flash_ends_no_track() -> None:
    rows, appearance = seen([[A]] * 5), (0.0, 1.0, 60.0, 1.0, 1.0)
    lit = [
        replace(with_appearance(s, v), scene=Scene(0, lighting_changed=s.index in (12, 18)))
        for s, v in zip(rows, appearance, strict=True)
    ]
    assert numbers(lit) == [(1,)] * 5


def test_appearance_tells_two_faces_apart_that_change_places() -> None:
    left, right = (0.4, 0.2, 0.48, 0.36), (0.47, 0.2, 0.55, 0.36)
    rows = seen([[left, right]] * 4)
    appearance = [(0.0, 10.0), (0.0, 10.0), (10.0, 0.0), (10.0, 0.0)]
    found = numbers(with_appearance(s, *v) for s, v in zip(rows, appearance, strict=True))
    assert found == [(1, 2), (1, 2), (2, 1), (2, 1)]


def test_what_goes_in_comes_out_in_the_same_order() -> None:
    rows = seen([[A], [], [A, C], [B], [], [A, B], [A]], shots=[0, 0, 0, 0, 1, 1, 1])
    out = list(tracker().track(rows))
    assert [item.sighting for item in out] == rows
    assert all(len(item.tracks) == len(item.sighting.faces) for item in out)


def test_sightings_leave_soon() -> None:
    given_out = 0
    fed = 0

    def feed() -> Iterable[Sighting]:
        nonlocal fed
        for sighting in seen([[A]] * 200):
            fed += 1
            assert fed - given_out < 10  # memory stays bounded: crops hang on sightings
            yield sighting

    for _ in tracker().track(feed()):
        given_out += 1
    assert given_out == 200


def test_a_doubtful_face_continues_a_track_but_starts_none() -> None:
    limits = TrackThresholds(activation=0.7, high_confidence=0.6, warning=None)
    rows = [
        replace(s, faces=faces([A, C], [0.9 if n < 3 else 0.55, 0.55]))
        for n, s in enumerate(seen([[A, C]] * 6))
    ]
    out = [item.tracks for item in FaceTracker(CONFIG, limits).track(rows)]
    assert out == [(1, 0)] * 6


@pytest.mark.parametrize(
    ("activation", "det_thresh", "warns"),
    [(0.5, 0.5, False), (0.5, 0.3, True), (0.5, 0.8, False), (0.7, 0.5, True)],
)
def test_thresholds_say_so_where_detections_cannot_start_a_track(
    activation: float, det_thresh: float, warns: bool
) -> None:
    config = replace_config(activation_threshold=activation)
    found = thresholds(config, det_thresh)
    assert found.activation == activation
    assert (found.warning is not None) == warns
    if found.warning:
        assert f"{det_thresh:g}" in found.warning
        assert f"{activation:g}" in found.warning


# --- properties --------------------------------------------------------------------------------

corner = st.floats(0, 0.8125, width=32)
side = st.floats(0.03125, 0.1875, width=32)
boxes = st.tuples(corner, corner, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
confidences = st.floats(0.5, 1, width=32)
frame_faces = st.lists(st.tuples(boxes, confidences), max_size=4)
episodes = st.lists(st.tuples(frame_faces, st.booleans()), max_size=25)


def build(episode: list[tuple[list[tuple[Box, float]], bool]]) -> list[Sighting]:
    rows, shot = [], 0
    for n, (found, cut) in enumerate(episode):
        shot += cut
        rows.append(
            Sighting(
                n * 6, n * 0.25, faces([b for b, _ in found], [c for _, c in found]), Scene(shot)
            )
        )
    return rows


def check(rows: list[Sighting], out: list[TrackedSighting]) -> None:
    assert [item.sighting for item in out] == rows
    used: Counter[int] = Counter()
    shots: dict[int, set[int]] = {}
    for item in out:
        assert len(item.tracks) == len(item.sighting.faces)
        real = [number for number in item.tracks if number > 0]
        assert len(real) == len(set(real))  # a track has one face in a frame
        used.update(real)
        for number in real:
            shots.setdefault(number, set()).add(item.sighting.scene.shot)
    assert sorted(used) == list(range(1, len(used) + 1))
    best: dict[int, float] = {}
    for item in out:
        for number, conf in zip(item.tracks, item.sighting.faces.conf, strict=True):
            best[number] = max(best.get(number, 0.0), float(conf))
    min_conf = CONFIG.single_confidence
    assert all(count >= 2 or best[number] >= min_conf for number, count in used.items())
    assert all(len(of_track) == 1 for of_track in shots.values())


@given(episodes)
@settings(max_examples=120, deadline=None)
def test_every_sighting_comes_out_once_and_numbers_have_no_gaps(
    episode: list[tuple[list[tuple[Box, float]], bool]],
) -> None:
    rows = build(episode)
    first = tracker()
    out = list(first.track(rows))
    check(rows, out)
    assert first.count == len({n for item in out for n in item.tracks if n > 0})
    assert [item.tracks for item in tracker().track(rows)] == [item.tracks for item in out]


# --- real detections ---------------------------------------------------------------------------


def test_people_in_a_street(test_data: Path) -> None:
    """MOT Challenge's TUD-Campus with its public detections: 71 frames, 8 people who cross."""
    folder = test_data / "mot" / "TUD-Campus"
    if not folder.is_dir():
        pytest.skip("no MOT sequence in the test data")
    by_frame: dict[int, list[list[float]]] = {}
    with (folder / "det.txt").open() as stream:
        for row in csv.reader(stream):
            by_frame.setdefault(int(row[0]), []).append([float(v) for v in row[2:7]])
    rows = []
    for frame in range(1, max(by_frame) + 1):
        found = np.array(by_frame.get(frame, []), np.float64).reshape(-1, 5)
        xyxy = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1) / 640
        conf = np.clip(found[:, 4], 0, 1)
        people = faces(xyxy.tolist(), conf.tolist())
        rows.append(Sighting(frame - 1, (frame - 1) / 25, people, Scene(0)))
    out = list(FaceTracker(CONFIG, thresholds(CONFIG, 0.5)).track(rows))
    check(rows, out)
    lengths = Counter(n for item in out for n in item.tracks if n > 0)
    # Eight people, who hide each other: more tracks than people, but no track for every box.
    assert 8 <= len(lengths) <= 20
    assert lengths.most_common(1)[0][1] > 40
    # A person moves a little from frame to frame: no track jumps across the picture.
    last: dict[int, tuple[int, float]] = {}
    for item in out:
        for box, number in zip(item.sighting.faces.boxes, item.tracks, strict=True):
            if number > 0:
                frame, x = item.sighting.index, float(box[0] + box[2]) / 2
                if number in last:
                    assert abs(x - last[number][1]) < 0.08 * (frame - last[number][0])
                last[number] = frame, x


# --- who was hidden, and why tracks end ----------------------------------------------------------


def looking(rows: Iterable[Sequence[tuple[Box, float]]], stride: int = 6) -> list[Sighting]:
    """Faces with the level of their appearance."""
    table = [list(row) for row in rows]
    boxes = [[box for box, _ in row] for row in table]
    return [
        with_appearance(sighting, *(level for _, level in row))
        for sighting, row in zip(seen(boxes, stride), table, strict=True)
    ]


MAN = (0.5, 0.3, 0.56, 0.42)
BESIDE = (0.57, 0.39, 0.63, 0.51)  # a face away, as large


@pytest.mark.parametrize("stride", [3, 6, 12])
def test_who_appears_where_a_face_was_hidden_is_another_one(stride: int) -> None:
    """And the hidden one may come back: a man behind a passer, of whom the face is seen first."""
    gone = round(FPS * 0.9 / stride)
    rows: list[list[tuple[Box, float]]] = [[(MAN, 0.0)]] * 8
    rows += [[]] * (gone - 1)
    rows += [[(BESIDE, 9.0)]] * 2
    rows += [[(MAN, 2.0), (BESIDE, 9.0)]] * 8
    found = numbers(looking(rows, stride))
    assert found[:8] == [(1,)] * 8
    assert found[-8:] == [(1, 2)] * 8


@pytest.mark.parametrize("stride", [3, 6])
def test_a_small_face_behind_a_large_one_that_turned_away_is_another_one(stride: int) -> None:
    large, small = (0.5, 0.3, 0.74, 0.92), (0.6, 0.4, 0.7, 0.66)
    rows: list[list[tuple[Box, float]]] = [[(large, 0.0)]] * 6 + [[]] + [[(small, 8.0)]] * 6
    assert numbers(looking(rows, stride))[-6:] == [(2,)] * 6


def test_a_hidden_face_that_comes_back_is_the_same_though_it_has_turned() -> None:
    turned = (0.52, 0.31, 0.585, 0.43)
    rows: list[list[tuple[Box, float]]] = [[(MAN, 0.0)]] * 6 + [[]] * 3 + [[(turned, 6.0)]] * 6
    assert set(numbers(looking(rows))) == {(1,), ()}


AWAY = (0.59, 0.3, 0.65, 0.42)  # one and a half faces from the man, as large
OTHER_WAY = (0.41, 0.3, 0.47, 0.42)


def after_a_second(rows: list[list[tuple[Box, float]]]) -> list[tuple[int, ...]]:
    """The man is hidden for longer than it takes to walk a face away; then these rows."""
    hidden: list[list[tuple[Box, float]]] = [[(MAN, 0.0)]] * 6 + [[]] * 5
    return numbers(looking(hidden + rows))[11:]


def test_who_comes_back_where_another_one_could_have_come_is_the_same_if_nobody_else_is() -> None:
    assert after_a_second([[(AWAY, 4.0)]] * 8) == [(1,)] * 8
    # Whoever stays for less than that is decided at the end.
    assert after_a_second([[(AWAY, 4.0)]] * 2 + [[]] * 12)[:2] == [(1,)] * 2


def test_who_comes_where_a_face_was_hidden_is_another_one_if_that_face_comes_back() -> None:
    rows: list[list[tuple[Box, float]]] = [[(AWAY, 4.0)]] * 2 + [[(AWAY, 4.0), (MAN, 1.0)]] * 8
    assert after_a_second(rows)[-1] == (2, 1)


def test_of_two_who_could_be_the_hidden_face_neither_is() -> None:
    rows: list[list[tuple[Box, float]]] = [[(AWAY, 4.0), (OTHER_WAY, 4.0)]] * 8
    assert after_a_second(rows) == [(2, 3)] * 8
    # The second one may also come later, and the better one is taken where it is far better.
    later: list[list[tuple[Box, float]]] = [[(AWAY, 4.0)]] * 2 + [
        [(AWAY, 4.0), (OTHER_WAY, 4.0)]
    ] * 8
    assert after_a_second(later)[-1] == (2, 3)
    clear: list[list[tuple[Box, float]]] = [[(AWAY, 4.0), (OTHER_WAY, 8.0)]] * 8
    assert after_a_second(clear) == [(1, 2)] * 8


@pytest.mark.parametrize("others", [0, 2])
def test_a_passer_who_moves_five_faces_between_two_samples_is_one_track(others: int) -> None:
    standing: list[tuple[Box, float]] = [(A, 20.0), (C, 40.0)]
    rows = [
        [((0.02 + 0.3 * n, 0.3, 0.08 + 0.3 * n, 0.44), 0.5 * n), *standing[:others]]
        for n in range(4)
    ]
    [found] = set(numbers(looking(rows, stride=12)))
    assert sorted(found) == list(range(1, 2 + others))


def endings(sightings: Iterable[Sighting]) -> dict[int, str]:
    one = tracker()
    list(one.track(sightings))
    return dict(one.endings)


def test_tracks_end_with_their_shot_and_with_the_file() -> None:
    rows = seen([[A, C]] * 6, shots=[0, 0, 0, 1, 1, 1])
    assert endings(rows) == {1: "cut", 2: "cut", 3: "end", 4: "end"}


def test_who_walks_out_of_the_picture_has_left() -> None:
    out: list[list[Box]] = [[(x, 0.3, x + 0.08, 0.46), A] for x in (0.6, 0.7, 0.8, 0.9)]
    rows = out + [[A]] * 12
    assert endings(seen(rows)) == {1: "left", 2: "end"}
    # The camera may have gone.
    pan = np.array([[1, 0, -0.6], [0, 1, 0]], np.float32)
    moved = [replace(s, scene=Scene(0, pan if n == 3 else None)) for n, s in enumerate(seen(rows))]
    assert endings(moved)[1] == "lost"
    back = np.array([[1, 0, -0.9], [0, 1, 0]], np.float32)
    panned = [replace(s, scene=Scene(0, back)) for s in seen([[B]] * 3 + [[]] * 12)]
    assert endings(panned)[1] == "left"


def test_whom_somebody_nearer_stands_before_is_covered() -> None:
    far: Box = (0.5, 0.4, 0.55, 0.5)
    nearer: Box = (0.45, 0.2, 0.57, 0.44)  # the far face is behind this one's chest
    smaller: Box = (0.5, 0.3, 0.54, 0.38)
    for other, why in ((nearer, "covered"), (smaller, "lost"), (A, "lost")):
        rows: list[list[tuple[Box, float]]] = [[(far, 0.0)]] * 4 + [[(other, 20.0)]] * 12
        assert endings(looking(rows)) == {1: why, 2: "end"}


def test_a_face_that_vanishes_and_comes_back_has_not_ended() -> None:
    rows: list[list[Box]] = [[A]] * 4 + [[]] * 3 + [[A]] * 4
    assert endings(seen(rows)) == {1: "end"}


@pytest.mark.parametrize(("missed", "why"), [(1, "cut"), (2, "lost"), (4, "lost"), (12, "lost")])
def test_who_vanished_before_the_cut_was_lost(missed: int, why: str) -> None:
    """A quarter of a second is a miss, more is not."""
    rows = seen([[A]] * 4 + [[]] * missed + [[B]] * 4, shots=[0] * (4 + missed) + [1] * 4)
    assert endings(rows) == {1: why, 2: "end"}


def test_a_close_up_that_touches_the_edge_and_stands_still_has_not_left() -> None:
    """So another one who appears behind it is another one."""
    large, small = (0.4, 0.0, 0.7, 0.7), (0.5, 0.15, 0.65, 0.5)
    rows: list[list[tuple[Box, float]]] = [[(large, 0.0)]] * 6 + [[]] * 3 + [[(small, 6.0)]] * 12
    assert endings(looking(rows)) == {1: "lost", 2: "end"}


@pytest.mark.parametrize("step_s", [0.4, 2.0, 5.0])
def test_a_face_in_the_very_next_sample_is_not_lost_however_late_it_comes(step_s: float) -> None:
    rows = [replace(one, ts_s=n * step_s) for n, one in enumerate(seen([[A]] * 4))]
    assert numbers(rows) == [(1,)] * 4


def test_a_new_face_far_off_and_of_another_size_is_another_one() -> None:
    near, far = (0.4, 0.3, 0.5, 0.5), (0.55, 0.35, 0.6, 0.45)
    rows: list[list[tuple[Box, float]]] = [[(near, 0.0)], [(far, 8.0)], [(far, 8.0)]]
    assert numbers(looking(rows, stride=18)) == [(2,), (1,), (1,)]  # as they are confirmed


def test_faces_of_the_second_half_of_a_dissolve_belong_to_the_next_shot() -> None:
    rows = seen([[A], [A], [A, C], [A, C], [C], [C]], shots=[0, 0, 0, 0, 1, 1])
    mixed = [
        replace(s, scene=replace(s.scene, since_s=2 * 6 / FPS if n == 4 else None))
        for n, s in enumerate(rows)
    ]
    assert numbers(mixed) == [(1,), (1,), (1, 2), (1, 2), (2,), (2,)]
    assert endings(mixed) == {1: "cut", 2: "end"}
    assert numbers(rows)[-1] == (3,)
