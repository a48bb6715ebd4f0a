"""Archives of a run's pictures: what they hold, and that nothing is written anywhere else."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from apps.common.errors import StorageUnavailable
from apps.objects.archive import archived, unpack


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


def test_a_folder_comes_back_as_it_was_and_the_same_files_are_the_same_archive(
    tmp_path: Path,
) -> None:
    folder, again = tmp_path / "crops", tmp_path / "again"
    (folder / "track-00001").mkdir(parents=True)
    (folder / "track-00001" / "frame_000001.jpg").write_bytes(b"picture")
    (folder / "thumb.jpg").write_bytes(b"")
    (folder / "elsewhere").symlink_to("/etc/passwd")
    path = tmp_path / "crops.tar"
    path.write_bytes(b"".join(archived(folder)))
    unpack(path, again)
    files = {p.relative_to(again).as_posix(): p.read_bytes() for p in again.rglob("*.jpg")}
    assert files == {"track-00001/frame_000001.jpg": b"picture", "thumb.jpg": b""}
    assert not (again / "elsewhere").is_symlink()
    assert b"".join(archived(again)) == path.read_bytes()


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../outside")],
        [entry("/tmp/outside")],
        [entry(".")],
        [entry("link", tarfile.SYMTYPE, "/etc/passwd")],
        [entry("link", tarfile.LNKTYPE, "../outside")],
        [entry("pipe", tarfile.FIFOTYPE)],
        [entry("no\0name, which has to be a long one in ä")],
        [entry("twice"), entry("twice")],
    ],
    ids=lambda entries: f"{entries[0].name} {entries[0].type!r}",
)
def test_an_archive_of_anything_else_is_refused(
    tmp_path: Path, entries: list[tarfile.TarInfo]
) -> None:
    path, target = tmp_path / "crops.tar", tmp_path / "run" / "crops"
    target.parent.mkdir()
    with tarfile.open(path, "w") as archive:
        for one in entries:
            archive.addfile(one, io.BytesIO())
    with pytest.raises(StorageUnavailable, match="archive of crops in the storage is damaged"):
        unpack(path, target)
    assert not (tmp_path / "run" / "outside").exists()
    assert not any(path.is_symlink() for path in target.rglob("*"))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "crops.tar"
    path.write_bytes(b"no archive" * 100)
    with pytest.raises(StorageUnavailable):
        unpack(path, tmp_path / "crops")


def test_a_sparse_file_which_is_larger_than_its_archive_is_refused(tmp_path: Path) -> None:
    path, target = tmp_path / "crops.tar", tmp_path / "crops"
    sparse = bytearray(entry("sparse.jpg", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    sparse[483:495] = b"00100000000\0"  # its real size: 16 MB
    sparse[148:156] = b" " * 8
    sparse[148:156] = f"{sum(sparse):06o}\0 ".encode()
    path.write_bytes(bytes(sparse) + bytes(1024))
    with pytest.raises(StorageUnavailable, match="archive of crops in the storage is damaged"):
        unpack(path, target)
    assert list(target.iterdir()) == []
