"""Runs that hosts share by a bucket."""

from __future__ import annotations

import json
import threading

import pytest

from apps.common.errors import RunNotFound, StorageFailed, StorageUnavailable
from apps.common.files import files_in
from apps.objects.outbox import due
from apps.objects.records import record_key
from apps.objects.videos import bringing
from apps.people.forget import forget_people
from apps.runs.episodes import list_episodes
from apps.runs.store import latest_run_id, list_runs, read_completed, read_manifest
from apps.runs.trash import delete_run, remove, restore
from lab.processes.bucket import Handler, answer_is_lost, breaks_off, is_short, refuses
from tests.objects.conftest import Host, Storage


def contents(host: Host, ep_id: str, run_id: str) -> dict[str, bytes]:
    folder = host.layout.run(ep_id, run_id).folder
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files_in(folder)
        if not path.name.startswith(".")
    }


def test_a_run_of_one_host_is_listed_and_read_whole_on_another(storage: Storage) -> None:
    one, other = storage.host("one"), storage.host("other")
    one.add_run("show-s01e01", "first")
    assert one.publish("show-s01e01", "first")
    assert due(one.layout) == []
    other.index.refresh()
    assert list_episodes(other.layout) == ["show-s01e01"]
    assert list_runs(other.layout, "show-s01e01") == ["first"]
    assert latest_run_id(other.layout, "show-s01e01") == "first"
    assert set(contents(other, "show-s01e01", "first")) == {
        "run.json"
    }  # the rest as it is asked for
    assert read_completed(other.layout, "show-s01e01", "latest").run_id == "first"
    assert contents(other, "show-s01e01", "first") == contents(one, "show-s01e01", "first")
    requests = len(storage.faults.seen)
    read_completed(other.layout, "show-s01e01", "first")
    assert len(storage.faults.seen) == requests  # and no more


def test_a_run_is_found_by_its_name_before_anybody_looked(storage: Storage) -> None:
    one, other = storage.host("one"), storage.host("other")
    one.add_run("ep", "run")
    with pytest.raises(RunNotFound):
        read_manifest(other.layout, "ep", "run")  # it has completed, and is not stored
    one.publish("ep", "run")
    assert read_manifest(other.layout, "ep", "run").status == "completed"


def test_of_two_that_store_a_run_at_once_one_wins_and_nothing_of_the_other_is_left(
    storage: Storage,
) -> None:
    hosts = [storage.host("one"), storage.host("two")]
    for number, host in enumerate(hosts):
        host.add_run("ep", "run", tracks=f"of host {number}\n")
    begin = threading.Barrier(2)
    won: dict[int, bool] = {}

    def store(number: int) -> None:
        begin.wait()
        won[number] = hosts[number].publish("ep", "run")

    threads = [threading.Thread(target=store, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won.values()) == [False, True]
    winner = hosts[0] if won[0] else hosts[1]
    reader = storage.host("reader")
    read_completed(reader.layout, "ep", "run")
    assert contents(reader, "ep", "run") == contents(winner, "ep", "run")
    assert len({key.split("/")[3] for key in storage.stored() if key.startswith("runs/")}) == 1


def test_what_is_not_stored_as_a_whole_is_seen_by_nobody_and_stored_later(storage: Storage) -> None:
    one, other = storage.host("one"), storage.host("other")
    one.add_run("ep", "run")
    storage.faults.add("PUT", "/published/", refuses(503, "SlowDown"), times=4)  # a try and retries
    with pytest.raises(StorageUnavailable, match=r"too much to do \(SlowDown\)") as error:
        one.publish("ep", "run")
    assert error.value.status == 503
    other.index.refresh()
    assert list_episodes(other.layout) == []
    with pytest.raises(RunNotFound):
        read_manifest(other.layout, "ep", "run")
    assert due(one.layout) == [("ep", "run")]
    before = storage.stored()
    one = storage.host("one")  # started again
    assert one.publish("ep", "run")
    assert set(before) < set(storage.stored())  # the same objects, and the record
    assert len(storage.stored()) == len(before) + 1


def test_an_answer_that_is_lost_is_no_other_host(storage: Storage) -> None:
    one = storage.host("one")
    one.add_run("ep", "run")
    storage.faults.add("PUT", "/published/", answer_is_lost, times=1)
    assert one.publish("ep", "run")


@pytest.mark.parametrize("is_changed", [False, True])
def test_what_a_record_names_is_never_written_over(storage: Storage, is_changed: bool) -> None:
    """The record is stored, which nobody hears; then the run's files become others."""
    one, other = storage.host("one"), storage.host("other")
    one.add_run("ep", "run")
    storage.faults.add("PUT", "/published/", answer_is_lost)
    with pytest.raises(StorageUnavailable):
        one.publish("ep", "run")
    storage.faults.rules.clear()
    other.index.refresh()
    files = one.layout.run("ep", "run")
    with files.log.open("a") as log:
        log.write("The results are on this host alone.\n")
    if is_changed:
        one.mirror.changed(one.layout, "ep", "run", at_once=False)
    one = storage.host("one")
    storage.faults.add("PUT", "/published/", refuses(403, "AccessDenied"))
    if is_changed:
        with pytest.raises(StorageUnavailable):
            one.publish("ep", "run")
    read_completed(other.layout, "ep", "run")  # also while it is stored again
    storage.faults.rules.clear()
    assert storage.host("one").publish("ep", "run")
    assert due(one.layout) == []
    other.index.refresh()
    read_completed(other.layout, "ep", "run")
    log_there = other.layout.run("ep", "run").log.read_text()
    assert (log_there == files.log.read_text()) == is_changed
    third = storage.host("third")
    third.index.refresh()
    read_completed(third.layout, "ep", "run")
    assert len([key for key in storage.stored() if key.endswith("/run.log")]) == 1


def test_what_changes_while_it_is_being_stored_is_stored_as_well(storage: Storage) -> None:
    one, other = storage.host("one"), storage.host("other")
    one.add_run("ep", "run")
    files = one.layout.run("ep", "run")

    def removes_people(_: Handler) -> bool:
        files.people.write_text("")
        one.mirror.changed(one.layout, "ep", "run", at_once=False)
        return False

    storage.faults.add("PUT", "/tracks.jsonl", removes_people, times=1)  # theirs is stored by then
    assert one.publish("ep", "run")
    assert due(one.layout) == [("ep", "run")]
    assert one.publish("ep", "run")
    assert due(one.layout) == []
    other.index.refresh()
    read_completed(other.layout, "ep", "run")
    assert other.layout.run("ep", "run").people.read_text() == ""


@pytest.mark.parametrize("fault", [breaks_off, is_short])
def test_a_transfer_that_breaks_leaves_the_run_as_it_was(storage: Storage, fault: object) -> None:
    one, other = storage.host("one"), storage.host("other")
    one.add_run("ep", "run")
    one.publish("ep", "run")
    other.index.refresh()
    storage.faults.add("GET", "detections.jsonl", fault, times=4)  # type: ignore[arg-type]
    with pytest.raises(StorageUnavailable):
        read_completed(other.layout, "ep", "run")
    assert set(contents(other, "ep", "run")) == {"run.json"}
    storage.faults.rules.clear()
    other = storage.host("other")
    read_completed(other.layout, "ep", "run")
    assert contents(other, "ep", "run") == contents(one, "ep", "run")


def test_a_run_that_is_deleted_is_gone_everywhere_until_it_is_restored(storage: Storage) -> None:
    one, other, third = storage.host("one"), storage.host("other"), storage.host("third")
    for run_id in ("first", "second"):
        one.add_run("ep", run_id)
        one.publish("ep", run_id)
    for host in (other, third):
        host.index.refresh()
    read_completed(third.layout, "ep", "second")
    gone = delete_run(other.layout, "ep", "second")
    for host in (one, other, third):
        host.index.refresh()
        assert list_runs(host.layout, "ep") == ["first"]
        assert latest_run_id(host.layout, "ep") == "first"
    restore(other.layout, gone.trash_id)
    for host in (one, other, third):
        host.index.refresh()
        read_completed(host.layout, "ep", "second")
    gone = delete_run(other.layout, "ep", "second")
    remove(other.layout, gone.trash_id)
    assert not any("second" in key for key in storage.stored())


def test_people_that_are_removed_are_removed_from_what_is_stored(storage: Storage) -> None:
    one, other, third = storage.host("one"), storage.host("other"), storage.host("third")
    one.add_run("ep", "run")
    one.publish("ep", "run")
    for host in (other, third):
        host.index.refresh()
    read_completed(third.layout, "ep", "run")
    assert forget_people(other.layout, "ep").files == 2  # of which only the manifest was there
    assert due(other.layout) == []
    assert not any("people" in key or "embeddings" in key for key in storage.stored())
    one.index.refresh()
    third.index.refresh()
    for host in (one, third):
        read_completed(host.layout, "ep", "run")
        assert contents(host, "ep", "run") == contents(other, "ep", "run")
    assert "people.jsonl" not in contents(third, "ep", "run")


def test_what_died_here_gives_way_to_what_completed_elsewhere(storage: Storage) -> None:
    one, other = storage.host("one"), storage.host("other")
    one.add_run("ep", "run")
    one.publish("ep", "run")
    other.add_run("ep", "run", tracks="half\n")
    files = other.layout.run("ep", "run")
    files.manifest.write_text(files.manifest.read_text().replace('"completed"', '"running"'))
    other.layout.unpublished("ep", "run").unlink()
    other.index.refresh()
    read_completed(other.layout, "ep", "run")
    assert contents(other, "ep", "run") == contents(one, "ep", "run")
    own = storage.host("own")
    own.add_run("ep", "run", tracks="its own\n")  # completed, and of the same name
    assert not own.publish("ep", "run")
    own.index.refresh()
    assert own.layout.run("ep", "run").tracks.read_text() == "its own\n"


def test_records_that_are_none_are_asked_for_once(storage: Storage) -> None:
    host = storage.host("one")
    for name, body in {"a": b"{", "b": b"{}", "c": b'{"version": 2}'}.items():
        storage.s3.put(storage.bucket, f"shows/published/ep/runs/{name}.json", body)
    storage.s3.put(storage.bucket, "shows/published/ep/runs/latest.json", b"{}")
    host.index.refresh()
    requests = len(storage.faults.seen)
    host.index.refresh()
    assert len(storage.faults.seen) == requests + 2  # the two lists
    assert list_episodes(host.layout) == []


@pytest.mark.parametrize("names", [["run.json"], ["tracks.jsonl", "tracks.jsonl"]])
def test_no_file_of_a_run_takes_the_place_of_another(storage: Storage, names: list[str]) -> None:
    """Above all not of its manifest, which the record has."""
    one, other = storage.host("one"), storage.host("other")
    one.add_run("ep", "run")
    one.publish("ep", "run")
    record = json.loads(one.mirror.store.get(record_key("ep", "run"))[0])
    record["files"] = [{**record["files"][0], "name": name} for name in names]
    storage.s3.put(storage.bucket, "shows/published/ep/runs/run.json", json.dumps(record).encode())
    other.index.refresh()
    assert list_episodes(other.layout) == []


def test_a_run_that_cannot_be_noted_keeps_back_no_other(storage: Storage) -> None:
    one, other = storage.host("one"), storage.host("other")
    for ep_id in ("busy", "in-the-way", "other"):
        one.add_run(ep_id, "run")
        one.publish(ep_id, "run")
    in_the_way = other.layout.runs("in-the-way")
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("no folder")
    with bringing(other.layout, "busy"), pytest.raises(StorageFailed):
        other.index.refresh()
    assert list_runs(other.layout, "other") == ["run"]
    assert list_runs(other.layout, "busy") == []
    in_the_way.unlink()
    other.index.refresh()
    assert list_episodes(other.layout) == ["busy", "in-the-way", "other"]


def test_what_a_removal_left_that_was_cut_off_gives_way(storage: Storage) -> None:
    one, other = storage.host("one"), storage.host("other")
    one.add_run("ep", "run")
    one.publish("ep", "run")
    left = other.layout.run("ep", "run").crops
    left.mkdir(parents=True)
    (left / "left.jpg").write_bytes(b"picture")
    other.index.refresh()
    read_completed(other.layout, "ep", "run")
    assert contents(other, "ep", "run") == contents(one, "ep", "run")


def test_a_key_that_is_no_path_is_told(storage: Storage) -> None:
    storage.s3.put(storage.bucket, "shows/published/ep//runs/run.json", b"{}")
    with pytest.raises(StorageUnavailable, match="an object whose key is no path"):
        storage.host("one").index.refresh()
