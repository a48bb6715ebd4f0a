"""What people are called, as text that no file format takes for something else. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from apps.common.contracts.rows import PersonRow

_SPACES = {"Cc", "Zl", "Zp"}  # line breaks and other controls; a line is a line
_NO_CHARACTERS = "\ufffe\uffff"  # which no XML may hold
_UNSEEN = {"Cf", "Mn", "Me", "Zs"}
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# They turn the direction of all that follows on the line; marks of direction (U+200E) may stay.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
# Where a program that opens CSV may see a new cell, and a formula in it (OWASP, "CSV Injection").
_FORMULA = re.compile("(^|[;,\t|\"'])(\\s*)(?=[=+\\-@＝＋－＠])")


def one_line(text: str) -> str:
    """Text without line breaks, controls, and what turns the direction of others' words."""
    kept = (_shown(character) for character in _TURNING.sub("", text))
    return " ".join("".join(kept).split())


def _shown(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in _SPACES:
        return " "
    is_none = kind == "Cs" or character in _NO_CHARACTERS  # halves of characters
    return _REPLACEMENT if is_none else character


def name_of(person: PersonRow) -> str | None:
    """The name on one line; None where there is none that anybody could see."""
    name = "" if person.name is None else one_line(person.name)
    return name if any(unicodedata.category(one) not in _UNSEEN for one in name) else None


def label_of(person: PersonRow, length: int) -> str:
    """The name, or the id of a person without one, cut to a number of characters."""
    return shortened(name_of(person) or person.person_id, length)


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def distinct_labels(
    people: Iterable[PersonRow], length: int, taken: Iterable[str] = ()
) -> dict[str, str]:
    """A label for each person's id. Those who are called alike have their ids behind it.

    Args:
        length: of a label at most, characters.
        taken: labels that stand for something else.
    """
    used, found = set(taken), {}
    for person in people:
        label = name = label_of(person, length)
        behind = f" ({person.person_id})"
        while label in used:
            label = shortened(name, length - len(behind)) + behind
            behind += "'"  # somebody may be called like that
        used.add(label)
        found[person.person_id] = label
    return found


def cell(text: str) -> str:
    """Text for CSV that no program takes for a formula: an apostrophe comes before one."""
    return _FORMULA.sub(r"\1\2'", text)
