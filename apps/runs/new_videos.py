"""New videos of a folder: which files are taken for one, and the folder that a server imports from.

The folder is walked from its root by handles, so that no `..`, no link and nothing that is swapped
meanwhile leads out of it.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from apps.common.errors import InvalidInput
from apps.common.names import name_after
from apps.runs.episodes import VIDEO_SUFFIXES

STILL_SECONDS = 5.0
"""A file that has changed since is still being written."""
_LINK_HINT = "Name one below SCREENALYTICS_IMPORT_FOLDER; links are not followed."


def is_video_name(name: str) -> bool:
    """Whether a file of this name is taken for a video."""
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def is_fresh(facts: os.stat_result) -> bool:
    """Whether somebody seems to write to a file still, by this host's clock."""
    return time.time() - facts.st_mtime < STILL_SECONDS


def text_of(name: str) -> str:
    """A file's name as text, whatever bytes it has."""
    return os.fsencode(name).decode("utf-8", "replace")


@dataclass(frozen=True)
class NewVideo:
    """A file of a folder, as it was when it was looked at.

    Args:
        folder: an open handle.
        name: of the file.
    """

    folder: int
    name: str
    facts: os.stat_result

    @property
    def ep_id(self) -> str:
        return name_after(PurePosixPath(self.name).stem)

    @property
    def shown(self) -> str:
        """The name as text, whatever bytes it has."""
        return text_of(self.name)

    @property
    def is_read_only(self) -> bool:
        """Nobody may write to it, so that a second name of it is as good as a copy."""
        return stat.S_IMODE(self.facts.st_mode) & 0o222 == 0

    def is_unchanged(self) -> bool:
        """Whether the same file is there, and nothing was written to it."""
        with suppress(OSError):
            now = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
            return os.path.samestat(now, self.facts) and _state(now) == _state(self.facts)
        return False

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A handle to read it by.

        Raises:
            OSError: it cannot be read, or is another one by now.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.name, flags, dir_fd=self.folder)
        try:
            if not os.path.samestat(os.fstat(descriptor), self.facts):
                raise OSError(0, "another file has its name by now")
            yield descriptor
        finally:
            os.close(descriptor)


def open_folder(root: Path | None, relative: str) -> int:
    """A handle of a folder below the root, which the caller closes.

    Args:
        root: None where an operator has set none.
        relative: "" or "." for the root itself.

    Raises:
        InvalidInput: there is none, or it leads elsewhere.
    """
    if root is None:
        raise InvalidInput(
            "This server imports from no folder.",
            hint="Set SCREENALYTICS_IMPORT_FOLDER to a folder of the server, and start it again.",
        )
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "\0" in relative:
        raise InvalidInput(f"The folder {relative[:200]!r} leads elsewhere.", hint=_LINK_HINT)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        descriptor = os.open(root, flags)
    except OSError as error:
        raise InvalidInput(
            f"The folder of imports cannot be read: {error.strerror}.",
            hint="See what SCREENALYTICS_IMPORT_FOLDER says, on the server.",
        ) from None
    for part in path.parts:
        try:
            below = os.open(part, flags | os.O_NOFOLLOW, dir_fd=descriptor)
        except OSError as error:
            raise InvalidInput(
                f"The folder {relative[:200]!r} cannot be read: {error.strerror}.", hint=_LINK_HINT
            ) from None
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def videos_in(folder: int) -> list[NewVideo]:
    """The files of an open folder that are taken for videos, by name; links are none.

    Raises:
        InvalidInput: it cannot be read.
    """
    found = []
    try:
        names = sorted(filter(is_video_name, os.listdir(folder)))
    except OSError as error:
        raise InvalidInput(f"The folder cannot be read: {error.strerror}.") from None
    for name in names:
        with suppress(OSError):  # it went just now
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISREG(facts.st_mode):
                found.append(NewVideo(folder, name, facts))
    return found


def _state(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_size, facts.st_mtime_ns
