"""Files that browsers play, made of episodes' videos: where they lie, and which of them stay."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from apps.common.contracts.media import MadeFile
from apps.common.errors import EpisodeNotFound, PlayableBusy, StorageFailed, VideoUnreadable
from apps.common.files import (
    entries_of,
    open_regular,
    read_json,
    remove_unclaimed,
    storage_errors,
    sync,
    write_json,
)
from apps.common.layout import Layout
from apps.common.media_types import HEAD_BYTES, media_type
from apps.runs.episodes import fetched_video

_NOTE = ".json"  # ends the name of what is noted beside a file
_PART = "~"  # stands between a video's state and a part of it
_GB = 10**9


@dataclass(frozen=True)
class Made:
    """A file that is there.

    Args:
        path: of it.
        note: what it is.
    """

    path: Path
    note: MadeFile
    size_bytes: int


def own_video(layout: Layout, ep_id: str) -> Path:
    """The episode's video as it may be sent: its links followed, in the data root.

    Raises:
        InvalidInput: `ep_id` is not a name.
        EpisodeNotFound: there is no such episode, no video in it, or it lies elsewhere.
    """
    found = layout.inside(fetched_video(layout, ep_id))
    if found is None or not found.is_file():
        raise EpisodeNotFound(
            f"The video of episode {ep_id!r} lies outside of the data root.",
            hint="Copy it there; only files of the data root are sent.",
        )
    return found


def media_type_of(path: Path) -> str:
    """The media type of a video's content.

    Raises:
        VideoUnreadable: it is gone.
    """
    try:
        with open_regular(path) as stream:
            return media_type(stream.read(HEAD_BYTES))
    except OSError:
        raise VideoUnreadable.missing() from None


def state_of_video(path: Path) -> str:
    """Tells a video from another that takes its place: size and time, as a name.

    Raises:
        VideoUnreadable: it is gone.
    """
    try:
        facts = path.stat()
    except OSError:
        raise VideoUnreadable.missing() from None
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def part_of(state: str, part: str) -> str:
    """Names a part of a video as `state_of_video` names the whole.

    Args:
        part: letters, digits, `-` and `.`.
    """
    return f"{state}{_PART}{part}"


def made_file(
    layout: Layout, ep_id: str, state: str, model: type[MadeFile] = MadeFile
) -> Made | None:
    """What was made of a video in this state; None where nothing was.

    Args:
        model: of what is noted beside it.
    """
    folder = layout.playable(ep_id)
    body = read_json(folder / f"{state}{_NOTE}")
    try:
        note = model.model_validate(body)
    except ValidationError:
        return None
    path = layout.inside(folder / note.file)
    if path is None or path.parent.name != ep_id or not path.is_file():
        return None
    with suppress(OSError):
        return Made(path, note, path.stat().st_size)
    return None


def note_use(layout: Layout, ep_id: str, state: str) -> None:
    """Remembers that a file is played now. Its own time stays: it is part of its ETag."""
    with suppress(OSError):
        os.utime(layout.playable(ep_id) / f"{state}{_NOTE}")


@contextmanager
def held(stream: BinaryIO) -> Iterator[None]:
    """Keeps a file from being removed while it is read."""
    with suppress(OSError):  # on a disk that knows no locks
        fcntl.flock(stream.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    yield


@contextmanager
def making_playable(layout: Layout, ep_id: str) -> Iterator[Path]:
    """Holds the right to make an episode's file; any death frees it.

    Returns:
        The episode's folder, which is there.

    Raises:
        PlayableBusy: another process has it.
        StorageFailed: the folder cannot be made.
    """
    folder = layout.playable(ep_id)
    with storage_errors():
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise playable_busy(ep_id) from None
        clear_unfinished(layout, ep_id)
        yield folder
    finally:
        os.close(descriptor)


def playable_busy(ep_id: str) -> PlayableBusy:
    return PlayableBusy(
        f"The file to play of episode {ep_id!r} is being made already.",
        hint="Wait until it is there, then play it.",
    )


def clip_busy(ep_id: str) -> PlayableBusy:
    return PlayableBusy(
        f"This clip of episode {ep_id!r} is being made already.",
        hint="Wait until it is there, then take it.",
    )


def clear_unfinished(layout: Layout, ep_id: str) -> None:
    """Removes what makers left behind that were killed."""
    for path in entries_of(layout.playable(ep_id)):
        if path.name.startswith("."):
            remove_unclaimed(path)


def publish(folder: Path, state: str, temporary: Path, note: MadeFile, max_gb: float) -> None:
    """Gives a file that is complete its name, and removes those that it takes the place of.

    Args:
        folder: the episode's.
        state: of the video, or what `part_of` makes of it.
        temporary: the file.
        max_gb: of all files together.
    """
    with storage_errors():
        sync(temporary)
        temporary.replace(folder / note.file)
        sync(folder)
        write_json(folder / f"{state}{_NOTE}", note.model_dump(), durable=True)
    video, _, _ = state.partition(_PART)
    for path in entries_of(folder):
        stem = path.name.removesuffix(_NOTE)
        if path.name.endswith(_NOTE) and stem.partition(_PART)[0] != video:
            _remove(path)  # of what the video was before
    make_room(folder.parent, 0, max_gb, spared=folder / f"{state}{_NOTE}")


def make_room(root: Path, needed: int, max_gb: float, spared: Path | None = None) -> None:
    """Removes files until so much fits under the bound; those first that were played longest ago.

    What is being read or made stays.

    Args:
        root: folder of the episodes' folders.
        needed: bytes.
        spared: a note whose file stays.

    Raises:
        StorageFailed: so much does not fit under the bound at all.
    """
    if needed > max_gb * _GB:
        raise StorageFailed(
            f"The file to play may need {needed / _GB:.1f} GB, more than files to play may take "
            f"together ({max_gb:g} GB).",
            hint="Raise playable.max_gb in pipeline.toml, or convert the video to MP4.",
        )
    notes = [(note, _size_with(note)) for note in _notes(root)]
    size = needed + sum(one for _, one in notes)
    for note, one in sorted(notes, key=lambda pair: _used(pair[0])):
        if size <= max_gb * _GB:
            return
        if note != spared and _remove(note):
            size -= one


def _notes(root: Path) -> list[Path]:
    return [
        path
        for folder in entries_of(root)
        if not folder.is_symlink()
        for path in entries_of(folder)
        if path.name.endswith(_NOTE) and not path.name.startswith(".")
    ]


def _files_of(note: Path) -> list[Path]:
    stem = note.name.removesuffix(_NOTE)
    return [note.with_name(f"{stem}.{ending}") for ending in ("mp4", "webm")]


def _size_with(note: Path) -> int:
    size = 0
    for path in _files_of(note):
        with suppress(OSError):
            size += path.lstat().st_size
    return size


def _used(note: Path) -> float:
    try:
        return note.stat().st_mtime
    except OSError:
        return 0.0


def _remove(note: Path) -> bool:
    """Removes a note with its file, unless that is being read."""
    for path in _files_of(note):
        if os.path.lexists(path) and remove_unclaimed(path) is None:
            return False
    with suppress(OSError):
        note.unlink()
    return True
