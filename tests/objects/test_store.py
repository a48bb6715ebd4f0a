"""What a storage must do, of whatever make; and what some do otherwise than Amazon's S3."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from apps.objects import store
from apps.objects.store import NoObject, ObjectChanged, ObjectExists, ObjectStore
from apps.runs.episodes import fetched_video
from lab.processes.bucket import SERVER, compares_bare_etags, has_no_etag
from tests.objects.conftest import Storage
from tests.objects.test_videos import upload

PART = 5 << 20  # the least that S3 takes
LARGE = bytes(range(256)) * (2 * PART // 256 + 1)  # three parts


@pytest.fixture
def objects(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setattr(store, "PART_BYTES", PART)
    return storage.host("one").mirror.store


def in_parts(body: bytes) -> Iterator[bytes]:
    yield from (body[start : start + PART // 3] for start in range(0, len(body), PART // 3))


def test_of_those_that_create_an_object_at_once_one_does(
    objects: ObjectStore, storage: Storage
) -> None:
    stores = [storage.host(str(number)).mirror.store for number in range(4)]
    for turn in range(8):
        begin = threading.Barrier(len(stores))
        won: list[int] = []

        def create(number: int, key: str, begin: threading.Barrier, won: list[int]) -> None:
            begin.wait()
            try:
                stores[number].put(key, bytes([number]), create=True)
                won.append(number)
            except ObjectExists:
                pass

        threads = [
            threading.Thread(target=create, args=(number, f"published/{turn}", begin, won))
            for number in range(len(stores))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [objects.get(f"published/{turn}")[0]] == [bytes([number]) for number in won]


def test_an_object_is_replaced_while_it_is_the_one_that_was_seen(objects: ObjectStore) -> None:
    first = objects.put("published/x", b"first")
    second = objects.replace("published/x", b"second", first)
    with pytest.raises(ObjectChanged):
        objects.replace("published/x", b"third", first)
    assert objects.get("published/x") == (b"second", second)
    objects.delete(["published/x"])
    with pytest.raises(ObjectChanged):
        objects.replace("published/x", b"fourth", second)
    assert list(objects.below("published/")) == []


@pytest.mark.skipif(SERVER in os.environ, reason="the proxy changes what a server may check")
def test_an_object_is_replaced_where_quotes_are_taken_for_a_part_of_its_etag(
    objects: ObjectStore, storage: Storage
) -> None:
    storage.faults.add("PUT", "/published/", compares_bare_etags)
    test_an_object_is_replaced_while_it_is_the_one_that_was_seen(objects)


def test_a_large_object_is_stored_in_parts_and_read_by_ranges(
    objects: ObjectStore, storage: Storage
) -> None:
    objects.put("runs/large", in_parts(LARGE))
    sent = [line for line in storage.faults.seen if "partNumber=" in line]
    assert len(sent) == 3
    (found,) = objects.below("runs/")
    assert (found.key, found.size_bytes) == ("runs/large", len(LARGE))
    assert objects.find("runs/large").e_tag == found.e_tag
    assert b"".join(objects.parts(found)) == LARGE
    assert objects.range(found, PART - 1, PART + 2) == LARGE[PART - 1 : PART + 2]
    objects.put("runs/large", in_parts(LARGE[::-1]))
    with pytest.raises(ObjectChanged):
        objects.range(found, 0, 1)
    objects.delete(["runs/large", "runs/none"])
    with pytest.raises(NoObject):
        objects.range(found, 0, 1)
    assert list(objects.below("runs/")) == []


def test_an_object_whose_parts_fail_is_none_and_leaves_none(
    objects: ObjectStore, storage: Storage
) -> None:
    def failing() -> Iterator[bytes]:
        yield from in_parts(LARGE)
        raise EOFError

    with pytest.raises(EOFError):
        objects.put("runs/large", failing())
    assert list(objects.below("runs/")) == []
    assert storage.s3.uploads(storage.bucket) == []


def test_a_video_is_stored_where_nothing_tells_the_etag_of_parts(
    objects: ObjectStore, storage: Storage
) -> None:
    storage.faults.add("POST", "uploadId=", has_no_etag)
    assert objects.put("runs/large", in_parts(LARGE)) == ""
    upload(storage.host("one"), "talk", LARGE)
    assert fetched_video(storage.host("other").layout, "talk").read_bytes() == LARGE
