"""Cuts between sampled frames: the true ones, and nothing that only looks like one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import skimage
from numpy.typing import NDArray

from apps.common.config import pipeline_config
from apps.common.screen_time import CutSpan
from apps.pipeline.arrays import FloatArray
from apps.pipeline.decode.video import open_video
from apps.pipeline.frame_features import FrameFeatures, Glimpse
from apps.pipeline.geometry import fit
from apps.pipeline.shots.splitter import ShotSplitter
from apps.pipeline.types import Scene
from lab.evaluation.rows import Found, Truth
from lab.evaluation.scores import score_cuts
from lab.evaluation.shot_truth import read_shots
from tests.pipeline.videos import Image, write_video

STRIDE = 6
NO_FACES = np.zeros((0, 60), np.float32)


def shots_of(
    path: Path, stride: int = STRIDE, frames: int | None = None
) -> tuple[list[int], list[int]]:
    """Shot of every sampled frame, and the cuts; of so many frames, or of all."""
    with open_video(path, threads=2) as video:
        splitter = ShotSplitter(pipeline_config().shots)
        box = fit(video.facts.width, video.facts.height, 640)
        shots = []
        for decoded in video.sampled(stride):
            if frames is not None and decoded.index >= frames:
                break
            view = FrameFeatures.of(video.scaled(decoded, box))
            seen = decoded.picture.glimpse()
            assert seen is not None
            glimpses = (*decoded.passed, Glimpse(decoded.ts_s, seen))
            shots.append(splitter.scene_of(decoded.index, view, NO_FACES, glimpses).shot)
        return shots, splitter.cuts


@pytest.mark.parametrize("stride", [1, 12, 24])
def test_a_player_on_a_dark_stage_makes_no_cut(test_data: Path, stride: int) -> None:
    """Half of the picture is he; the true cuts lie at frames 20, 82 and 211."""
    _, cuts = shots_of(test_data / "videos" / "short_hamilton_clip.mp4", stride)
    assert cuts == [-(-cut // stride) * stride for cut in (20, 82, 211)]


@pytest.mark.trap(7)
def test_the_cuts_of_a_real_episode(test_data: Path) -> None:
    # The true cuts lie at frames 20, 82 and 211; the next sampled frames are these.
    shots, cuts = shots_of(test_data / "videos" / "short_hamilton_clip.mp4")
    assert cuts == [24, 84, 216]
    indices = range(0, 275, STRIDE)
    assert shots == [sum(cut <= index for cut in cuts) for index in indices]


@pytest.mark.parametrize("name", ["facenet_video.mp4", "carphone_pristine.mp4"])
@pytest.mark.parametrize("stride", [4, 12])
def test_one_shot_is_one_shot(test_data: Path, name: str, stride: int) -> None:
    shots, cuts = shots_of(test_data / "videos" / name, stride)
    assert cuts == []
    assert set(shots) == {0}


def scene(seed: int, hue: int) -> Image:
    """A textured picture of mostly one colour, shape (144, 256, 3), RGB."""
    rng = np.random.default_rng(seed)
    hsv = np.empty((144, 256, 3), np.uint8)
    hsv[..., 0] = hue
    hsv[..., 1] = 180
    coarse = rng.integers(40, 220, (9, 16), np.uint8)
    hsv[..., 2] = np.kron(coarse, np.ones((16, 16), np.uint8))
    rgb: NDArray[np.uint8] = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return rgb


def panned(image: Image, number: int) -> Image:
    return np.roll(image, 2 * number, axis=1)


def test_shots_are_numbered_from_cut_to_cut(tmp_path: Path) -> None:
    scenes = [scene(1, 10), scene(2, 60), scene(3, 120)]
    pictures = [panned(scenes[n // 30], n) for n in range(90)]
    shots, cuts = shots_of(write_video(tmp_path / "a.mp4", pictures))
    assert cuts == [30, 60]
    assert shots == [0] * 5 + [1] * 5 + [2] * 5


@pytest.mark.parametrize("stride", [1, 6, 12])
def test_a_photo_that_hangs_in_both_places_hides_no_cut(tmp_path: Path, stride: int) -> None:
    """Each of the two is grey; the photo has far more features than two places share by chance."""
    photo = cv2.cvtColor(skimage.data.astronaut()[20:220, 130:320], cv2.COLOR_RGB2GRAY)
    pictures = []
    for seed, where, size in ((1, (20, 30), (48, 51)), (2, (150, 60), (57, 60))):
        place = scene(seed, 0)[:, :, :1].copy()
        (x, y), (width, height) = where, size
        place[y : y + height, x : x + width, 0] = cv2.resize(
            photo, size, None, 0, 0, cv2.INTER_AREA
        )
        pictures += [np.repeat(place, 3, axis=2)] * 48
    assert shots_of(write_video(tmp_path / "a.mp4", pictures), stride)[1] == [48]


def test_a_moving_camera_is_no_cut(tmp_path: Path) -> None:
    image = scene(1, 10)
    pictures = [np.roll(image, 8 * n, axis=1) for n in range(60)]
    assert shots_of(write_video(tmp_path / "a.mp4", pictures))[1] == []


def test_a_flash_between_samples_is_not_seen(tmp_path: Path) -> None:
    image = scene(1, 10)
    pictures = [panned(image, n) for n in range(60)]
    pictures[20] = np.full_like(image, 255)
    assert shots_of(write_video(tmp_path / "a.mp4", pictures))[1] == []


def test_a_flash_on_a_sample_leaves_the_rest_in_one_piece(tmp_path: Path) -> None:
    image = scene(1, 10)
    pictures = [panned(image, n) for n in range(60)]
    pictures[24] = np.full_like(image, 255)
    shots, cuts = shots_of(write_video(tmp_path / "a.mp4", pictures))
    # Whether a white picture is a shot of its own is a matter of taste; elsewhere there is no cut.
    assert set(cuts) <= {24, 30}
    assert len(set(shots[:4])) == len(set(shots[5:])) == 1


# --- on pictures, without a video ---------------------------------------------------------------


def views_of(pictures: list[Image]) -> list[FrameFeatures]:
    """What is there several times is looked at once."""
    looked_at = {id(picture): FrameFeatures(np.ascontiguousarray(picture)) for picture in pictures}
    return [looked_at[id(picture)] for picture in pictures]


def scenes(
    pictures: list[Image], appearance: list[FloatArray] | None = None, step_s: float = 0.5
) -> list[Scene]:
    return scenes_of(views_of(pictures), appearance, step_s)


def scenes_of(
    views: list[FrameFeatures], appearance: list[FloatArray] | None = None, step_s: float = 0.5
) -> list[Scene]:
    splitter = ShotSplitter(pipeline_config().shots)
    faces = [NO_FACES] * len(views) if appearance is None else appearance
    return [
        splitter.scene_of(n, view, found, [Glimpse(n * step_s, view)])
        for n, (view, found) in enumerate(zip(views, faces, strict=True))
    ]


def room() -> Image:
    """A photo with much to follow, 256 pixels wide."""
    photo: Image = skimage.data.astronaut()
    return cv2.resize(photo, (256, 256), interpolation=cv2.INTER_AREA)[56:200]


def other_room() -> Image:
    return cv2.resize(skimage.data.coffee(), (256, 144), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("height", [96, 160, 340])
def test_another_shape_of_the_picture_is_a_cut(height: int) -> None:
    """Another programme, or a phone that is turned: what was where says nothing any more."""
    found = scenes([room()] * 3 + [cv2.resize(room(), (256, height))] * 3)
    assert [scene.shot for scene in found] == [0, 0, 0, 1, 1, 1]


@pytest.mark.trap(45)
def test_the_same_shape_in_other_numbers_of_pixels_is_none() -> None:
    """Their views differ by a line or two; whatever is kept of the shot must fit them."""
    heights = [144, 144, 145, 143, 144, 146, 144]
    found = scenes([cv2.resize(room(), (256, height)) for height in heights], step_s=0.2)
    assert {scene.shot for scene in found} == {0}
    found = scenes([cv2.resize(room(), (256, 144)), cv2.resize(other_room(), (256, 145))])
    assert [scene.shot for scene in found] == [0, 1]


@pytest.mark.parametrize("gain", [1.8, 2.6])
def test_a_flash_is_no_cut_but_another_light(gain: float) -> None:
    stable = room()
    lit = np.clip(stable * gain + 25, 0, 255).astype(np.uint8)
    found = scenes([stable, stable, lit, stable])
    assert [scene.shot for scene in found] == [0, 0, 0, 0]
    assert not found[1].lighting_changed
    assert found[2].lighting_changed or gain < 2
    assert found[1].is_stable


def appearance_of(*levels: float) -> FloatArray:
    return np.array([[level] * 60 for level in levels], np.float32)


def test_the_other_wall_of_the_room_is_another_place() -> None:
    """The same colours, mirrored and upside down."""
    here, there = room(), np.ascontiguousarray(room()[::-1, ::-1])
    assert [scene.shot for scene in scenes([here, here, there])] == [0, 0, 1]


def test_in_doubt_the_faces_tell() -> None:
    """Two walls that hardly differ, nearer to each other from try to try."""
    here, there = room().astype(np.float32), room()[::-1, ::-1].astype(np.float32)
    someone, another = appearance_of(0.0, 3.0), appearance_of(20.0)
    many, like_one, like_none = (appearance_of(*v) for v in ((0, 10, 20), (21, 1, 9), (3, 30, 40)))

    depths = np.linspace(0.05, 1.0, 20)
    walls = {
        depth: views_of([(110 + depth * (wall - 110)).astype(np.uint8) for wall in (here, there)])
        for depth in depths
    }

    def found(depth: float, before: FloatArray, now: FloatArray) -> int:
        return scenes_of(walls[depth], [before, now])[1].shot

    for before, alike, others in ((someone, someone, another), (many, like_one, like_none)):
        same = [found(depth, before, alike) for depth in depths]
        nobody = [found(depth, before, NO_FACES) for depth in depths]
        different = [found(depth, before, others) for depth in depths]
        assert same == nobody == sorted(same)
        assert different == sorted(different)
        assert 0 < sum(same) < sum(different) < len(depths)


# --- what is seen in passing --------------------------------------------------------------------


@cache
def wide_picture() -> Image:
    """Much wider than a frame, and nowhere the same."""
    photos = (skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea())
    parts = [cv2.resize(photo, (400, 144), interpolation=cv2.INTER_AREA) for photo in photos]
    return np.concatenate(parts, axis=1)


def window(place: int) -> FrameFeatures:
    return FrameFeatures(np.ascontiguousarray(wide_picture()[:, place : place + 256]))


def with_passed(places: list[int], cut_to: int | None = None) -> list[int]:
    """Shots of two samples half a second apart, with what lies between at these places."""
    splitter = ShotSplitter(pipeline_config().shots)
    first, last = window(0), window(900 if cut_to is None else cut_to)
    step = 0.5 / (len(places) + 1)
    passed = [Glimpse(step * (n + 1), window(place)) for n, place in enumerate(places)]
    return [
        splitter.scene_of(0, first, NO_FACES, [Glimpse(0.0, first)]).shot,
        splitter.scene_of(12, last, NO_FACES, [*passed, Glimpse(0.5, last)]).shot,
    ]


def test_what_is_seen_in_passing_tells_a_fast_pan_from_a_cut() -> None:
    """The ends share nothing. Ninety steps of ten pixels are a pan, one jump is a cut."""
    assert with_passed([]) == [0, 1]
    assert with_passed(list(range(60, 900, 60))) == [0, 0]
    assert with_passed([0, 10, 20, 880, 890]) == [0, 1]
    assert with_passed([20, 600, 620, 640, 900]) == [0, 1]  # two cuts are one, in one step


def test_what_is_seen_in_passing_tells_when_the_cut_is() -> None:
    """Between the second and the third of five pictures, of which the third needs no other one."""
    first, last = window(0), window(900)
    places, step = [0, 10, 880, 890, 895], 0.5 / 6
    passed = [Glimpse(step * (n + 1), window(at), n == 2) for n, at in enumerate(places)]
    splitter = ShotSplitter(pipeline_config().shots)
    splitter.scene_of(0, first, NO_FACES, [Glimpse(0.0, first)])
    scene = splitter.scene_of(12, last, NO_FACES, [*passed, Glimpse(0.5, last)])
    assert scene.cut == CutSpan(step * 2, step * 3, ends_intra=True)


@cache
def photo_on(ground: str, height: int, x: float, light: int) -> FrameFeatures:
    """A person's photo, so many pixels high, before a dim grey ground."""
    texture = cv2.resize(getattr(skimage.data, ground)(), (256, 144), interpolation=cv2.INTER_AREA)
    dim = np.clip(0.5 * (texture - texture.mean()) + light, 0, 255).astype(np.uint8)
    picture = cv2.cvtColor(dim, cv2.COLOR_GRAY2BGR)
    head = skimage.data.astronaut()[:300, 60:360, ::-1]
    left, top = round(x * 256 - height / 2), 65 - height // 2
    picture[top : top + height, left : left + height] = cv2.resize(
        head, (height, height), interpolation=cv2.INTER_AREA
    )
    return FrameFeatures(picture)


def test_who_has_another_size_at_once_hides_no_cut() -> None:
    """Grounds of like colours, and the same photo of a person on both."""
    splitter = ShotSplitter(pipeline_config().shots)
    large, small = photo_on("brick", 70, 0.75, 80), photo_on("grass", 44, 0.5, 100)
    shots = [
        splitter.scene_of(n, view, NO_FACES, [Glimpse(n / 12, view)]).shot
        for n, view in enumerate((large, large, small, small))
    ]
    assert shots == [0, 0, 1, 1]


def test_who_comes_nearer_makes_no_cut() -> None:
    """Before one ground, to twice the size within a second."""
    splitter = ShotSplitter(pipeline_config().shots)
    for n in range(12):
        view = photo_on("grass", round(50 * 1.08**n), 0.5, 100)
        splitter.scene_of(n, view, NO_FACES, [Glimpse(n / 12, view)])
    assert splitter.cuts == []


def test_what_flashes_up_between_two_samples_is_no_cut() -> None:
    assert with_passed([600, 600], cut_to=10) == [0, 0]


@pytest.mark.trap(54)
@pytest.mark.parametrize(
    ("stride", "frames", "min_f1"), [(1, 900, 0.98), (6, 1330, 0.98), (12, 1800, 0.98)]
)
def test_the_cuts_of_a_music_video(
    stride: int, frames: int, min_f1: float, test_data: Path
) -> None:
    """Swaying, panning and dancing shots, and cuts between views of one set."""
    shots = read_shots(test_data / "truth" / "music_video_half.shots.csv")
    _, found = shots_of(test_data / "videos" / "music_video_half.mp4", stride, frames)
    cuts = tuple(cut for cut in shots.cuts if cut < frames)
    transitions = tuple(span for span in shots.transitions if span.last < frames)
    assert len(cuts) > 20
    truth = Truth({}, {}, cuts, transitions, frames)
    sampled = tuple(range(0, truth.frames, stride))
    assert score_cuts(truth, Found({}, sampled, tuple(found))).f1 >= min_f1


# --- what lies over the picture -----------------------------------------------------------------


def ticker(picture: Image) -> Image:
    """Letters on a strip, an eighth of the height."""
    height = picture.shape[0]
    picture[height * 7 // 8 :] = (120, 30, 20)
    at, white = (8, height - height // 24), (255, 255, 255)
    text = "BREAKING NEWS: 12:45 markets +1.4 % storm in the north, 3 hurt - WXYZ"
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.52, white, 1, cv2.LINE_AA)
    return picture


def logo(picture: Image) -> Image:
    at, white = (470, 40), (255, 255, 255)
    cv2.putText(picture, "CHANNEL 9 HD", at, cv2.FONT_HERSHEY_SIMPLEX, 0.7, white, 2, cv2.LINE_AA)
    return picture


def subtitles(picture: Image) -> Image:
    for line, text in enumerate(("A line of subtitles that stays", "and a second one below it")):
        for colour, weight in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            at = (70, picture.shape[0] - 50 + 30 * line)
            letters = (cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, weight, cv2.LINE_AA)
            cv2.putText(picture, text, at, *letters)
    return picture


@cache
def somebody() -> Image:
    photo: Image = skimage.data.astronaut()
    return cv2.resize(photo[:300, 100:360], (130, 150))


def still_box(picture: Image) -> Image:
    """Somebody in a corner who does not move."""
    picture[-150:, -130:] = somebody()
    return picture


@pytest.fixture(scope="module")
def around_cuts(test_data: Path) -> list[list[Image]]:
    """Of a music video, the six frames before and after each of thirty cuts, enlarged."""
    cuts = read_shots(test_data / "truth" / "music_video_half.shots.csv").cuts[:30]
    with av.open(str(test_data / "videos" / "music_video_half.mp4")) as video:
        frames = itertools.islice(video.decode(video=0), cuts[-1] + 6)
        near = {n for cut in cuts for n in range(cut - 6, cut + 6)}
        enlarged = {
            n: cv2.resize(
                frame.to_ndarray(format="bgr24"), (640, 360), interpolation=cv2.INTER_CUBIC
            )
            for n, frame in enumerate(frames)
            if n in near
        }
    return [[enlarged[n] for n in range(max(0, cut - 6), cut + 6)] for cut in cuts]


def small_view(picture: Image) -> FrameFeatures:
    return FrameFeatures(cv2.resize(picture, (256, 144), interpolation=cv2.INTER_AREA))


@pytest.mark.parametrize("stride", [1, 12])
@pytest.mark.parametrize("over", [logo, subtitles, ticker, still_box])
def test_what_lies_over_the_picture_hides_no_cut(
    over: Callable[[Image], Image], stride: int, around_cuts: list[list[Image]]
) -> None:
    missed = 0
    for pictures in around_cuts:
        few = pictures[-7:-5] if stride == 1 else pictures
        views = [small_view(over(picture.copy())) for picture in few]
        glimpses = [Glimpse(n / 25, view) for n, view in enumerate(views)]
        splitter = ShotSplitter(pipeline_config().shots)
        splitter.scene_of(0, views[0], NO_FACES, glimpses[:1])
        missed += splitter.scene_of(1, views[-1], NO_FACES, glimpses[1:]).shot == 0
    assert missed <= 1


# --- pictures that show nothing, and pictures that lie apart -------------------------------------


def plain(*colour: int) -> Image:
    return np.full_like(room(), colour)


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("step_s", [0.04, 0.12, 0.24, 0.48])
def test_a_flash_ends_no_shot(level: int, step_s: float) -> None:
    flash = [plain(level, level, level)] * max(1, round(0.12 / step_s))
    found = scenes([*[room()] * 12, *flash, *[room()] * 12], step_s=step_s)
    assert {scene.shot for scene in found} == {0}


def test_a_black_that_lasts_is_a_shot() -> None:
    black = [plain(0, 0, 0)] * 10
    splitter = ShotSplitter(pipeline_config().shots)
    for n, picture in enumerate([*[room()] * 8, *black, *[room()] * 8]):
        view = FrameFeatures(np.ascontiguousarray(picture))
        splitter.scene_of(n, view, NO_FACES, [Glimpse(n * 0.12, view)])
    assert splitter.cuts == [8, 18]


def test_a_black_between_two_places_is_two_cuts_however_short() -> None:
    found = scenes([*[room()] * 8, plain(0, 0, 0), *[other_room()] * 8], step_s=0.12)
    assert found[-1].shot == 2
    assert len({scene.shot for scene in found[9:]}) == 1


def test_a_cut_between_plain_pictures_is_one() -> None:
    found = scenes([*[plain(0, 0, 200)] * 8, *[plain(200, 0, 0)] * 8], step_s=0.12)
    assert [found[0].shot, found[-1].shot] == [0, 1]


def test_a_fade_out_to_white_and_in_is_no_three_cuts() -> None:
    white = plain(255, 255, 255)
    steps = [(n + 1) / 21 for n in range(20)]
    out, into = mixed(room(), white, steps), mixed(white, other_room(), steps)
    found = scenes([*[room()] * 30, *out, *[white] * 5, *into, *[other_room()] * 30], step_s=0.04)
    assert len({scene.shot for scene in found[-30:]}) == 1
    assert found[-1].shot <= 2


@pytest.mark.parametrize("pause_s", [2.0, 20.0, 3600.0])
def test_a_pause_hides_no_cut_and_makes_none(pause_s: float) -> None:
    assert [s.shot for s in scenes([room(), room(), room()], step_s=pause_s)] == [0, 0, 0]
    assert [s.shot for s in scenes([room(), other_room()], step_s=pause_s)] == [0, 1]


# --- gradual changes ----------------------------------------------------------------------------


def mixed(one: Image, other: Image, shares: list[float]) -> list[Image]:
    return [cv2.addWeighted(one, 1 - share, other, share, 0) for share in shares]


@pytest.mark.parametrize(
    ("seconds", "step_s"), [(0.6, 0.04), (1.2, 0.04), (2.4, 0.12), (0.6, 0.24), (2.4, 0.24)]
)
def test_a_fade_to_black_and_back_ends_the_shot(seconds: float, step_s: float) -> None:
    black = np.zeros_like(room())
    steps = round(seconds / step_s)
    down = [(n + 1) / (steps + 1) for n in range(steps)]
    rest = round(1.6 / step_s)
    pictures = [room()] * rest + mixed(room(), black, down) + [black] * rest
    pictures += mixed(black, other_room(), down) + [other_room()] * rest
    found = [scene.shot for scene in scenes(pictures, step_s=step_s)]
    assert set(found[:rest]) == {0}
    assert len(set(found[rest + steps + 1 : 2 * rest + steps])) == 1  # the black is one shot
    assert found[rest + steps + 1] == 1
    assert found[-1] == 2
    assert len(set(found[-rest + 1 :])) == 1


def sampled_every_fourth(pictures: list[Image]) -> list[Scene]:
    """25 pictures a second, all of them decoded."""
    splitter = ShotSplitter(pipeline_config().shots)
    views = views_of(pictures)
    glimpses = [Glimpse(n / 25, view) for n, view in enumerate(views)]
    return [
        splitter.scene_of(n, views[n], NO_FACES, glimpses[max(0, n - 3) : n + 1])
        for n in range(0, len(views), 4)
    ]


def lit(picture: Image, light: Sequence[float]) -> list[Image]:
    return [(picture * share).astype(np.uint8) for share in light]


@pytest.mark.parametrize("darkest", [0.06, 0.1, 0.16])
def test_a_fade_whose_black_is_between_two_pictures_ends_the_shot(darkest: float) -> None:
    """The darkest picture that is seen shows the new place already, though dimly."""
    down, up = lit(room(), [0.8, 0.6, 0.4, 0.25]), lit(other_room(), [darkest, 0.3, 0.5, 0.7, 0.9])
    found = sampled_every_fourth([*[room()] * 33, *down, *up, *[other_room()] * 30])
    assert [found[0].shot, found[-1].shot] == [0, 1]
    [since_s] = [scene.since_s for scene in found if scene.since_s is not None]
    assert 37 / 25 <= since_s <= 38 / 25  # since the new place shows


def test_a_light_that_goes_out_and_on_ends_no_shot() -> None:
    down, up = lit(room(), [0.8, 0.6, 0.4, 0.25]), lit(room(), [0.1, 0.3, 0.5, 0.7, 0.9])
    found = sampled_every_fourth([*[room()] * 33, *down, *up, *[room()] * 30])
    assert {scene.shot for scene in found} == {0}


def test_a_dissolve_counts_from_its_middle() -> None:
    splitter = ShotSplitter(pipeline_config().shots)
    shares = [0.0] * 30 + [n / 21 for n in range(1, 21)] + [1.0] * 30
    since = []
    for n, picture in enumerate(mixed(room(), other_room(), shares)):
        view = FrameFeatures(np.ascontiguousarray(picture))
        since.append(splitter.scene_of(n, view, NO_FACES, [Glimpse(n / 25, view)]).since_s)
    [cut] = splitter.cuts
    [since_s] = [one for one in since if one is not None]
    assert since_s == pytest.approx(cut / 25)
    assert 32 < cut < 45  # its middle is frame 40; of what shows when it is found, a little before


def test_who_dances_or_passes_makes_no_mixture() -> None:
    """A large figure crosses a wall: the ends differ, and what lies between is neither of them."""
    wall, figure = other_room(), cv2.resize(room(), (110, 144))
    pictures = [wall] * 12
    for left in range(0, 146, 6):
        picture = wall.copy()
        picture[:, left : left + 110] = figure
        pictures.append(picture)
    found = scenes(pictures + [pictures[-1]] * 12, step_s=0.04)
    assert {scene.shot for scene in found[13:]} == {found[13].shot}


def test_a_hand_before_the_lens_is_no_gradual_change() -> None:
    """It comes in from the side and goes again."""
    pictures = [room()] * 20
    for width in [*range(0, 150, 10), *range(150, -1, -10)]:
        picture = room().copy()
        picture[:, :width] = (90, 120, 170)
        pictures.append(picture)
    assert {scene.shot for scene in scenes(pictures + [room()] * 20, step_s=0.04)} == {0}


@pytest.mark.parametrize("stride", [1, 3])
def test_a_dissolve_is_one_cut(stride: int) -> None:
    """Between dense samples no two pictures differ much; half a second lies between two places."""
    one, other = room(), other_room()
    steps = [0.0] * 25 + [n / 20 for n in range(1, 20)] + [1.0] * 30  # at 25 a second
    mixed = [(one * (1 - s) + other * s).astype(np.uint8) for s in steps]
    shots = [scene.shot for scene in scenes(mixed[::stride], step_s=stride / 25)]
    assert shots[0] == 0
    assert shots[-1] == 1
    assert shots.index(1) in range(25 // stride, 48 // stride)


@pytest.mark.parametrize("step_s", [0.2, 0.24, 0.4])
def test_a_dissolve_that_a_few_samples_see_is_one_cut(step_s: float) -> None:
    """Each mixture is like the next one, so that only what was before tells them apart."""
    here, there = room(), other_room()
    mixtures = [cv2.addWeighted(here, 1 - part, there, part, 0) for part in (0.25, 0.5, 0.75)]
    found = scenes([here, here, here, here, *mixtures, there, there, there, there], step_s=step_s)
    assert found[3].shot == 0
    assert [scene.shot for scene in found[7:]] == [1] * 4


def test_a_burst_of_flashes_is_no_dissolve() -> None:
    stable = room()
    lit = np.clip(stable * 2.2 + 25, 0, 255).astype(np.uint8)
    half = np.clip(stable * 1.6 + 12, 0, 255).astype(np.uint8)
    pictures = [stable, stable, stable, lit, half, lit, half, lit, stable, stable]
    assert {scene.shot for scene in scenes(pictures, step_s=0.2)} == {0}


def test_a_slow_change_of_light_is_no_dissolve() -> None:
    dimmed = [(room() * (1 - 0.02 * n)).astype(np.uint8) for n in range(30)]
    assert {scene.shot for scene in scenes(dimmed, step_s=0.04)} == {0}


def test_a_camera_that_zooms_for_ever_does_no_harm() -> None:
    """What was followed for a minute is not multiplied up without end."""
    splitter = ShotSplitter(pipeline_config().shots)
    photo = skimage.data.astronaut()
    for number in range(200):
        zoom = (1.0, 1.3, 1.69)[number % 3]
        side = int(500 / zoom)
        view = FrameFeatures(cv2.resize(photo[:side, :side], (256, 144)))
        splitter.scene_of(number, view, NO_FACES, [Glimpse(0.3 * number, view)])
        assert len(splitter._shot) < 16
    assert splitter.cuts == []


def test_what_a_fade_to_black_leaves_is_no_error() -> None:
    black = np.zeros_like(room())
    assert [s.shot for s in scenes([black, black])] == [0, 0]
    assert len(scenes([room(), black, black, room()])) == 4


def test_two_splitters_do_not_share_state(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [scene(n // 12, 10 + 50 * (n // 12)) for n in range(24)])
    assert shots_of(path) == shots_of(path) == ([0, 0, 1, 1], [12])
