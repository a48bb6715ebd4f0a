"""What is asked for: whole seasons at once, and single episodes that somebody waits for."""

from __future__ import annotations

import random
from dataclasses import dataclass

from apps.common.batch_schemas import Priority

USUAL_MINUTES = 43.0
# Minutes of an episode, episodes of a season, and how many seasons of a hundred are so.
_KINDS = ((USUAL_MINUTES, 24, 60), (22.0, 24, 25), (58.0, 10, 15))
_SINGLE_SHARE = 0.05


@dataclass(frozen=True)
class Wanted:
    """An episode that is to be processed.

    Args:
        minutes: how long it is.
        at_share: when it is asked for, 0..1 of the time that all of them take.
    """

    ep_id: str
    minutes: float
    priority: Priority
    at_share: float = 0.0


@dataclass(frozen=True)
class Mix:
    """Seasons, each asked for in one batch at the start, and single episodes."""

    seasons: tuple[tuple[Wanted, ...], ...]
    singles: tuple[Wanted, ...]

    @property
    def episodes(self) -> list[Wanted]:
        return [*(one for season in self.seasons for one in season), *self.singles]


def season_mix(episodes: int, seed: int) -> Mix:
    """So many episodes; the same for the same seed."""
    chance = random.Random(seed)
    single = round(episodes * _SINGLE_SHARE)
    left, seasons = episodes - single, list[tuple[Wanted, ...]]()
    while left > 0:
        [(minutes, size, _)] = chance.choices(_KINDS, [share for *_, share in _KINDS])
        count, name = min(size, left), f"show-s{len(seasons):04}"
        seasons.append(
            tuple(Wanted(f"{name}e{number:02}", minutes, "low") for number in range(count))
        )
        left -= count
    singles = [
        Wanted(f"single-{number:05}", chance.choice(_KINDS)[0], "normal", chance.random())
        for number in range(single)
    ]
    return Mix(tuple(seasons), tuple(sorted(singles, key=lambda one: one.at_share)))
