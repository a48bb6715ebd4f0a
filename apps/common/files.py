"""Atomic writes, tolerant reads, and disk errors as errors of the product."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from apps.common.errors import StorageFailed

TEMPORARY = ".tmp"  # how the name of a file ends that is being written
_SYNCS_AT_ONCE = 8
_SAMPLES, _SAMPLE_BYTES = 16, 65_536  # of a fingerprint: a megabyte, however long the file is
_MEANING = {
    errno.ENOSPC: ("The disk is full.", "Free some space, then run again."),
    errno.EDQUOT: ("The disk quota is used up.", "Free some space, then run again."),
    errno.EACCES: ("The data folder is not writable.", "Give this user write access to it."),
    errno.EPERM: ("The data folder is not writable.", "Give this user write access to it."),
    errno.EROFS: ("The data folder is on a read-only disk.", "Choose another data root."),
}


@contextmanager
def storage_errors() -> Iterator[None]:
    """Translates OSError into `StorageFailed`, with a sentence on what to do."""
    try:
        yield
    except OSError as error:
        detail, hint = _MEANING.get(
            error.errno or 0,
            (
                f"Writing failed: {error.strerror or type(error).__name__}.",
                "Check the data folder.",
            ),
        )
        raise StorageFailed(detail, hint=hint) from error


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A new content for a file, which takes its place at the end of the block.

    Readers see the old content or the new, never a part. `durable` survives a power cut.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{TEMPORARY}")
    try:
        with claimed(temporary) as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
            temporary.replace(path)
        if durable:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes, *, durable: bool = False) -> None:
    """As `replacing`, of what is in memory."""
    with replacing(path, durable=durable) as stream:
        stream.write(data)


@contextmanager
def claimed(path: Path) -> Iterator[BinaryIO]:
    """A new file that is locked for the time of the block, which any death ends.

    So a file of its kind that is not locked was left behind, and `remove_unclaimed` may remove it.
    """
    stream = path.open("wb")
    try:
        while not _claim(stream):  # it was taken for one that was left behind, and removed
            stream.close()
            stream = path.open("wb")
        yield stream
    except BaseException:
        with suppress(OSError):  # what a full disk refused, it refuses again
            stream.close()
        raise
    stream.close()


def _claim(stream: BinaryIO) -> bool:
    with suppress(OSError):  # on a disk that knows no locks nothing is removed either
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX)
    return os.fstat(stream.fileno()).st_nlink > 0


def remove_unclaimed(path: Path) -> int | None:
    """Removes a file that nobody has claimed.

    Returns:
        Its size in bytes; None where it is in use, or could not be removed.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        if not os.path.samestat(found, path.lstat()):
            return None  # it was finished meanwhile, and another one has its name
        path.unlink()
        return found.st_size
    except OSError:
        return None
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """As `sync`, of a folder with all that is in it.

    Several at once: the disk's journal takes them together (2000 crops: 0.3 s, one by one 4 s).
    """
    from concurrent.futures import ThreadPoolExecutor  # few programs need it

    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        list(pool.map(sync, files_in(path)))
        list(pool.map(sync, [Path(folder) for folder, _, _ in os.walk(path)]))


def entries_of(folder: Path) -> list[Path]:
    """What lies in a folder, hidden names too; nothing where it cannot be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def folders_of(folder: Path) -> list[str]:
    """Names of the folders in a folder, links to folders too; what cannot be looked at is none."""
    names = []
    with suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            with suppress(OSError):  # links in a circle
                if entry.is_dir():
                    names.append(entry.name)
    return names


def is_file(path: Path) -> bool:
    """Whether there is such a file; a link that leads nowhere, or what nobody may see, is none."""
    return os.path.isfile(path)  # noqa: PTH113 - that of Path raises where nobody may look


def is_folder(path: Path) -> bool:
    """The same of a folder."""
    return os.path.isdir(path)  # noqa: PTH112


def files_in(path: Path) -> list[Path]:
    """The file itself, or all files below a folder."""
    if not path.is_dir():
        return [path] if path.exists() else []
    return [Path(folder) / name for folder, _, names in os.walk(path) for name in names]


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder, as far as they can be looked at."""
    size = 0
    for path in files_in(folder):
        with suppress(OSError):
            size += path.lstat().st_size
    return size


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_atomic(path, text.encode(), durable=durable)


def append_line(path: Path, line: bytes) -> None:
    """Appends a line as a whole, behind what may have been cut off; it is then on the disk.

    Args:
        line: with its end.

    Raises:
        OSError: the disk does not take it; the file is as it was.
    """
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size > 0 and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        try:
            while line:
                line = line[os.write(descriptor, line) :]
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    if is_new:
        sync(path.parent)


def sha256_of(path: Path) -> str:
    """Checksum of a file that fits into memory, as hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fingerprint_of(path: Path) -> str:
    """Tells a large file from another in milliseconds: a checksum of its size and of samples.

    The samples are its first and last block, and others at even distances. A copy has the same
    fingerprint, whatever its name and times are.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open_regular(path) as stream:

        def read(start: int, end: int) -> bytes:
            stream.seek(start)
            return stream.read(end - start)

        return fingerprint_by(os.fstat(stream.fileno()).st_size, read)


def fingerprint_by(size: int, read: Callable[[int, int], bytes]) -> str:
    """As `fingerprint_of`, of what is read elsewhere.

    Args:
        read: gives the bytes from one to another.
    """
    digest = hashlib.sha256(str(size).encode())
    for start, end in fingerprint_ranges(size):
        digest.update(read(start, end))
    return digest.hexdigest()


def fingerprint_ranges(size: int) -> list[tuple[int, int]]:
    """Which bytes of a file of that size its fingerprint depends on, each from one to another."""
    last = max(0, size - _SAMPLE_BYTES)
    starts = sorted({last * number // (_SAMPLES - 1) for number in range(_SAMPLES)})
    return [(start, min(size, start + _SAMPLE_BYTES)) for start in starts]


def open_regular(path: Path) -> BinaryIO:
    """Opens a file for reading, without ever waiting for the other end of a pipe.

    Raises:
        OSError: there is no such file, or it is no regular one.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return os.fdopen(descriptor, "rb")


Opener = Callable[[Path], BinaryIO]
"""Opens a file for reading, or raises OSError."""


def read_json(path: Path, opener: Opener = open_regular) -> dict[str, Any] | None:
    """The object in `path`, or None where the file is missing, half-written or no object."""
    try:
        with opener(path) as stream:
            value = json.loads(stream.read())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in `path`, line by line; lines that hold none are passed over."""
    try:
        stream = open_regular(path)
    except OSError:
        return
    with stream:
        for line in stream:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                yield value


def tail(
    path: Path, lines: int = 20, limit_bytes: int = 64_000, *, opener: Opener = open_regular
) -> list[str]:
    """The last lines of a text file; an empty list where there is none."""
    try:
        with opener(path) as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - limit_bytes))
            return stream.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return []


def shown(path: Path) -> str:
    """A path as it can be used from here: relative where it lies below this folder."""
    here = Path.cwd()
    whole = here / path
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)
