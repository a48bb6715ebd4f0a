"""Shots: cuts between sampled frames, on the frames that are decoded anyway.

Between samples that lie a quarter or half a second apart, a pan or a face that moves differs as
much as a cut does. But most frames in between have to be decoded as well, and a glimpse of each
tells where the change is: a cut is one jump, between neighbours. So three questions are asked.

- Is the sampled picture the same place as the one before, moved or in other light? Hardly any point
  of it is found again across a cut.
- If not, what lies between the two neighbours that differ most: another place again, with other
  colours or other things where they were, and, where that is in doubt, other faces?
- Is it a gradual change? In a dissolve or a fade each picture in between is a mixture of the two
  ends, with ever more of the last one. People who move, and cameras, make no mixtures.

Where the picture gets another shape, the shot ends in any case.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np

from apps.common.config import ShotsConfig
from apps.common.screen_time import CutSpan
from apps.pipeline.arrays import FloatArray
from apps.pipeline.frame_features import FrameFeatures, Glimpse
from apps.pipeline.matching import appearance_distance, assignment
from apps.pipeline.shots.motion import (
    Motion,
    MotionBetween,
    MotionLimits,
    motion_between,
    overlay_of,
)
from apps.pipeline.types import Scene

_SAME_SHAPE = 1.03  # one height over the other, at the same width
_CROWD = 3  # pairs of faces
_LAYOUT_SCALE = 30.0  # a difference of layouts that counts as much as colours that share nothing
_SPANS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 3.9)  # seconds, as gradual changes last
_PURE = 0.12  # share of the other picture below which it is no mixture
_PREVAILS = 0.5  # of the picture that was found, which is seldom all of the new one yet
_BACKWARDS = 0.1  # noise of a share
_BLACK = 0.25  # of the light of the picture that fades in; the darkest one that was seen
_DIM = 12.0  # mean of a picture, 0..255, below which noise has all colours
_MAX_GLIMPSES = 256  # of the last seconds; at 90 pictures a second


@dataclass(frozen=True)
class _Seen:
    """An analysed frame.

    Args:
        appearance: shape (n, 60), see `FrameFeatures.appearance`.
        glimpse: the same frame, as the search for gradual changes needs it.
    """

    view: FrameFeatures
    appearance: FloatArray
    glimpse: Glimpse


class ShotSplitter:
    """Numbers the shots of a sampled video from 0.

    Args:
        config: thresholds; see `config/pipeline.toml`.
        measure: how motions are measured.

    Attributes:
        cuts: index of the first sampled frame of every shot but the first.
    """

    def __init__(self, config: ShotsConfig, measure: MotionBetween = motion_between) -> None:
        self._config = config
        self._measure = measure
        self._limits = MotionLimits(
            config.same_agreement,
            config.same_response,
            config.same_features,
            config.same_spread,
            config.same_scale_change,
        )
        self._before: _Seen | None = None  # the last sample, but for flashes
        self._passed: tuple[Glimpse, ...] = ()  # since then
        self._flash: tuple[int, float] | None = None  # or a cut: index and time of its first sample
        self._shot: deque[Glimpse] = deque(maxlen=_MAX_GLIMPSES)  # its last seconds
        self._changed_s = -np.inf  # when the last gradual change was found
        self._samples: deque[tuple[int, float]] = deque(maxlen=_MAX_GLIMPSES)  # index and time
        self.cuts: list[int] = []

    def scene_of(
        self, index: int, view: FrameFeatures, appearance: FloatArray, glimpses: Sequence[Glimpse]
    ) -> Scene:
        """Where the next frame in order belongs.

        Args:
            index: number of the frame in display order, from 0.
            view: features of the frame, by which cuts are found.
            appearance: what its faces look like, shape (n, 60), see `FrameFeatures.appearance`.
            glimpses: one of each frame decoded since the one before, this one last.
        """
        now = _Seen(view, appearance, glimpses[-1])
        self._samples.append((index, now.glimpse.ts_s))
        self._shot.extend(glimpses)
        before, passed = self._before, (*self._passed, *glimpses)
        if before is None:
            self._before = now
            return Scene(0)
        if _is_shaped_otherwise(before.view, view):
            return self._cut(index, now)
        if self._flash is not None and now.glimpse.is_plain:
            if now.glimpse.ts_s - self._flash[1] >= self._config.flash_seconds:
                return self._cut(self._flash[0], now)
            self._passed = passed
            return Scene(len(self.cuts))
        was = before.view.like(view)
        motion, colours = self._measure(was, view, self._limits), _distance(before.view, view)
        is_same = self._is_same_place(was, view, motion, colours)
        cut = None if is_same else self._cut_between(before, now, passed, motion)
        if cut is not None and (before.glimpse.is_plain or not now.glimpse.is_plain):
            return self._cut_from(before, index, now, cut)
        if cut is not None:
            self._flash, self._passed = (index, now.glimpse.ts_s), passed
        else:
            self._go_on_from(now)
        since_s = self._gradual_change(now.glimpse)
        if since_s is not None:
            self._changed_s = now.glimpse.ts_s
            return self._cut(self._first_since(since_s), now, since_s)
        is_correlated = motion.response >= self._config.same_response
        lighting_changed = is_correlated and colours >= self._config.other_light
        is_stable = motion.agreement >= self._config.stable_agreement or is_correlated
        return Scene(len(self.cuts), motion.matrix, is_stable, lighting_changed)

    def _cut_from(self, before: _Seen, index: int, now: _Seen, cut: CutSpan) -> Scene:
        """Where a plain picture lay between, that is a shot."""
        if before.glimpse.is_plain or self._flash is not None:
            self._changed_s = now.glimpse.ts_s  # it may be fading in
        if self._flash is None:
            return self._cut(index, now, cut=cut)
        self.cuts.append(self._flash[0])
        return self._cut(index, now)

    def _cut(
        self,
        index: int,
        now: _Seen,
        since_s: float | None = None,
        cut: CutSpan | None = None,
    ) -> Scene:
        self.cuts.append(index)
        self._begin_with(now.glimpse)
        self._go_on_from(now)
        return Scene(len(self.cuts), since_s=since_s, cut=cut)

    def _go_on_from(self, now: _Seen) -> None:
        self._before, self._passed, self._flash = now, (), None

    def _first_since(self, since_s: float) -> int:
        """The index of the first sampled frame since then."""
        last = self.cuts[-1] if self.cuts else 0
        return next(index for index, ts_s in self._samples if ts_s >= since_s and index > last)

    def _begin_with(self, glimpse: Glimpse) -> None:
        self._shot.clear()
        self._shot.append(glimpse)

    def _cut_between(
        self, before: _Seen, now: _Seen, glimpses: Sequence[Glimpse], motion: Motion
    ) -> CutSpan | None:
        """Between the two neighbours that differ most, if they are of two places; samples are.

        Args:
            motion: between the samples.
        """
        *between, last = glimpses
        shown = [glimpse for glimpse in between if not glimpse.is_plain]
        chain = list(pairwise((before.glimpse, *shown, last)))
        jumps = [_layout_distance(*pair) for pair in chain]
        largest = int(np.argmax(jumps))
        one, other = chain[largest]
        config = self._config
        apart_s = min(other.ts_s - one.ts_s, config.other_place_seconds)
        limit = config.other_place + config.other_place_per_second * apart_s
        if len(jumps) > 1 and jumps[largest] < config.abrupt * sorted(jumps)[-2]:
            limit += config.doubt
        if self._are_others(before.appearance, now.appearance):
            limit -= config.doubt
        difference = _difference(one.view, other.view)
        if difference < limit - config.doubt:
            return None
        if len(chain) > 1:  # else these are the samples, which are not the same place
            was, colours = one.view.like(other.view), _distance(one.view, other.view)
            motion = self._measure(was, other.view, self._limits)
            if self._is_same_place(was, other.view, motion, colours):
                return None
        if motion.is_one_thing:  # the same person, of another size at once
            limit -= config.doubt
        return CutSpan(one.ts_s, other.ts_s, other.is_intra) if difference >= limit else None

    def _are_two_places(
        self, one: FrameFeatures, other: FrameFeatures, limit: float, *, is_gradual: bool = False
    ) -> bool:
        if _difference(one, other) < limit:
            return False
        was = one.like(other)
        motion, colours = self._measure(was, other, self._limits), _distance(one, other)
        return not self._is_same_place(was, other, motion, colours, is_gradual=is_gradual)

    def _is_same_place(
        self,
        one: FrameFeatures,
        other: FrameFeatures,
        motion: Motion,
        colours: float,
        *,
        is_gradual: bool = False,
    ) -> bool:
        """Whether it is found again, and not only what lies over both pictures.

        Args:
            one: must have the shape of the other one.
            colours: their distance.
            is_gradual: the pictures lie apart, and the second may be a flash that fades.
        """
        if one.is_plain and other.is_plain:  # which have nothing to be found again, and no colours
            return _layout_distance(one, other) < self._config.other_place * _LAYOUT_SCALE
        if not self._is_found_again(motion, colours, is_gradual=is_gradual):
            return False
        could_be_cut = _difference(one, other) >= self._config.other_place - self._config.doubt
        overlay = overlay_of(one, other) if motion.stays and could_be_cut else None
        if overlay is None:
            return True
        beside = self._measure(one, other, self._limits, overlay)
        return self._is_found_again(beside, colours, is_gradual=is_gradual)

    def _is_found_again(self, motion: Motion, colours: float, *, is_gradual: bool) -> bool:
        """In like colours a little says so; in others a person who stands in both places may.

        A few features of one thing that has another size say nothing: a photo may hang in both.
        """
        config = self._config
        min_agreement, min_features = config.same_agreement, config.same_features
        if colours >= config.other_colours:
            min_features = config.flash_features if is_gradual else config.sure_features
            min_agreement = min_agreement if is_gradual else config.sure_agreement
        return (
            motion.agreement >= min_agreement
            or motion.response >= config.same_response
            or motion.features >= config.sure_features
            or (motion.features >= min_features and not motion.is_one_thing)
        )

    def _gradual_change(self, now: Glimpse) -> float | None:
        """Whether a picture of the last seconds has become another one by mixing with it.

        Returns:
            Since when more of the picture is the new one; in a fade from black, since it shows.
        """
        config = self._config
        if now.ts_s - self._changed_s < config.rest_seconds:
            self._begin_with(now)  # the rest of a change that has been found
            return None
        while self._shot and now.ts_s - self._shot[0].ts_s > config.gradual_seconds:
            self._shot.popleft()
        seen = list(self._shot)
        changes = _Changes(seen)
        for start in _starts(seen):
            then = seen[start]
            if _layout_distance(then, now) < config.gradual_layout:
                continue
            fades_in = then.light < _BLACK * now.light
            prevails = _PURE if fades_in else _PREVAILS
            since = changes.since_in_mixture(start, prevails, config.gradual_residual)
            if since is None:
                continue
            # The dark may be of the new picture already, so it is not asked which place it is.
            first = max(seen[: start + 1], key=lambda one: one.light) if fades_in else then
            if self._are_two_places(first.view, now.view, config.gradual_place, is_gradual=True):
                return since.ts_s
        return None

    def _are_others(self, before: FloatArray, now: FloatArray) -> bool:
        """Whether there were faces and there are, and they do not look alike.

        Of one or two pairs the best one decides: somebody may have stayed. Of many faces some pair
        is always alike, so there it is the mean.
        """
        if len(before) == 0 or len(now) == 0:
            return False
        apart = appearance_distance(before, now)
        if min(apart.shape) < _CROWD:
            return float(apart.min()) >= self._config.other_faces
        paired = [apart[pair] for pair in assignment(apart)]
        return float(np.mean(paired)) >= self._config.other_faces


def _starts(seen: Sequence[Glimpse]) -> list[int]:
    """With which frames a gradual change to the last one may have begun.

    One for each span; and the darkest one, from which a picture may fade in.

    Args:
        seen: in order.
    """
    ages = seen[-1].ts_s - np.array([glimpse.ts_s for glimpse in seen])
    latest = {int(np.flatnonzero(ages >= span)[-1]) for span in _SPANS if ages[0] >= span}
    latest |= {0, int(np.argmin([glimpse.light for glimpse in seen]))}
    return sorted(start for start in latest if start < len(seen) - 2)


class _Changes:
    """What pictures have in common with the last one of them.

    Args:
        seen: in order.
    """

    def __init__(self, seen: Sequence[Glimpse]) -> None:
        self._seen = seen

    @cached_property
    def _apart(self) -> FloatArray:
        """Shape (n, 1728): how each picture differs from the last one."""
        pictures = np.stack([glimpse.tiny.ravel() for glimpse in self._seen])
        apart: FloatArray = pictures - pictures[-1]
        return apart

    @cached_property
    def _squares(self) -> FloatArray:
        """Shape (n,): the sum of the squares of each difference."""
        squares: FloatArray = np.einsum("ij,ij->i", self._apart, self._apart)
        return squares

    def since_in_mixture(self, start: int, prevails: float, max_residual: float) -> Glimpse | None:
        """The first picture of the new place, where all are mixtures, with ever more of the last.

        With differences from the last picture, a mixture is what is left of the first one.

        Args:
            start: number of the first picture; at least one lies between.
            prevails: share of the last picture from which it counts as the new place.
            max_residual: what may be left of a picture beside its mixture, in parts of what the
                ends differ by; root of the mean square.

        Returns:
            None where they are no mixtures.
        """
        between = slice(start + 1, -1)
        energy = self._squares[start]
        common = self._apart[between] @ self._apart[start]
        shares = 1 - common / energy
        if not ((shares > _PURE) & (shares < 1 - _PURE)).any():
            return None  # a jump
        least = (shares[1:] - shares[:-1]).min(initial=np.inf)
        if min(shares[0], least, 1 - shares[-1]) < -_BACKWARDS:
            return None  # a flash, or somebody passes
        left = 1 - np.minimum(np.maximum(shares, 0), 1)
        rest = self._squares[between] - 2 * left * common + left**2 * energy
        if rest.max() > max_residual**2 * energy:
            return None
        prevailing = np.flatnonzero(shares >= prevails)
        return self._seen[start + 1 + int(prevailing[0]) if prevailing.size else -1]


def _is_shaped_otherwise(one: FrameFeatures, other: FrameFeatures) -> bool:
    """Whether the picture's sides have another ratio: another programme, or a phone was turned.

    Recordings change the number of their pixels as well, and show the same shape.
    """
    low, high = sorted((one.shape[0], other.shape[0]))
    return high > _SAME_SHAPE * low


def _difference(one: FrameFeatures, other: FrameFeatures) -> float:
    """Of two pictures, in colours and in what lies where."""
    return _distance(one, other) + _layout_distance(one, other) / _LAYOUT_SCALE


def _layout_distance(one: FrameFeatures | Glimpse, other: FrameFeatures | Glimpse) -> float:
    return float(np.abs(one.layout - other.layout).mean())


def _distance(one: FrameFeatures, other: FrameFeatures) -> float:
    """Bhattacharyya distance of their colours, 0..1; of nearly black pictures less of it."""
    light = min(1.0, max(one.light, other.light) / _DIM)
    return light * float(cv2.compareHist(one.colours, other.colours, cv2.HISTCMP_BHATTACHARYYA))
