"""The grammar of `ep_id` and `run_id` (contract, section 1)."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

from apps.common.errors import InvalidInput

LATEST = "latest"  # stands for the newest completed run, so no run may be called so
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
_NAME = re.compile(NAME_PATTERN[:-1] + r"\Z")  # `$` would admit a trailing newline


def is_name(value: str) -> bool:
    """True for a legal episode or run name; such a name is also a safe folder name."""
    return _NAME.match(value) is not None and ".." not in value


def check_name(value: str, what: str = "ep_id") -> str:
    """Returns `value`.

    Raises:
        InvalidInput: it is not a name; the message shows at most 40 characters of it.
    """
    if not is_name(value):
        shown = value if len(value) <= 40 else value[:40] + "…"
        raise InvalidInput(
            f"{shown!r} is not a valid {what}.",
            hint="Use 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit, "
            "without '..'.",
            field=what,
        )
    return value


def is_run_name(value: str) -> bool:
    return is_name(value) and value != LATEST


def check_run_id(value: str) -> str:
    """Returns `value`.

    Raises:
        InvalidInput: it is not a name, or is `latest`.
    """
    if value == LATEST:
        raise InvalidInput(
            "A run cannot be called 'latest'; that names the newest completed one.",
            hint="Choose another run_id, or leave it out to get a new one.",
            field="run_id",
        )
    return check_name(value, "run_id")


def new_run_id() -> str:
    """A name that sorts by time, e.g. `20261124T060312-9f3a1c`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
