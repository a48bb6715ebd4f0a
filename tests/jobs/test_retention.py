"""The queue forgets jobs and batches that ended long ago, and nothing that is still wanted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apps.common.batch_schemas import BatchRequest
from apps.common.errors import BatchNotFound, JobNotFound
from apps.common.layout import Layout
from apps.common.retention_schemas import QueueRecords
from apps.jobs.batches import BatchEntry, BatchStore
from apps.jobs.lease import EpisodeLease
from apps.jobs.outbox import Outbox
from apps.jobs.retention import kept_count, old_records, prune_records, pruned_counts
from apps.jobs.store import ENDED, JobRequest, JobStore
from apps.runs.store import list_runs
from apps.runs.trash_entries import in_trash
from lab.processes.queue import Redis, redis_server
from lab.processes.service import clean_environment, serving, wait_for
from tests.jobs.test_many import mentions
from tests.runs.test_retention import add
from tests.support.jobs import IDLER, job_request

DAY = 24 * 3600
NO_PROBLEM = {"detail": "not wanted"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis"), "--appendonly", "no") as running:
        yield running


@pytest.fixture
def store(broker: Redis) -> Iterator[JobStore]:
    broker.ask("FLUSHALL")
    opened = JobStore(broker.url, 30)
    yield opened
    opened.close()


def registered(store: JobStore, root: Path, ep_id: str, batch: str | None = None) -> JobRequest:
    request = job_request(root, ep_id).model_copy(update={"batch_id": batch})
    assert store.register(request) is None
    return request


def ended(store: JobStore, root: Path, ep_id: str, days: float, batch: str | None = None) -> str:
    """A job that ended so many days ago."""
    job_id = registered(store, root, ep_id, batch).job_id
    assert store.cancel_now(job_id, NO_PROBLEM)
    aged(store, ENDED, job_id, days)
    return job_id


def aged(store: JobStore, key: str, member: str, days: float) -> None:
    seconds, _ = store.redis.time()
    store.redis.zadd(key, {member: seconds - days * DAY})


def season(store: JobStore, batch_id: str, jobs: dict[str, str], days: float) -> BatchStore:
    """A batch that was asked for so many days ago."""
    batches = BatchStore(store)
    created = "2026-01-01T00:00:00.000+00:00"
    batches.create(batch_id, created, BatchRequest(episodes=list(jobs)), list(jobs))
    entries = {ep_id: BatchEntry(job_id=job_id) for ep_id, job_id in jobs.items()}
    batches.note(batch_id, entries)
    batches.queued(batch_id)
    aged(store, "screenalytics:batches", batch_id, days)
    return batches


def counted(records: QueueRecords) -> tuple[int, int, int]:
    assert records.problem is None
    return records.jobs, records.batches, records.workers


def test_what_ended_long_ago_goes_and_is_shown_first(
    store: JobStore, broker: Redis, tmp_path: Path
) -> None:
    old, new = ended(store, tmp_path, "old", 31), ended(store, tmp_path, "new", 29)
    shown = old_records(store, 30)
    assert counted(shown) == (1, 0, 0)
    assert 0 < shown.size_bytes < (shown.redis_bytes or 0)
    assert counted(old_records(store, None)) == counted(prune_records(store, None)) == (0, 0, 0)
    assert store.read(old).state == "cancelled"
    gone = prune_records(store, 30)
    assert (counted(gone), gone.size_bytes) == ((1, 0, 0), shown.size_bytes)
    with pytest.raises(JobNotFound):
        store.read(old)
    assert mentions(broker, old) == []
    assert broker.ask("KEYS", "screenalytics:episode:old*") == []
    assert store.read(new).state == "cancelled"
    assert counted(prune_records(store, 30)) == (0, 0, 0)
    assert pruned_counts(store) == {"jobs": 1}
    assert kept_count(store) == 1


def test_what_waits_or_runs_stays_however_long(
    store: JobStore, broker: Redis, tmp_path: Path
) -> None:
    """Nothing of it expires, and no number of days has it go."""
    waits, runs = registered(store, tmp_path, "waits"), registered(store, tmp_path, "runs")
    assert store.begin(runs.job_id, "worker", "token") == "begun"
    aged(store, ENDED, runs.job_id, 400)  # as nothing does; its state counts
    assert counted(prune_records(store, 0)) == (0, 0, 0)
    assert [store.read(one.job_id).state for one in (waits, runs)] == ["queued", "in_progress"]
    for request in (waits, runs):
        of_it = broker.ask("KEYS", f"*{request.spec.ep_id}*"), f"screenalytics:job:{request.job_id}"
        assert {broker.ask("TTL", key) for key in (*of_it[0], of_it[1])} == {-1}
    assert store.register(job_request(tmp_path, "waits")) == waits.job_id


def test_the_next_job_of_an_episode_keeps_its_place(store: JobStore, tmp_path: Path) -> None:
    old = ended(store, tmp_path, "show", 60)
    new = registered(store, tmp_path, "show")
    assert counted(prune_records(store, 30)) == (1, 0, 0)
    assert [job.request.job_id for job in store.of_episode("show")] == [new.job_id]
    assert store.register(job_request(tmp_path, "show")) == new.job_id
    assert old not in store.read_all([new.job_id])


def test_a_batch_goes_with_its_jobs_when_the_last_one_is_old(
    store: JobStore, broker: Redis, tmp_path: Path
) -> None:
    jobs = {name: ended(store, tmp_path, name, 60, "season") for name in ("a", "b")}
    batches = season(store, "season", jobs, 61)
    aged(store, ENDED, jobs["b"], 10)
    assert counted(prune_records(store, 30)) == (0, 0, 0)
    aged(store, ENDED, jobs["b"], 31)
    assert counted(old_records(store, 30)) == counted(prune_records(store, 30)) == (2, 1, 0)
    assert [mentions(broker, word) for word in ("season", *jobs.values())] == [[], [], []]
    for change in (batches.cancel, batches.resume):
        with pytest.raises(BatchNotFound):
            change("season")
    assert mentions(broker, "season") == []


def test_a_batch_that_has_not_ended_stays_with_all_jobs(store: JobStore, tmp_path: Path) -> None:
    jobs = {"a": ended(store, tmp_path, "a", 90, "season")}
    waits = registered(store, tmp_path, "b", "season").job_id
    batches = season(store, "season", {**jobs, "b": waits}, 91)
    assert counted(prune_records(store, 0)) == (0, 0, 0)
    assert store.cancel_now(waits, NO_PROBLEM)
    batches.resume("season")  # somebody tries it again just now
    assert counted(prune_records(store, 0)) == (0, 0, 0)
    batches.queued("season")
    assert counted(prune_records(store, 0)) == (2, 1, 0)


def test_what_a_webhook_is_still_to_tell_stays(store: JobStore, tmp_path: Path) -> None:
    """Noted, made an event of, and not answered yet; for a month at most."""
    outbox = Outbox(store)
    outbox.want_endings()
    job_id = ended(store, tmp_path, "a", 5, "season")
    batches = season(store, "season", {"a": job_id}, 6)
    alone = ended(store, tmp_path, "alone", 5)
    assert counted(prune_records(store, 1)) == (0, 0, 0)
    for one in (job_id, alone):
        outbox.post_job(one, f"evt-{one}", "{}", ["there"])
    outbox.post_batch("season", 0, "evt-season-0", "{}", ["there"])
    assert counted(prune_records(store, 1)) == (0, 0, 0)
    for event in (f"evt-{job_id}", "evt-season-0"):
        outbox.done("there", event, "sent")
    assert counted(prune_records(store, 1)) == (1, 1, 0)
    assert store.read(alone).state == "cancelled"
    aged(store, ENDED, alone, 31)
    assert counted(prune_records(store, 1)) == (1, 0, 0)
    assert batches.newest() == []


def test_workers_that_are_gone_are_counted(store: JobStore, broker: Redis) -> None:
    store.announce(IDLER, 60)
    gone = IDLER.model_copy(update={"name": "gone"})
    store.announce(gone, 60)
    aged(store, "screenalytics:workers", "gone", 1)
    assert counted(old_records(store, 30)) == counted(prune_records(store, 30)) == (0, 0, 1)
    assert broker.ask("HKEYS", "screenalytics:workers:facts") == [IDLER.name]


def test_many_and_several_programs_at_once(store: JobStore, tmp_path: Path) -> None:
    """Each record goes once, and is counted once."""
    for number in range(450):
        ended(store, tmp_path, f"show-{number}", 40)
    with ThreadPoolExecutor(4) as pool:
        gone = list(pool.map(lambda _: prune_records(store, 30).jobs, range(4)))
    assert sum(gone) == 450
    assert pruned_counts(store) == {"jobs": 450}
    assert store.redis.keys("screenalytics:job:*") == []


def test_without_redis_it_is_said() -> None:
    store = JobStore("redis://127.0.0.1:9/0", 1)
    records = old_records(store, 30)
    assert (records.jobs, records.redis_bytes) == (0, None)
    assert "Redis" in str(records.problem)


def command(root: Path, broker: Redis, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "apps.cli.main", "prune", "--data-root", str(root), *arguments],
        env=clean_environment(SCREENALYTICS_REDIS_URL=broker.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def asked(root: Path, broker: Redis, *arguments: str) -> tuple[int, str, str]:
    process = command(root, broker, *arguments)
    out, error = process.communicate(timeout=120)
    return process.returncode, out, error


def test_two_commands_at_once_and_one_against_another_host(
    store: JobStore, broker: Redis, tmp_path: Path
) -> None:
    """As where two people, or two timers, start it at the same moment."""
    layout = Layout(tmp_path)
    for ep_id in ("one", "two"):
        layout.episode(ep_id).mkdir(parents=True)
        for day in range(8):
            add(layout, f"d{day}", 50 - day, "completed", ep_id)
    elsewhere = EpisodeLease(store, "two", "run-1", host="another-host")
    assert elsewhere.take()
    both = [command(tmp_path, broker, "--keep", "1", "--yes", "one") for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert list_runs(layout, "one") == ["d7"]
    assert len(in_trash(layout)) == 7
    assert sum(int(out.split(" runs are")[0].rsplit("\n", 1)[-1]) for out, _ in said) == 7
    code, out, error = asked(tmp_path, broker, "--keep", "1", "--yes", "two")
    assert (code, "0 runs are in the trash" in out) == (6, True)
    assert "running on another host" in error
    elsewhere.give_back()
    assert asked(tmp_path, broker, "--keep", "1", "--yes", "two")[0] == 0
    assert list_runs(layout, "two") == ["d7"]


def test_a_run_that_a_job_waits_for_stays(store: JobStore, broker: Redis, tmp_path: Path) -> None:
    """Its first try broke off; the queue is about to begin it again."""
    layout = Layout(tmp_path)
    layout.episode("show").mkdir(parents=True)
    for day in range(3):
        add(layout, f"d{day}", 50 - day, "completed", "show")
    request = job_request(tmp_path, "show")
    spec = request.spec.model_copy(update={"run_id": "d0"})
    assert store.register(request.model_copy(update={"spec": spec})) is None
    code, out, error = asked(tmp_path, broker, "--keep", "1", "--yes")
    assert (code, "1 runs are in the trash" in out) == (1, True)
    assert f"Job {request.job_id} of episode 'show' is queued" in error
    assert list_runs(layout, "show") == ["d2", "d0"]


def test_the_command_shows_records_and_forgets_them(
    store: JobStore, broker: Redis, tmp_path: Path
) -> None:
    ended(store, tmp_path, "old", 31)
    Layout(tmp_path).videos.mkdir()
    code, out, _ = asked(tmp_path, broker, "--keep-job-days", "30")
    assert code == 0
    assert "would forget 1 jobs, 0 batches and 0 workers" in out
    assert kept_count(store) == 1
    code, out, _ = asked(tmp_path, broker, "--keep-job-days", "30", "--yes")
    assert "has forgotten 1 jobs" in out
    wait_for(lambda: kept_count(store) == 0)
    assert asked(tmp_path, broker, "--keep-job-days", "-1")[0] == 2


def test_the_service_shows_and_forgets_them(store: JobStore, broker: Redis, tmp_path: Path) -> None:
    """At its start too; by the policy of a body that does not name the queue, nothing."""
    ended(store, tmp_path, "old", 31)
    with serving(
        tmp_path / "data",
        SCREENALYTICS_REDIS_URL=broker.url,
        SCREENALYTICS_KEEP_JOB_DAYS="30",
        SCREENALYTICS_TRASH_HOURS="2",
    ) as server:
        wait_for(lambda: kept_count(store) == 0, what="it to go when the service starts")
        ended(store, tmp_path, "other", 31)
        shown = server.client.get("/retention").json()
        assert shown["policy"]["keep_job_days"] == 30
        assert (shown["queue"]["jobs"], shown["queue"]["problem"]) == (1, None)
        assert 0 < shown["queue"]["size_bytes"] < shown["queue"]["redis_bytes"]
        assert shown["trash_hours"] == 2
        assert server.client.post("/retention", json={"keep": 3}).json()["queue"]["jobs"] == 0
        assert server.client.post("/retention").json()["queue"]["jobs"] == 1
        assert server.client.get("/retention").json()["queue"]["jobs"] == 0
        figures = server.client.get("/metrics").text
    assert 'screenalytics_queue_pruned_total{kind="jobs"} 2.0' in figures
    assert "screenalytics_jobs_kept 0.0" in figures
    assert "screenalytics_redis_used_bytes" in figures
