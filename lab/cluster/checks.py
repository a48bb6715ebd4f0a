"""What several workers must do that share nothing but Redis and a bucket."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.cluster.engine import PROJECT, Container, Engine
from lab.cluster.service import Api, Bucket, wait_for

_RESULTS = ("detections", "tracks", "metrics", "log")
# So slow that it is still on when something is done to it.
_SLOW = {"stride": 1, "fps": 1000, "max_cpu_percent": 25}


@dataclass
class Cluster:
    """What is checked.

    Attributes:
        workers: how many containers.
        secrets: texts that nothing may say.
        grace_s: for so long an engine waits for a worker that it stops.
        failed: names of the checks that found something else.
    """

    engine: Engine
    api: Api
    bucket: Bucket
    video: Path
    episodes: list[str]
    workers: int
    secrets: list[str]
    grace_s: int
    failed: list[str] = field(default_factory=list)

    def hold(self, name: str, holds: bool, found: object) -> None:
        """Notes one check and prints its line."""
        print(f"{'ok  ' if holds else 'FAIL'}  {name:54} {found}", flush=True)
        if not holds:
            self.failed.append(name)

    def containers(self) -> list[Container]:
        return self.engine.containers("api", "worker", "redis", "bucket")

    def host_of(self, job: dict[str, Any]) -> str:
        """Of the container whose worker has, or had, the job."""
        return str(job["worker"]).partition("@")[2]


def starts(cluster: Cluster) -> None:
    """All is healthy, and each worker has a volume and a host name of its own."""
    begun = time.monotonic()
    cluster.engine.compose("up", "-d", "--no-build", "--wait", "bucket")
    cluster.bucket.make()
    scale = ("--scale", f"worker={cluster.workers}")
    wanted = ("redis", "api", "worker", "page")
    cluster.engine.compose("up", "-d", "--no-build", "--wait", *scale, *wanted)
    took = time.monotonic() - begun
    sick = [one.service for one in cluster.containers() if one.health != "healthy"]
    cluster.hold("all containers are healthy", not sick, f"{took:.0f} s {' '.join(sick)}")
    own = cluster.engine.containers("api", "worker")
    volumes = [volume for one in own for volume in one.volumes]
    alone = len(volumes) == len(own) == len(set(volumes)) == cluster.workers + 1
    cluster.hold("no volume has two users", alone, f"{len(volumes)} of {len(own)} containers")
    ready = cluster.api.read("/health/ready")
    hosts = {worker["host"] for worker in ready["workers"]}
    cluster.hold("the API knows all workers", len(hosts) == cluster.workers, f"{len(hosts)} hosts")
    storage = ready["dependencies"]["storage"]
    cluster.hold("the API reaches the bucket", storage["ok"], storage["detail"])


def takes_videos(cluster: Cluster) -> None:
    """What is uploaded lies in the bucket, and with no worker."""
    for ep_id in cluster.episodes:
        cluster.api.upload(ep_id, cluster.video)
    stored = {key.split("/")[2] for key in cluster.bucket.names() if "/videos/" in f"/{key}"}
    cluster.hold("uploads are in the bucket", stored >= set(cluster.episodes), len(stored))
    with_videos = [w for w in cluster.engine.containers("worker") if _videos(cluster, w)]
    cluster.hold("no worker has a video before its job", not with_videos, len(with_videos))


def works_through_a_batch(cluster: Cluster) -> None:
    """Each job succeeds, more than one container has some, and all find the same."""
    asked = {"episodes": cluster.episodes, "segments": "off", "save_crops": True}
    begun = time.monotonic()
    made = cluster.api.ask("POST", "/celery_jobs/detect_track/batch", json=asked).json()
    path = f"/celery_jobs/detect_track/batch/{made['batch_id']}"
    batch = wait_for(_ended(cluster, path), 540, "the end of the batch")
    took = time.monotonic() - begun
    counts = {state: number for state, number in batch["counts"].items() if number}
    done = counts == {"success": len(cluster.episodes)}
    cluster.hold("a batch succeeds", done, f"{counts} in {took:.0f} s")
    jobs = [cluster.api.job(item["job_id"]) for item in batch["items"]]
    shares = [cluster.host_of(job) for job in jobs]
    numbers = sorted((shares.count(host) for host in set(shares)), reverse=True)
    cluster.hold("its jobs went to all workers", len(numbers) == cluster.workers, numbers)
    found = {(job["result"]["detections"], job["result"]["tracks"]) for job in jobs}
    cluster.hold("the same video, the same results", len(found) == 1, sorted(found))


def shows_results(cluster: Cluster) -> None:
    """The API answers with results that its volume never had; a new volume changes nothing."""
    (api,) = cluster.engine.containers("api")
    listed = cluster.engine.docker("exec", api.id, "find", "/data/manifests", "-name", "*.jsonl")
    cluster.hold("the API's volume has no results yet", not listed.strip(), listed.count("\n"))
    wait_for(lambda: _known(cluster), 60, "the runs in the API's lists")
    before = _results(cluster)
    cluster.hold("they are read all the same", all(before), f"{len(before)} files")
    cluster.engine.compose("rm", "-sf", "api")
    cluster.engine.docker("volume", "rm", f"{PROJECT}_data")
    cluster.engine.compose("up", "-d", "--no-build", "--no-recreate", "--wait", "api")
    begun = time.monotonic()
    wait_for(lambda: _known(cluster), 60, "the episodes in an API with an empty volume")
    took = time.monotonic() - begun
    cluster.hold(
        "an API with an empty volume has all", _results(cluster) == before, f"{took:.1f} s"
    )
    part = {"Range": "bytes=0-99"}
    answer = cluster.api.ask("GET", f"/episodes/{cluster.episodes[0]}/video", headers=part)
    cluster.hold("and the video", answer.status_code == 206, len(answer.content))


def divides_a_job(cluster: Cluster) -> None:
    """A job that several workers share by the bucket finds what one of them found."""
    ep_id = cluster.episodes[0]
    wait_for(lambda: _known(cluster), 60, "the runs in the API's lists")
    whole = cluster.api.ask("GET", f"/episodes/{ep_id}/runs/latest/tracks").content
    job = cluster.api.ended(cluster.api.queue(ep_id, segments=4, save_crops=True))
    cluster.hold("a divided job succeeds", job["state"] == "success", f"{job['attempts']} attempts")
    path = f"/episodes/{ep_id}/runs/{job['result']['run_id']}"
    parts = cluster.api.read(path)["parts"]
    hosts = {part["host"] for part in parts}
    cluster.hold(
        "several hosts have made parts", len(hosts) > 1, f"{len(parts)}, {len(hosts)} hosts"
    )
    divided = cluster.api.ask("GET", f"{path}/tracks").content
    cluster.hold("its tracks are those of an undivided job", divided == whole, len(divided))
    left = wait_for(lambda: not _parts(cluster), 30, "no parts in the bucket")
    cluster.hold("no part is left in the bucket", left, len(_parts(cluster)))


def outlives_a_worker(cluster: Cluster) -> None:
    """The job of a container that is killed ends on another one."""
    job_id = cluster.api.queue(cluster.episodes[0], **_SLOW)
    first = cluster.host_of(cluster.api.worked_on(job_id))
    (victim,) = [w for w in cluster.engine.containers("worker") if w.host == first]
    cluster.engine.docker("kill", victim.id)
    begun = time.monotonic()
    moved = wait_for(_moved(cluster, job_id, first), 120, "another worker that takes the job")
    took = time.monotonic() - begun
    cluster.hold("a killed worker's job goes to another one", True, f"after {took:.0f} s")
    cluster.hold("that is its second attempt", moved["attempts"] == 2, moved["attempts"])
    job = cluster.api.ended(job_id)
    cluster.hold("and succeeds", job["state"] == "success", job["state"])
    cluster.engine.docker("start", victim.id)
    wait_for(_healthy(cluster, "worker"), 60, "the worker that was killed")
    cluster.hold("the container comes back", True, "healthy")


def drains(cluster: Cluster) -> None:
    """All workers end within the grace, and the job that they had goes on after it."""
    job_id = cluster.api.queue(cluster.episodes[1], **_SLOW)
    cluster.api.worked_on(job_id)
    begun = time.monotonic()
    cluster.engine.compose("stop", "worker")
    took = time.monotonic() - begun
    cluster.hold("workers that are stopped end in time", took < cluster.grace_s, f"{took:.0f} s")
    codes = [worker.exit_code for worker in cluster.engine.containers("worker")]
    cluster.hold("by themselves", codes == [0] * cluster.workers, f"exit codes {codes}")
    handed = cluster.api.job(job_id)
    back = handed["state"] in ("queued", "retrying")
    cluster.hold("the job was handed back", back, handed["state"])
    cluster.engine.compose("start", "worker")
    job = cluster.api.ended(job_id)
    cluster.hold("and succeeds later", job["state"] == "success", f"{job['attempts']} attempts")
    wait_for(_healthy(cluster, "worker"), 60, "the workers")


def says_no_secret(cluster: Cluster) -> None:
    """No key is in a log, an answer, an object of the bucket or a file of a volume."""
    said = [text.encode() for text in cluster.secrets]
    logs = [cluster.engine.logs(one).encode() for one in cluster.containers()]
    objects = [cluster.bucket.get(key) for key in cluster.bucket.names()]
    for name, texts in (("logs", logs), ("answers", cluster.api.answers), ("objects", objects)):
        guilty = sum(any(secret in text for secret in said) for text in texts)
        cluster.hold(f"no key in {name}", guilty == 0, f"{guilty} of {len(texts)}")
    pattern = "\n".join(cluster.secrets)
    files = []
    for one in cluster.engine.containers("api", "worker"):
        look = "grep -rlFf - /data /tmp; true"
        command = ("exec", "-i", one.id, "sh", "-c", look)
        files += cluster.engine.docker(*command, text=pattern).split()
    cluster.hold("no key in files", not files, files or "API and workers")


def ends_healthy(cluster: Cluster) -> None:
    states = [(one.service, one.health) for one in cluster.containers()]
    sick = [service for service, health in states if health != "healthy"]
    cluster.hold("all containers are healthy in the end", not sick, sick or len(states))
    errors = [
        line
        for one in cluster.engine.containers("api", "worker")
        for line in cluster.engine.logs(one).splitlines()
        if re.search(r'"level": "(error|critical)"', line)
    ]
    cluster.hold("no error in a log", not errors, errors[:2] or "none")


CHECKS: tuple[Callable[[Cluster], None], ...] = (
    starts,
    takes_videos,
    works_through_a_batch,
    shows_results,
    divides_a_job,
    outlives_a_worker,
    drains,
    says_no_secret,
    ends_healthy,
)


def _videos(cluster: Cluster, container: Container) -> str:
    look = "find /data/videos -type f 2>/dev/null; true"
    return cluster.engine.docker("exec", container.id, "sh", "-c", look)


def _parts(cluster: Cluster) -> list[str]:
    return [key for key in cluster.bucket.names() if "/parts/" in f"/{key}"]


def _ended(cluster: Cluster, path: str) -> Callable[[], Any]:
    def batch() -> Any:
        found = cluster.api.read(path)
        return None if found["state"] == "active" else found

    return batch


def _moved(cluster: Cluster, job_id: str, first: str) -> Callable[[], Any]:
    def job() -> Any:
        found = cluster.api.job(job_id)
        elsewhere = found["worker"] is not None and cluster.host_of(found) != first
        return found if elsewhere else None

    return job


def _healthy(cluster: Cluster, service: str) -> Callable[[], bool]:
    return lambda: all(one.health == "healthy" for one in cluster.engine.containers(service))


def _known(cluster: Cluster) -> bool:
    listed = {item["ep_id"] for item in cluster.api.read("/episodes")["items"]}
    runs = (cluster.api.read(f"/episodes/{ep_id}/runs")["total"] for ep_id in cluster.episodes)
    return listed >= set(cluster.episodes) and all(runs)


def _results(cluster: Cluster) -> list[bytes]:
    return list(_each_result(cluster))


def _each_result(cluster: Cluster) -> Iterator[bytes]:
    for ep_id in cluster.episodes:
        for name in _RESULTS:
            path = f"/episodes/{ep_id}/runs/latest/{name}"
            yield cluster.api.ask("GET", path).content
