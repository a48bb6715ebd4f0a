"""Somebody of a cast, as the other episodes of a show are asked for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # with NumPy
    from apps.people.suggest import Look


@dataclass(frozen=True)
class Member:
    """Somebody who was named in an episode.

    Args:
        run_id, person_id: where.
        face: a track of whom, for its picture.
        look: None where no track was described.
        model_id: the network of the look; those of two are never compared.
    """

    name: str
    ep_id: str
    run_id: str
    person_id: str
    face: str
    look: Look | None
    model_id: str | None
