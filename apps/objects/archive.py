"""A folder of a run as one object: thousands of pictures would be as many requests."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from apps.common.errors import StorageUnavailable
from apps.common.files import files_in


def archived(folder: Path) -> Iterator[bytes]:
    """The files of a folder as a tar archive, in the order of their names; links are left out.

    The same files make the same archive.
    """
    sink = _Sink()
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(files_in(folder)):
            if path.is_symlink():
                continue
            with path.open("rb") as stream:
                entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
                entry.size = os.fstat(stream.fileno()).st_size
                archive.addfile(entry, stream)
            yield from sink.taken()
    yield from sink.taken()


def unpack(path: Path, folder: Path) -> None:
    """Makes a folder of an archive's files. Whatever it says, nothing is written elsewhere.

    Raises:
        StorageUnavailable: it is no archive of files alone.
        OSError: the disk does not take them.
    """
    folder.mkdir()
    try:
        with tarfile.open(path, mode="r:") as archive:
            for entry in archive:
                name = PurePosixPath(entry.name)
                content = archive.extractfile(entry) if _is_plain(entry) else None
                if content is None or not _is_below(name):
                    raise tarfile.TarError
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as stream:
                    while piece := content.read(1 << 20):
                        stream.write(piece)
    except (tarfile.TarError, EOFError, FileExistsError):
        raise StorageUnavailable(
            f"The archive of {folder.name} in the storage is damaged.",
            hint="Run the episode again under another run_id.",
        ) from None


def _is_plain(entry: tarfile.TarInfo) -> bool:
    """Whether it is a file of no more bytes than are there: a sparse one may fill any disk."""
    return entry.isreg() and not entry.issparse()


def _is_below(name: PurePosixPath) -> bool:
    is_legal = "\0" not in str(name) and name.parts != ()
    return is_legal and not name.is_absolute() and ".." not in name.parts


class _Sink(io.RawIOBase):
    """Keeps what an archive's writer has written until that is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> Iterator[bytes]:
        pieces, self._pieces = self._pieces, []
        yield from pieces
