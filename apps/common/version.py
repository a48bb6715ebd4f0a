"""Which code is this: product version, commit, and a fingerprint of the source."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

import apps
from apps.common.config import config_files

_PACKAGE = Path(apps.__file__).resolve().parent
_CODE = ("**/*.py", "ui/**/*.css", "ui/**/*.js")
_REREAD_SECONDS = 1.0


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of those of these distributions that are installed."""
    versions = {}
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


@cache
def git_sha() -> str:
    """Commit of the checkout; `SCREENALYTICS_GIT_SHA` where there is no `.git`; else "unknown"."""
    given = os.environ.get("SCREENALYTICS_GIT_SHA")
    if given:
        return given
    checkout = _PACKAGE.parent
    git = checkout / ".git"
    try:
        if git.is_file():  # a worktree or submodule names its folder in a file
            git = (checkout / git.read_text().removeprefix("gitdir:").strip()).resolve()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        ref = head.removeprefix("ref: ")
        if (git / "commondir").is_file():  # a worktree shares its branches with the main one
            git = git / (git / "commondir").read_text().strip()
        if (git / ref).is_file():
            return (git / ref).read_text().strip()
        packed = (git / "packed-refs").read_text()
        found = re.search(rf"^([0-9a-f]{{40}}) {re.escape(ref)}$", packed, re.MULTILINE)
        return found.group(1) if found else "unknown"
    except OSError:
        return "unknown"


def source_fingerprint() -> str:
    """SHA-256 (first 16 hex digits) over the product's code and configuration on disk."""
    digest = hashlib.sha256()
    for path in sorted(p for pattern in _CODE for p in _PACKAGE.glob(pattern)):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    for config in config_files():
        digest.update(config.name.encode() + b"\0" + config.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


class SourceWatch:
    """The fingerprint of the source on disk, read at most once a second."""

    def __init__(self) -> None:
        self._value = ""
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def fingerprint(self) -> str:
        with self._lock:
            if time.monotonic() - self._read_at > _REREAD_SECONDS:
                self._value, self._read_at = source_fingerprint(), time.monotonic()
            return self._value
