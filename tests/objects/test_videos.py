"""Videos that are in the bucket: brought here, kept as long as there is room, stored by uploads."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from apps.api.upload import Received, store_video
from apps.common.errors import (
    EpisodeExists,
    EpisodeNotFound,
    StorageFailed,
    StorageUnavailable,
    VideoReplaced,
)
from apps.common.remote import noted_video
from apps.objects import store
from apps.runs.episodes import check_video, fetched_video, find_video, list_episodes, video_files
from apps.runs.trash import delete_episode, remove
from lab.processes.bucket import breaks_off, has_etag, refuses
from tests.objects.conftest import Host, Storage

PART = 64 << 10
VIDEO = bytes(range(256)) * 1024  # four parts


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART_BYTES", PART)
    monkeypatch.setattr("apps.objects.videos._PAUSE_SECONDS", 0.01)


def put_by_hand(storage: Storage, ep_id: str, body: bytes = VIDEO) -> None:
    storage.s3.put(storage.bucket, f"shows/videos/{ep_id}/episode.mp4", body)


def here(host: Host) -> set[str]:
    folders = host.layout.videos.iterdir()
    return {folder.name for folder in folders if video_files(folder)}


def test_whether_a_file_is_the_video_there_is_told_by_samples_of_it(
    storage: Storage, tmp_path: Path
) -> None:
    """Another video of the same size is another video; not all of either is read."""
    host = storage.host("one")
    body = VIDEO * 16
    put_by_hand(storage, "talk", body)
    same, other, longer = (tmp_path / name for name in ("same", "other", "longer"))
    same.write_bytes(body)
    other.write_bytes(body[:-1] + b"x")
    longer.write_bytes(body + b"x")
    storage.faults.seen.clear()
    told = [host.mirror.has_equal_video("talk", path) for path in (same, other, longer)]
    assert told == [True, False, False]
    assert host.mirror.has_equal_video("nobody", same) is False
    assert not host.layout.videos.exists()
    storage.faults.away = refuses(503, "SlowDown")
    with pytest.raises(StorageUnavailable):
        storage.host("two").mirror.has_equal_video("talk", same)


def test_a_video_in_the_bucket_is_listed_and_brought_once(storage: Storage) -> None:
    host = storage.host("one")
    put_by_hand(storage, "talk")
    check_video(host.layout, "talk")  # enough for a queued run, and nothing is transferred
    host.index.refresh()
    assert list_episodes(host.layout) == ["talk"]
    with pytest.raises(EpisodeNotFound, match="in the storage and not on this host"):
        find_video(host.layout, "talk")
    assert fetched_video(host.layout, "talk").read_bytes() == VIDEO
    assert list(host.layout.uploads.iterdir()) == []
    requests = len(storage.faults.seen)
    fetched_video(host.layout, "talk")
    assert len(storage.faults.seen) == requests
    assert not host.mirror.bring_video(host.layout, "nobody")


def test_a_video_that_cannot_be_noted_keeps_back_no_other(storage: Storage) -> None:
    host = storage.host("one")
    for ep_id in ("in-the-way", "talk"):
        put_by_hand(storage, ep_id)
    host.layout.videos.mkdir()
    host.layout.episode("in-the-way").write_text("no folder")
    with pytest.raises(StorageFailed):
        host.index.refresh()
    assert "talk" in list_episodes(host.layout)


@pytest.mark.usefixtures("small_parts")
def test_a_transfer_that_breaks_off_goes_on_where_it_was(storage: Storage) -> None:
    host = storage.host("one")
    put_by_hand(storage, "talk")
    storage.faults.add("GET", "episode.mp4", passes, times=2)
    storage.faults.add("GET", "episode.mp4", breaks_off, times=3)
    assert fetched_video(host.layout, "talk").read_bytes() == VIDEO
    asked = [line for line in storage.faults.seen if "episode.mp4" in line and "GET" in line]
    assert len(asked) == 2 + 3 + 2  # no part that was there is asked for again


def passes(_: object) -> bool:
    return False


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("how", ["other content", "other ETag"])
def test_a_video_that_changes_on_its_way_is_refused(storage: Storage, how: str) -> None:
    host = storage.host("one")
    put_by_hand(storage, "talk")

    def replaced(_: object) -> bool:
        put_by_hand(storage, "talk", VIDEO[::-1])
        return False

    storage.faults.add("GET", "episode.mp4", passes, times=1)
    fault = replaced if how == "other content" else has_etag('"another"')
    storage.faults.add("GET", "episode.mp4", fault, times=1)
    with pytest.raises(VideoReplaced):
        fetched_video(host.layout, "talk")
    assert here(host) == set()
    assert list(host.layout.uploads.iterdir()) == []
    assert fetched_video(host.layout, "talk").stat().st_size == len(VIDEO)


def test_videos_that_were_used_longest_ago_go_and_none_that_is_in_use(storage: Storage) -> None:
    host = storage.host("one", cache_mb=2.5 * len(VIDEO) / 1e6)
    other = storage.host("one")  # another process of that host
    for number, ep_id in enumerate(["a", "b", "c", "d", "e"]):
        put_by_hand(storage, ep_id)
        host.mirror.bring_video(host.layout, ep_id)
        os.utime(host.layout.remote_video(ep_id), (number, number))
        if ep_id == "b":
            assert here(host) == {"a", "b"}
            other.mirror.bring_video(other.layout, "a", hold=True)
            os.utime(host.layout.remote_video("a"), (0, 0))
    other.mirror.videos.let_go()
    assert here(host) == {"a", "e"}
    note = noted_video(host.layout.remote_video("b"))
    assert note is not None
    assert not note.here
    host.index.refresh()
    assert list_episodes(host.layout) == ["a", "b", "c", "d", "e"]
    assert fetched_video(host.layout, "b").read_bytes() == VIDEO


def test_a_video_of_the_host_itself_is_no_copy_and_stays(storage: Storage) -> None:
    host = storage.host("one", cache_mb=0.001)
    folder = host.layout.episode("own")
    folder.mkdir(parents=True)
    (folder / "episode.mp4").write_bytes(VIDEO)
    put_by_hand(storage, "talk")
    host.mirror.bring_video(host.layout, "talk")
    assert here(host) == {"own", "talk"}


def upload(host: Host, ep_id: str, body: bytes) -> None:
    host.layout.uploads.mkdir(exist_ok=True)
    path = Path(host.layout.uploads / f"{ep_id}.part")
    path.write_bytes(body)
    store_video(Received(ep_id, path, ".mp4"), host.layout, ep_id)


def test_an_upload_is_stored_before_it_is_an_episode(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PART_BYTES", 5 << 20)  # the least that S3 takes
    monkeypatch.setattr(store, "_RESTS_SECONDS", 0.0)
    one, other = storage.host("one"), storage.host("other")
    body = VIDEO * 24  # two parts
    storage.faults.add("PUT", "/videos/", refuses(500, "InternalError"))
    with pytest.raises(StorageUnavailable, match="InternalError"):
        upload(one, "talk", body)
    assert list_episodes(one.layout) == []
    storage.faults.rules.clear()
    upload(one, "talk", body)  # the same again, after a claim that was left
    assert fetched_video(other.layout, "talk").read_bytes() == body
    with pytest.raises(EpisodeExists):
        upload(storage.host("third"), "talk", VIDEO)
    gone = delete_episode(one.layout, "talk")
    other.index.refresh()
    assert list_episodes(other.layout) == []
    with pytest.raises(EpisodeExists) as error:
        upload(other, "talk", VIDEO)
    assert "empty the trash" in str(error.value.hint)
    remove(one.layout, gone.trash_id)
    assert storage.stored() == []
    upload(other, "talk", VIDEO)
    assert find_video(other.layout, "talk").read_bytes() == VIDEO


def test_of_two_uploads_at_once_one_becomes_the_episode(storage: Storage) -> None:
    hosts = [storage.host("one"), storage.host("two")]
    begin = threading.Barrier(2)
    refused: list[int] = []

    def send(number: int) -> None:
        begin.wait()
        try:
            upload(hosts[number], "talk", VIDEO[number:])
        except EpisodeExists:
            refused.append(number)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (loser,) = refused
    stored = storage.s3.get(storage.bucket, "shows/videos/talk/episode.mp4")
    assert stored == VIDEO[1 - loser :]
    assert here_or_none(hosts[loser]) == set()


def here_or_none(host: Host) -> set[str]:
    return here(host) if host.layout.videos.exists() else set()
