"""Faults of a storage that hosts share, and of the hosts that use it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx

from lab.faults.part_scenarios import DIVIDED
from lab.faults.part_scenarios import VIDEO as DIVIDED_VIDEO
from lab.faults.scenarios import PATIENCE, Stack, Trial, orphans_of, wait_for_end
from lab.faults.storage_away import Away, any_file, holds, killed_at
from lab.faults.storage_hosts import Hosts, hosts_of
from lab.processes.bucket import ALWAYS
from lab.processes.queue import Worker
from lab.processes.service import Server, cli_command, wait_for

RUN = {"stride": 12, "det_size": 320, "max_cpu_percent": 30, "save_crops": True}
_STORED_SECONDS = 90.0  # within which a run is stored once all is well


@contextmanager
def _hosts(stack: Stack, *workers: str) -> Iterator[tuple[Hosts, Server]]:
    """Workers on some hosts, and the API of `one`, which knows of the episode."""
    with hosts_of(stack) as hosts:
        server = hosts["one"].api()
        hosts.only_workers(*workers)
        address = f"/episodes/{stack.episode}"
        wait_for(lambda: server.client.get(address).status_code == 200, 30, "the episode there")
        yield hosts, server


def _submit(stack: Stack, server: Server, **options: object) -> str:
    body = {"ep_id": stack.episode, **RUN, **options}
    answer = server.client.post("/celery_jobs/detect_track", json=body, timeout=120)
    stack.note(f"job: {answer.status_code} {answer.text}")
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def _judge_job(stack: Stack, hosts: Hosts, server: Server, job: str) -> Trial:
    """The job has succeeded, and its run is in the bucket, once and whole."""
    end = wait_for_end(server, job)
    stack.note(f"job: {server.client.get(f'/celery_jobs/{job}').text}")
    return _judge(stack, hosts, server, is_done=end == "success")


def _judge(stack: Stack, hosts: Hosts, server: Server, *, is_done: bool = True) -> Trial:
    """One record, all its files, nothing else; nobody has anything to store; others read it."""
    waits = [host.waits for host in hosts.hosts.values()]
    is_empty = holds(lambda: not any(ask() for ask in waits), _STORED_SECONDS)
    records = hosts.records(stack.episode)
    broken = [
        key for name, run in records.items() for key in hosts.broken(stack.episode, name, run)
    ]
    half = [*broken, *hosts.watch.half]
    strays = hosts.strays(stack.episode)
    is_read = all(_is_read(stack, hosts, server, name) for name in records)
    orphans = _left(stack, hosts)
    stack.note(
        f"done {is_done}, outboxes empty {is_empty}, records {list(records)}, half {half}, "
        f"strays {strays}, read {is_read}, processes {orphans}"
    )
    is_whole = bool(records) and is_empty and is_read and not half
    return Trial(
        completed=int(is_done and len(records) == 1 and is_whole),
        lost=int(not (is_done and is_whole)),
        doubled=max(0, len(records) - 1),
        orphans=orphans + int(bool(strays)),
    )


def _is_read(stack: Stack, hosts: Hosts, server: Server, run_id: str) -> bool:
    """A host that did not make it shows the tracks that were stored."""
    address = f"/episodes/{stack.episode}/runs/{run_id}"
    if not holds(lambda: _status(server, f"{address}/tracks") == 200, 30):
        return False
    files = hosts["one"].layout.run(stack.episode, run_id)
    record = hosts.records(stack.episode)[run_id]
    stored = hosts.get(f"runs/{stack.episode}/{run_id}/{record.token}/{files.tracks.name}")
    return files.tracks.read_bytes() == stored


def _status(server: Server, path: str) -> int:
    try:
        return server.client.get(path, timeout=60).status_code
    except httpx.HTTPError:
        return 0


def _left(stack: Stack, hosts: Hosts) -> int:
    """Processes of runs that are still there."""

    def found() -> int:
        return len(orphans_of({str(host.root) for host in hosts.hosts.values()}))

    begun = time.monotonic()
    holds(lambda: not found(), 2.5)
    stack.ends.append(time.monotonic() - begun)
    return found()


def _away_at_request(
    stack: Stack,
    method: str,
    path: str,
    number: Callable[[Stack], int] = lambda _: 1,
    *,
    times: int = ALWAYS,
) -> Trial:
    """The storage goes away with a request of a job's worker.

    Args:
        number: which of those with that method and path, from 1.
        times: so many of them are looked at.
    """
    with _hosts(stack, "two") as (hosts, server):
        away = Away(hosts, stack)
        hosts["two"].faults.add(method, path, away.at(number(stack)), times)
        job = _submit(stack, server)
        assert away.wait(PATIENCE), "it never went away"
        return _judge_job(stack, hosts, server, job)


def storage_away_before(stack: Stack) -> Trial:
    """The storage is away for some seconds from before a job's video is brought."""
    with _hosts(stack, "two") as (hosts, server):
        away = Away(hosts, stack)
        away.begin()
        job = _submit(stack, server)
        assert away.wait(PATIENCE), "it never went away"
        return _judge_job(stack, hosts, server, job)


def storage_away_in_transfer(stack: Stack) -> Trial:
    """It goes away while the video is on its way to the worker's host."""
    return _away_at_request(stack, "GET", f"/videos/{stack.episode}", times=1)


def storage_away_in_run(stack: Stack) -> Trial:
    """It goes away at any moment of the run, and comes back in it or after it."""
    with _hosts(stack, "two") as (hosts, server):
        away = Away(hosts, stack)
        job = _submit(stack, server)
        wait_for(hosts["two"].worker().runs, PATIENCE, "the run")
        stack.moment()
        away.begin()
        assert away.wait(PATIENCE), "it never went away"
        return _judge_job(stack, hosts, server, job)


def storage_away_publishing(stack: Stack) -> Trial:
    """It goes away while the run's files are being stored, with any of them."""
    return _away_at_request(stack, "PUT", f"/runs/{stack.episode}/", any_file)


def storage_away_before_record(stack: Stack) -> Trial:
    """It goes away when all files are stored and the record is not, or its answer is lost."""
    return _away_at_request(stack, "PUT", f"/published/{stack.episode}/runs/")


def storage_away_reading(stack: Stack) -> Trial:
    """It goes away while another host reads the run: that gets all of it, or is told why not."""
    with _hosts(stack, "two") as (hosts, server):
        away = Away(hosts, stack)
        end = wait_for_end(server, _submit(stack, server))
        (run_id,) = hosts.records(stack.episode)
        address = f"/episodes/{stack.episode}/runs/{run_id}"
        wait_for(lambda: _status(server, address) == 200, 30, "the run in the list")
        hosts["one"].faults.add("GET", f"/runs/{stack.episode}/", away.at(any_file(stack)))
        answers = [_status(server, f"{address}/tracks")]
        assert away.wait(PATIENCE), "it never went away"
        is_listed = _status(server, address) == 200
        answers.append(_status(server, f"{address}/tracks"))
        stack.note(f"read while it was away: {answers}, listed {is_listed}")
        is_told = is_listed and {200, 503}.issuperset(answers)
        return _judge(stack, hosts, server, is_done=end == "success" and is_told)


def storage_away_in_parts(stack: Stack) -> Trial:
    """It goes away while two hosts make the parts of a job, with one that is stored or brought."""
    stack.video = stack.video.with_name(DIVIDED_VIDEO)
    with _hosts(stack, "two", "three") as (hosts, server):
        away = Away(hosts, stack)
        method, number = stack.rng.choice((("PUT", 1), ("PUT", 2), ("GET", 1)))
        for name in ("two", "three"):
            hosts[name].faults.add(method, "/parts/", away.at(number))
        job = _submit(stack, server, **DIVIDED)
        assert away.wait(PATIENCE), "it never went away"
        trial = _judge_job(stack, hosts, server, job)
        stack.note(f"with {method} {number}; left of parts: {hosts.keys('parts/')}")
        return trial


def worker_without_redis(stack: Stack) -> Trial:
    """A worker cannot reach Redis at any moment of its job, and the storage still; another can."""
    with _hosts(stack, "two") as (hosts, server):
        job = _submit(stack, server)
        wait_for(hosts["two"].worker().runs, PATIENCE, "the run")
        hosts["three"].worker()
        stack.moment()
        hosts["two"].redis.cut()
        time.sleep(stack.rng.uniform(4, 15))  # a lease has three seconds
        hosts["two"].redis.mend()
        return _judge_job(stack, hosts, server, job)


def worker_without_storage(stack: Stack) -> Trial:
    """A worker cannot reach the storage from any moment on, and Redis still; another one can."""
    with _hosts(stack, "two", "three") as (hosts, server):
        away = Away(hosts, stack, "two")
        if stack.rng.random() < 0.5:
            away.begin()
            job = _submit(stack, server)
        else:
            job = _submit(stack, server)
            stack.moment()
            away.begin()
        assert away.wait(PATIENCE), "it never went away"
        return _judge_job(stack, hosts, server, job)


def worker_killed_publishing(stack: Stack) -> Trial:
    """`kill -9` of a worker and its run while that is being stored; another host takes over."""
    with _hosts(stack, "two") as (hosts, server):
        two = hosts["two"]
        killed = killed_at(stack, two, lambda: two.kill(Worker))
        job = _submit(stack, server)
        assert killed.wait(PATIENCE), "nothing was stored"
        hosts["three"].worker()
        end = wait_for_end(server, job)
        stack.note(f"the job ended elsewhere: {end}")
        two.worker()  # the host is back
        return _judge_job(stack, hosts, server, job)


def api_killed_publishing(stack: Stack) -> Trial:
    """`kill -9` of an API while its local run is being stored; another one is started."""
    with _hosts(stack) as (hosts, server):
        two = hosts["two"]
        local = two.api()
        address = f"/episodes/{stack.episode}"
        wait_for(lambda: _status(local, address) == 200, 30, "the episode there")
        killed = killed_at(stack, two, lambda: two.kill(Server))
        with suppress(httpx.HTTPError):
            local.detect_track(stack.episode, **RUN)
        assert killed.wait(PATIENCE), "nothing was stored"
        orphans = _left(stack, hosts)
        two.api()
        trial = _judge(stack, hosts, server)
        trial.orphans += orphans
        return trial


def two_hosts_one_run(stack: Stack) -> Trial:
    """Two hosts run the same episode under the same run id at once, and both complete."""
    with _hosts(stack) as (hosts, server):
        runs = []
        for name in ("two", "three"):
            host = hosts[name]
            command = cli_command(host.root, "--ep-id", stack.episode, "--run-id", "same")
            command += ["--stride", "12", "--det-size", "320", "--save-crops"]
            with (host.root.parent / "cli.log").open("ab") as log:
                runs.append(
                    subprocess.Popen(
                        command, env=host.cli(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
                    )
                )
            time.sleep(stack.rng.uniform(0, 0.5))
        codes = [run.wait(PATIENCE) for run in runs]
        stack.note(f"exit codes {codes}")
        return _judge(stack, hosts, server, is_done=codes == [0, 0])


FAULTS: dict[str, Callable[[Stack], Trial]] = {
    function.__name__: function
    for function in (
        storage_away_before,
        storage_away_in_transfer,
        storage_away_in_run,
        storage_away_publishing,
        storage_away_before_record,
        storage_away_reading,
        storage_away_in_parts,
        worker_without_redis,
        worker_without_storage,
        worker_killed_publishing,
        api_killed_publishing,
        two_hosts_one_run,
    )
}
