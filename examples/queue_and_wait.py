"""Queues an episode for a worker and waits for its end; the job goes on if this program does not.

python examples/queue_and_wait.py test-ep --stride 6

Needs a service, a Redis and a worker (`screenalytics up` starts all), and the package httpx.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Any

import httpx

POLL_S = 1.0


def queue(service: httpx.Client, ep_id: str, **options: Any) -> str:
    """Makes the run a job.

    Returns:
        The job's id. `GET /celery_jobs?ep_id=...` finds it again.

    Raises:
        SystemExit: the job was refused; with the exit code of that kind of problem.
    """
    body = {"ep_id": ep_id, "execution_mode": "redis", **options}
    answer = service.post("/celery_jobs/detect_track", json=body)
    if answer.status_code != 202:
        give_up(answer.json())
    return str(answer.json()["job_id"])


def wait(service: httpx.Client, job_id: str) -> dict[str, Any]:
    """Asks until the job has ended.

    Returns:
        The result of the run, the same object as of a local run.

    Raises:
        SystemExit: it failed or was cancelled.
    """
    while True:
        job = service.get(f"/celery_jobs/{job_id}").raise_for_status().json()
        if job["state"] == "success":
            result: dict[str, Any] = job["result"]
            return result
        if job["state"] in ("failed", "cancelled"):
            give_up(job["error"])
        if job["progress"] is not None:
            done, total = job["progress"]["frames_done"], job["progress"]["frames_total"]
            print(f"{job['state']}: {done} of {total} frames", file=sys.stderr)
        time.sleep(POLL_S)


def give_up(problem: dict[str, Any]) -> None:
    """Ends the program with what the service says about it."""
    print(f"{problem['detail']} {problem.get('hint') or ''}", file=sys.stderr)
    raise SystemExit(problem.get("exit_code", 1))


def main() -> None:
    parser = argparse.ArgumentParser(description="Queues an episode and waits for its end.")
    parser.add_argument("ep_id", help="name of the episode")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the service")
    parser.add_argument("--stride", type=int, default=6, help="process every n-th frame")
    arguments = parser.parse_args()
    key = os.environ.get("SCREENALYTICS_API_KEY")
    with httpx.Client(
        base_url=arguments.url, headers={} if key is None else {"X-API-Key": key}, timeout=10.0
    ) as service:
        job_id = queue(service, arguments.ep_id, stride=arguments.stride)
        print(f"job {job_id}", file=sys.stderr)
        result = wait(service, job_id)
    print(f"{result['run_id']}: {result['tracks']} tracks, {result['screen_s']:.1f} s of faces")


if __name__ == "__main__":
    main()
