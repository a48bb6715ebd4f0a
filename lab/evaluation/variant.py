"""How the product is run when it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from apps.common.options import Decode, Precision, SmallFaces


@dataclass(frozen=True)
class Variant:
    """How the product is run, where that is not as it comes.

    Args:
        detector, precision, small_faces, reuse_still, decode: its options.
        weights: of the detector, given by hand.
    """

    detector: str = "centerface"
    precision: Precision = "float32"
    small_faces: SmallFaces = "off"
    reuse_still: bool = False
    decode: Decode = "exact"
    weights: Path | None = None

    @property
    def is_usual(self) -> bool:
        return self == Variant()

    def __str__(self) -> str:
        more = {
            ", int8": self.precision == "int8",
            ", reuse_still": self.reuse_still,
            ", decode fast": self.decode == "fast",
        }
        said = "".join(text for text, is_so in more.items() if is_so)
        return f"detector {self.detector}, small_faces {self.small_faces}{said}"


USUAL = Variant()
