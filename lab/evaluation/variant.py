"""How the product is run when it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from apps.common.options import SmallFaces


@dataclass(frozen=True)
class Variant:
    """How the product is run, where that is not as it comes.

    Args:
        detector, small_faces, reuse_still: its options.
        weights: of the detector, given by hand.
    """

    detector: str = "centerface"
    small_faces: SmallFaces = "off"
    reuse_still: bool = False
    weights: Path | None = None

    @property
    def is_usual(self) -> bool:
        return self == Variant()

    def __str__(self) -> str:
        still = ", reuse_still" if self.reuse_still else ""
        return f"detector {self.detector}, small_faces {self.small_faces}{still}"


USUAL = Variant()
