"""Credentials, region and endpoint of a profile, as the files of AWS's tools hold them.

obstore reads the environment, web identities and the services of containers and machines, and no
files. Read here are keys of a profile, not logins (SSO) nor roles that are to be assumed.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict

from apps.common.errors import InvalidInput

# Whoever renews keys in the file need not start anything again.
_READ_AGAIN = timedelta(minutes=5)
_OTHER_WAYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class Keys(TypedDict):
    """As obstore wants them."""

    access_key_id: str
    secret_access_key: str
    token: str | None
    expires_at: datetime | None


@dataclass(frozen=True)
class Profile:
    """What the files say of a profile. Called, it gives the keys as they are then.

    Args:
        endpoint, region: None where they say nothing.
        has_keys: whether they hold keys.
    """

    name: str
    endpoint: str | None
    region: str | None
    has_keys: bool
    _environ: Mapping[str, str] = field(repr=False)

    def __call__(self) -> Keys:
        entries = _entries(self._environ, self.name) or {}
        return Keys(
            access_key_id=entries.get("aws_access_key_id", ""),
            secret_access_key=entries.get("aws_secret_access_key", ""),
            token=entries.get("aws_session_token"),
            expires_at=datetime.now(UTC) + _READ_AGAIN,
        )


def profile_of(environ: Mapping[str, str] = os.environ) -> Profile:
    """The profile that is named in AWS_PROFILE, or the one called default.

    Its keys count where the environment has none and names no other way to get some.

    Raises:
        InvalidInput: the one that is named is in no file.
    """
    name = environ.get("AWS_PROFILE") or "default"
    entries = _entries(environ, name)
    if entries is None and environ.get("AWS_PROFILE"):
        raise InvalidInput(
            "AWS_PROFILE names a profile that is in no file.",
            hint="Correct it, or see AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE.",
        )
    entries = entries or {}
    has_keys = {"aws_access_key_id", "aws_secret_access_key"} <= entries.keys()
    return Profile(
        name,
        entries.get("endpoint_url"),
        entries.get("region"),
        has_keys and not any(environ.get(way) for way in _OTHER_WAYS),
        environ,
    )


def _entries(environ: Mapping[str, str], name: str) -> dict[str, str] | None:
    """What both files say of a profile; None where none of them has it."""
    config = environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    shared = environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    section = name if name == "default" else f"profile {name}"
    found = [_section(Path(config), section), _section(Path(shared), name)]
    known = [entries for entries in found if entries is not None]
    return {key: value for entries in known for key, value in entries.items()} if known else None


def _section(path: Path, name: str) -> dict[str, str] | None:
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(path.expanduser().read_text(encoding="utf-8"))
        return dict(parser.items(name))
    except (OSError, RuntimeError, UnicodeDecodeError, configparser.Error):  # no home
        return None
