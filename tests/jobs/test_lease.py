"""The lease of an episode across hosts, on a real Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.jobs.lease import EpisodeLease
from apps.jobs.store import JobStore
from lab.processes.queue import redis_server
from lab.processes.service import add_episode, serving, wait_for

LEASE_S = 1.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobStore]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        opened = JobStore(server.url, LEASE_S)
        yield opened
        opened.close()


@pytest.mark.trap(5)
def test_another_host_waits_until_the_holder_is_dead(store: JobStore) -> None:
    ours = EpisodeLease(store, "ep-1", "run-1", host="a")
    theirs = EpisodeLease(store, "ep-1", "run-2", host="b")
    assert ours.take()
    assert not theirs.take()
    for _ in range(3):  # renewed for longer than it lasts
        time.sleep(LEASE_S / 2)
        ours.renew()
    assert not theirs.take()
    time.sleep(LEASE_S * 1.2)  # the holder says nothing any more
    assert theirs.take()
    ours.renew()  # too late: it does not take it away
    assert not ours.take()
    theirs.give_back()
    assert ours.take()
    ours.give_back()


def test_giving_back_touches_nobody_elses(store: JobStore) -> None:
    ours = EpisodeLease(store, "ep-2", "run-1", host="a")
    theirs = EpisodeLease(store, "ep-2", "run-2", host="b")
    assert ours.take()
    theirs.give_back()
    assert not theirs.take()


def test_on_one_host_the_file_lock_decides(store: JobStore) -> None:
    """A run that was killed leaves its lease; the next one on this host need not wait for it."""
    dead = EpisodeLease(store, "ep-3", "run-1", host="a")
    assert dead.take()
    assert EpisodeLease(store, "ep-3", "run-2", host="a").take()
    assert not EpisodeLease(store, "ep-3", "run-3", host="b").take()


def test_other_episodes_are_free(store: JobStore) -> None:
    assert EpisodeLease(store, "ep-4", "run-1", host="a").take()
    assert EpisodeLease(store, "ep-5", "run-2", host="b").take()


def test_redis_away_stops_no_run() -> None:
    store = JobStore("redis://127.0.0.1:9/0", LEASE_S)
    lease = EpisodeLease(store, "ep", "run")
    assert lease.take()
    lease.renew()
    lease.give_back()
    store.close()


def test_a_local_run_respects_another_hosts_lease(tmp_path: Path, test_data: Path) -> None:
    data_root = tmp_path / "data"
    add_episode(data_root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    with (
        redis_server(tmp_path / "redis") as redis,
        serving(data_root, SCREENALYTICS_REDIS_URL=redis.url) as server,
    ):
        store = JobStore(redis.url, 60)
        lease = EpisodeLease(store, "talk", "run-9", host="elsewhere")
        assert lease.take()
        refused = server.detect_track("talk")
        assert refused.status_code == 409
        assert "another host" in refused.json()["detail"]
        lease.give_back()
        assert server.detect_track("talk", stride=120).status_code == 200
        again = EpisodeLease(store, "talk", "run-9", host="elsewhere")
        wait_for(again.take, what="the lease, given back")
        store.close()
