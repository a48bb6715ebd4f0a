"""Brings a file of the import folder to where uploads arrive: linked if that is safe, or copied."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from apps.common.batch_schemas import ImportWay
from apps.common.errors import InvalidInput, ServiceStopping
from apps.common.files import claimed, storage_errors
from apps.common.layout import PART
from apps.runs.new_videos import NewVideo

_COPIED_AT_ONCE = 64 << 20  # bytes, after which it is asked whether the server is to stop
# Errors of a file system, or of two, that do not copy inside the kernel.
_NO_KERNEL_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}


@contextmanager
def staged(
    video: NewVideo,
    uploads: Path,
    is_stopping: Callable[[], bool],
    copied: Callable[[int], object],
) -> Iterator[tuple[Path, ImportWay]]:
    """The file below a name of this server's own, which is removed at the end unless it was moved.

    A file that nobody may write to is linked where it is on the same file system: it takes no room,
    and nobody can change the episode's video by it. Any other is copied, which takes no room either
    where the file system shares blocks.

    Args:
        uploads: the folder of what arrives.
        is_stopping: asked now and then.
        copied: told how many bytes more are copied.

    Raises:
        InvalidInput: the file cannot be read, or has changed.
        StorageFailed: the disk is full or not writable.
        ServiceStopping: before all of it was copied.
    """
    with storage_errors():
        uploads.mkdir(parents=True, exist_ok=True)
    path = uploads / f"{secrets.token_hex(8)}{PART}"
    with ExitStack() as stack:
        try:
            source = stack.enter_context(video.opened())
        except OSError as error:
            raise InvalidInput(f"It cannot be read: {error.strerror}.") from None
        stack.callback(path.unlink, missing_ok=True)
        if video.is_read_only and _is_linked(video, path):
            with suppress(OSError):  # as `claimed` does, of what must not be opened for writing
                fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path, "linked"
            return
        with storage_errors():
            target = stack.enter_context(claimed(path))
            _copy(source, target.fileno(), video.facts.st_size, is_stopping, copied)
        if not video.is_unchanged():
            raise InvalidInput("It has changed while it was copied.", hint="Try again later.")
        yield path, "copied"


def _is_linked(video: NewVideo, path: Path) -> bool:
    try:
        os.link(video.name, path, src_dir_fd=video.folder, follow_symlinks=False)
    except OSError:  # of another file system, or nobody else's files may be linked here
        return False
    if os.path.samestat(path.lstat(), video.facts):
        return True
    path.unlink()
    return False


def _copy(
    source: int,
    target: int,
    size: int,
    is_stopping: Callable[[], bool],
    copied: Callable[[int], object],
) -> None:
    """Copies as many bytes as there were: of a file that grows there might be no end."""
    in_kernel = True
    while size > 0:
        if is_stopping():
            raise ServiceStopping("The service is stopping.", hint="Send the request again.")
        try:
            done = _some(source, target, min(size, _COPIED_AT_ONCE), in_kernel=in_kernel)
        except OSError as error:
            if not in_kernel or error.errno not in _NO_KERNEL_COPY:
                raise
            in_kernel = False
            continue
        if done == 0:
            return
        copied(done)
        size -= done


def _some(source: int, target: int, count: int, *, in_kernel: bool) -> int:
    """Copies from where both are, and says how many bytes; 0 at the end."""
    if in_kernel and hasattr(os, "copy_file_range"):
        return os.copy_file_range(source, target, count)
    rest = memoryview(os.read(source, count))
    size = len(rest)
    while rest:
        rest = rest[os.write(target, rest) :]
    return size
