"""Who of a cast somebody may be: by likeness, and never two who are seen together. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.common.stretches import longest_together

Stretches = Sequence[tuple[float, float]]
_MANY = 3  # looks of a name: one of them may be a mistake


@dataclass(frozen=True)
class Look:
    """What the tracks of somebody look like.

    The mean distance of the tracks of two people, which grouping goes by, is 1 less the product of
    their means; so the mean is all that is needed of them.

    Args:
        mean: shape (k,), of the embeddings of the tracks; its length is less than 1 where they
            differ.
    """

    mean: NDArray[np.float32]

    @classmethod
    def of(cls, embeddings: NDArray[np.float32]) -> Look:
        """That of some tracks; shape (n, k), n >= 1."""
        return cls(embeddings.mean(axis=0))

    def distance(self, other: Look) -> float:
        return 1.0 - float(self.mean @ other.mean)


@dataclass(frozen=True)
class Unnamed:
    """Somebody without a name.

    Args:
        appearances: seconds.
        declined: names that were said to be another's.
    """

    person_id: str
    look: Look
    appearances: Stretches
    declined: frozenset[str] = frozenset()


def suggested(
    unnamed: Sequence[Unnamed],
    cast: Mapping[str, Sequence[Look]],
    shown: Mapping[str, Sequence[Stretches]],
    *,
    max_distance: float,
    step_s: float,
) -> dict[str, tuple[str, float]]:
    """For each person the name that suits best, and the distance; nothing for whom none does.

    The nearest come first. A name goes to several where they are never seen together: pieces of one
    person. Else to who is nearest to it, and the other one gets the next name that suits.

    Args:
        cast: by name, one or more looks: those of each episode. The nearest one tells, of three or
            more the second one: a name that somebody else got by mistake, once, is still found for
            its own people, and for nobody else.
        shown: when those are on the screen who have a name in this run already.
        max_distance: that a suggestion may have.
        step_s: seconds from sample to sample. Two faces in one sample are together for a whole one,
            and are two people; who is together for less than half of one may be one.
    """
    names = list(cast)
    pairs = [
        (float(distance), name, person)
        for person, distances in zip(unnamed, _distances(unnamed, cast), strict=True)
        for name, distance in zip(names, distances, strict=True)
        if distance <= max_distance and name not in person.declined
    ]
    pairs.sort(key=lambda pair: (pair[0], pair[1], pair[2].person_id))
    found: dict[str, tuple[str, float]] = {}
    taken = {name: list(each) for name, each in shown.items()}
    for distance, name, person in pairs:
        of_name = taken.setdefault(name, [])
        if person.person_id in found or any(
            longest_together(person.appearances, each) > step_s / 2 for each in of_name
        ):
            continue
        found[person.person_id] = (name, distance)
        of_name.append(person.appearances)
    return found


def _distances(
    unnamed: Sequence[Unnamed], cast: Mapping[str, Sequence[Look]]
) -> NDArray[np.float32]:
    """Distance of each person to the look of each name that tells; shape (persons, names)."""
    if not unnamed or not cast:
        return np.empty((len(unnamed), len(cast)), np.float32)
    means = np.stack([look.mean for looks in cast.values() for look in looks])
    alike = np.stack([person.look.mean for person in unnamed]) @ means.T
    ends = np.cumsum([len(looks) for looks in cast.values()])
    of_names = [np.sort(each, axis=1) for each in np.split(alike, ends[:-1], axis=1)]
    telling = [each[:, -1 if each.shape[1] < _MANY else -2] for each in of_names]
    return np.asarray(1.0 - np.stack(telling, axis=1), np.float32)
