"""Text of strangers for a terminal: it does nothing there but stand on its line."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Text in which what is not seen, or moves or colours what is, is written out: `\x1b`, `\n`.

    Names of files may hold whatever their makers like.
    """
    return "".join(one if one.isprintable() else _written_out(one) for one in text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
