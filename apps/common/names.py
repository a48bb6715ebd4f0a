"""The grammar of `ep_id` and `run_id` (contract, section 1)."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

from apps.common.errors import InvalidInput

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


def new_run_id() -> str:
    """A name that sorts by time, e.g. `20261124T060312-9f3a1c`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
