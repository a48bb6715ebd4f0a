"""Values of the command lines; what cannot be is refused before anything is done."""

from __future__ import annotations

from argparse import ArgumentTypeError

RENDERED_IOU = 0.5  # least overlap of a face and its box
MARKED_IOU = 0.4  # boxes that were drawn by eye are no more exact
_MAX_STRIDE = 100_000  # as of a run
_MAX_FPS = 10_000.0
_LONGEST_SIDE = 100_000  # pixels


def strides(text: str) -> tuple[int, ...]:
    """Such as `1,6,12`, in order and each once."""
    parts = text.split(",")
    if not all(_is_whole(part) and 1 <= int(part) <= _MAX_STRIDE for part in parts):
        raise ArgumentTypeError(
            f"{text!r} is not a list of whole numbers from 1 to {_MAX_STRIDE}, such as 1,6,12"
        )
    return tuple(sorted({int(part) for part in parts}))


def positive(text: str) -> int:
    if not _is_whole(text) or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def numbers(text: str) -> list[int]:
    """Whole numbers from 1 on, such as `360,1080`, each once, in the order given."""
    return list(dict.fromkeys(positive(part.strip()) for part in text.split(",")))


def names(text: str) -> list[str]:
    """Such as `int8,openvino`, each once, in the order given."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def overlap(text: str) -> float:
    """An IoU that a box and a face can have."""
    if not 0.0 < (value := _number(text)) <= 1.0:
        raise ArgumentTypeError(f"{text!r} is not a number above 0 and up to 1")
    return value


def fps(text: str) -> float:
    """Frames a second."""
    if not 0.0 < (value := _number(text)) <= _MAX_FPS:
        raise ArgumentTypeError(f"{text!r} is not a number above 0 and up to {_MAX_FPS:g}")
    return value


def size(text: str) -> tuple[int, int]:
    """Width and height of a picture, pixels, such as `640x480`."""
    width, _, height = text.partition("x")
    sides = [int(side) if _is_whole(side) else 0 for side in (width, height)]
    if not all(1 <= side <= _LONGEST_SIDE for side in sides):
        raise ArgumentTypeError(f"{text!r} is not a size in pixels, such as 640x480")
    return sides[0], sides[1]


def _is_whole(text: str) -> bool:
    text = text.strip()
    return text.isascii() and text.isdecimal() and len(text) < 10


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
