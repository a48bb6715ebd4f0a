"""Options of a run as arguments of a command line, and back."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from apps.common.options import RUN_OPTIONS, Niceness, RunOption, RunRequest, Topic

_NICENESS: TypeAdapter[int] = TypeAdapter(Niceness)


def add_flags(group: argparse._ArgumentGroup, topic: Topic | None = None) -> None:
    """Adds a flag for each option that a request may name; what is absent is None.

    Args:
        topic: only those about it.
    """
    for name in RunRequest.model_fields:
        option = RUN_OPTIONS[name]
        if topic not in (None, option.by.topic):
            continue
        if option.kind is bool:
            group.add_argument(
                flag(name),
                action=argparse.BooleanOptionalAction,
                default=None,
                help=_phrase(option.help),
            )
        else:
            group.add_argument(
                flag(name), type=_type(option), metavar=option.by.metavar, help=_phrase(option.help)
            )


def add_nice(group: argparse._ActionsContainer, help_text: str) -> None:
    """Adds `--nice`, 0 (the default) to 19."""
    group.add_argument("--nice", type=_niceness, default=0, metavar="N", help=help_text)


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that were named; their bounds are not checked yet."""
    values = {name: getattr(arguments, name) for name in RunRequest.model_fields}
    return {name: value for name, value in values.items() if value is not None}


def as_arguments(values: Mapping[str, Any]) -> list[str]:
    """The flags that say this.

    Args:
        values: fields of a request.
    """
    arguments = []
    for name, value in values.items():
        if isinstance(value, bool):
            arguments.append(flag(name if value else f"no_{name}"))
        else:
            arguments.append(f"{flag(name)}={value}")
    return arguments


def flag(name: str) -> str:
    """`--det-size` of `det_size`."""
    return "--" + name.replace("_", "-")


def _type(option: RunOption) -> type[Any]:
    """Numbers are read as such; what may be a word is checked by `RunRequest`."""
    return str if option.choices else option.kind


def _niceness(value: str) -> int:
    try:
        return _NICENESS.validate_strings(value)
    except ValidationError:
        raise argparse.ArgumentTypeError(f"{value!r} is not a niceness, 0 to 19") from None


def _phrase(sentence: str) -> str:
    """As helps of arguments are written: no capital at the start, no full stop."""
    first, rest = sentence[:1], sentence[1:].rstrip(".")
    return first.lower() + rest if rest[:1].islower() else first + rest
