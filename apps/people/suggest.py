"""Who of a cast somebody may be: by likeness, and never two who are seen together. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apps.common.stretches import longest_together

Stretches = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Look:
    """What the tracks of somebody look like.

    The mean distance of the tracks of two people, which grouping goes by, is 1 less the product of
    their means; so the mean is all that is needed of them.

    Args:
        mean: shape (k,), of the embeddings of the tracks; its length is less than 1 where they
            differ.
        tracks: how many.
    """

    mean: NDArray[np.float32]
    tracks: int

    @classmethod
    def of(cls, embeddings: NDArray[np.float32]) -> Look:
        """That of some tracks; shape (n, k), n >= 1."""
        return cls(embeddings.mean(axis=0), len(embeddings))

    @classmethod
    def of_all(cls, looks: Sequence[Look]) -> Look:
        """That of the tracks of all of them, of at least one."""
        tracks = sum(look.tracks for look in looks)
        mean = sum((look.mean * look.tracks for look in looks), np.float32(0)) / tracks
        return cls(np.asarray(mean, np.float32), tracks)

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
    cast: Mapping[str, Look],
    shown: Mapping[str, Sequence[Stretches]],
    *,
    max_distance: float,
    step_s: float,
) -> dict[str, tuple[str, float]]:
    """For each person the name that suits best, and the distance; nothing for whom none does.

    The nearest come first. A name goes to several where they are never seen together: pieces of one
    person. Else to who is nearest to it, and the other one gets the next name that suits.

    Args:
        cast: by name.
        shown: when those are on the screen who have a name in this run already.
        max_distance: that a suggestion may have.
        step_s: seconds from sample to sample. Two faces in one sample are together for a whole one,
            and are two people; who is together for less than half of one may be one.
    """
    pairs = [
        (person.look.distance(look), name, person)
        for person in unnamed
        for name, look in cast.items()
        if name not in person.declined
    ]
    pairs.sort(key=lambda pair: (pair[0], pair[1], pair[2].person_id))
    found: dict[str, tuple[str, float]] = {}
    taken = {name: list(each) for name, each in shown.items()}
    for distance, name, person in pairs:
        if distance > max_distance:
            break
        of_name = taken.setdefault(name, [])
        if person.person_id in found or any(
            longest_together(person.appearances, each) > step_s / 2 for each in of_name
        ):
            continue
        found[person.person_id] = (name, distance)
        of_name.append(person.appearances)
    return found
