"""Writes are whole or nothing, reads survive any content, disk errors say what to do."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.common.errors import InvalidInput, StorageFailed
from apps.common.files import (
    read_json,
    read_jsonl,
    shown,
    storage_errors,
    sync_tree,
    tail,
    write_atomic,
    write_json,
)
from lab.paths import CHECKOUT

DEEP = b"[" * 200_000
DEEP_OBJECT = b'{"a":' * 200_000


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- writing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
def test_write_replaces_and_leaves_nothing_beside(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "run.json"
    for data in (b"first", b"", b"\0\xff second"):
        write_atomic(path, data, durable=durable)

        assert path.read_bytes() == data
        assert names(tmp_path) == ["run.json"]


def test_a_failed_replace_leaves_nothing_beside(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()

    with pytest.raises(OSError):
        write_atomic(tmp_path / "run.json", b"x")

    assert names(tmp_path) == ["run.json"]


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "missing" / "run.json", b"x")

    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit")
def test_a_write_that_stops_half_way_keeps_the_old_file(tmp_path: Path) -> None:
    """The kernel refuses the rest of the file, as it does on a full disk."""
    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from apps.common.files import write_atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n"
        "    write_atomic(Path(sys.argv[1]), b'x' * 100_000)\n"
        "except OSError as error:\n"
        "    print(error.errno)"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.strip() == str(errno.EFBIG)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["run.json"]


def test_a_durable_write_waits_for_the_file_and_then_for_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut cannot be had here; the order of what the kernel is asked for can."""
    real, synced = os.fsync, []

    def note(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").resolve(), names(tmp_path)))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write_atomic(tmp_path / "run.json", b"x", durable=True)

    (first, before), (second, after) = synced
    assert first.suffix == ".tmp"
    assert before == [first.name]
    assert (second, after) == (tmp_path, ["run.json"])


def test_a_tree_is_synced_file_by_file_and_name_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crops" / "one").mkdir(parents=True)
    (tmp_path / "crops" / "one" / "a.jpg").write_bytes(b"x")
    (tmp_path / "rows").write_bytes(b"x")
    real, synced = os.fsync, []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    sync_tree(tmp_path)

    assert sorted(synced) == sorted([tmp_path, *tmp_path.rglob("*")])


def test_a_value_that_is_no_json_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"a": 1})

    with pytest.raises(TypeError):
        write_json(path, {"a": object()})

    assert read_json(path) == {"a": 1}
    assert names(tmp_path) == ["run.json"]


def test_readers_never_see_a_part(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    write_json(path, {"n": 0, "fill": "x" * 50_000})
    stop = threading.Event()
    torn: list[bytes] = []

    def read() -> None:
        while not stop.is_set():
            data = path.read_bytes()
            if not data.endswith(b"}\n"):
                torn.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(200):
        write_json(path, {"n": n, "fill": "x" * 50_000})
    stop.set()
    reader.join()

    assert torn == []


def test_two_threads_may_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    errors: list[Exception] = []

    def write(name: str) -> None:
        try:
            for _ in range(300):
                write_json(path, {"run_id": name * 1000})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert read_json(path) in ({"run_id": "a" * 1000}, {"run_id": "b" * 1000})
    assert names(tmp_path) == ["latest.json"]


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(st.characters(exclude_categories=["Cs"])),
    )
)
def test_json_comes_back(tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.json"
    write_json(path, value)

    assert read_json(path) == value


# --- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b'{"run_id": "x"',
        b'{"run_id": "x"} {"run_id": "y"}',
        b"[1, 2]",
        b'"text"',
        b"null",
        b"3",
        b"\x89PNG\r\n\x1a\n\0\0",
        b"\xff\xfe\xfd",
        b'{"a": "\xff"}',
        b"\0" * 4096,  # what a power cut leaves on some file systems
        b'{"a": ' + b"9" * 10_000 + b"}",
        DEEP,
        DEEP_OBJECT,
    ],
    ids=lambda data: repr(data[:20]),
)
def test_read_json_gives_none_for_what_is_no_object(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(data)

    assert read_json(path) is None


def test_read_json_gives_none_where_there_is_no_file(tmp_path: Path) -> None:
    assert read_json(tmp_path / "missing.json") is None
    assert read_json(tmp_path) is None
    assert read_json(tmp_path / "missing" / "run.json") is None


@given(st.binary(max_size=200))
def test_reads_survive_anything(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "anything.json"
    path.write_bytes(data)

    value = read_json(path)
    assert value is None or isinstance(value, dict)
    assert all(isinstance(line, dict) for line in read_jsonl(path))


def test_read_jsonl_passes_over_what_is_no_object(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    lines = [
        b'{"n": 1}',
        b"",
        b"   ",
        b'{"n": ',
        b"[1]",
        b"null",
        b"# a comment",
        b"\x89PNG\0\xff",
        DEEP,
        DEEP_OBJECT,
        b'{"n": 2}\r',
        b'{"n": "\xff"}',
        '{"n": "Zoë"}'.encode(),
        b'{"n": 3',  # cut off while it was written
    ]
    path.write_bytes(b"\n".join(lines))

    assert list(read_jsonl(path)) == [{"n": 1}, {"n": 2}, {"n": "Zoë"}]


def test_read_jsonl_of_no_file_is_empty(tmp_path: Path) -> None:
    assert list(read_jsonl(tmp_path / "missing.jsonl")) == []
    assert list(read_jsonl(tmp_path)) == []


@pytest.mark.parametrize(
    ("data", "lines", "limit", "expected"),
    [
        (b"", 5, 100, []),
        (b"a\nb\nc\n", 2, 100, ["b", "c"]),
        (b"a\nb\nc", 5, 100, ["a", "b", "c"]),
        (b"0123456789\nlast\n", 5, 8, ["89", "last"]),
        ("é\n".encode(), 5, 2, ["\ufffd"]),  # the limit cuts a character in two
    ],
)
def test_tail(tmp_path: Path, data: bytes, lines: int, limit: int, expected: list[str]) -> None:
    path = tmp_path / "run.log"
    path.write_bytes(data)

    assert tail(path, lines, limit) == expected
    assert tail(tmp_path / "missing.log") == []


# --- disk errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words", "advice"),
    [
        (errno.ENOSPC, "full", "space"),
        (errno.EDQUOT, "quota", "space"),
        (errno.EACCES, "not writable", "write access"),
        (errno.EPERM, "not writable", "write access"),
        (errno.EROFS, "read-only", "data root"),
        (errno.EIO, os.strerror(errno.EIO), "data folder"),
    ],
)
def test_disk_errors_say_what_to_do(code: int, words: str, advice: str) -> None:
    cause = OSError(code, os.strerror(code), "/a/private/place")

    with pytest.raises(StorageFailed) as caught, storage_errors():
        raise cause

    error = caught.value
    assert words in error.detail
    assert advice in (error.hint or "")
    assert "private" not in json.dumps(error.to_dict())
    assert error.__cause__ is cause


def test_an_error_without_a_number_still_reads_well() -> None:
    with pytest.raises(StorageFailed) as caught, storage_errors():
        raise OSError("no number")

    assert "None" not in caught.value.detail


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_really_full_device() -> None:
    with pytest.raises(StorageFailed, match="full"), storage_errors():
        Path("/dev/full").write_bytes(b"x")


@pytest.mark.parametrize("error", [InvalidInput("x"), ValueError("x"), KeyboardInterrupt()])
def test_other_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, storage_errors():
        raise error

    assert caught.value is error


@pytest.mark.parametrize("start", ["here", "below"])
def test_a_path_that_is_shown_leads_there_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here / "data", here / "below", elsewhere):
        folder.mkdir(parents=True)
    (here / "data" / "run.json").touch()
    monkeypatch.chdir(here if start == "here" else here / "below")
    assert shown(here / "data" / "run.json") == (
        "data/run.json" if start == "here" else str(here / "data" / "run.json")
    )
    assert shown(elsewhere) == str(elsewhere)
    for way in (Path("data"), Path("../elsewhere"), Path("../here/data")):
        assert Path(shown(way)) == way
