"""Runs an episode here and now and follows it: the request is the run, and Ctrl-C ends both.

python examples/follow_local_run.py test-ep --stride 6

Needs a service (`screenalytics serve`) that has the episode, and the package httpx.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

import httpx

SILENCE_S = 30.0  # the service tells something at least every second


def follow(service: httpx.Client, ep_id: str, **options: Any) -> dict[str, Any]:
    """Runs detect/track on an episode, and prints its progress.

    Returns:
        The result of the run.

    Raises:
        SystemExit: the run was refused or failed; with the exit code of that kind of problem.
    """
    body = {"ep_id": ep_id, "execution_mode": "local", **options}
    headers = {"Accept": "application/x-ndjson"}
    with service.stream(
        "POST", "/celery_jobs/detect_track", json=body, headers=headers
    ) as response:
        if response.status_code != 200:  # refused before it began
            response.read()
            give_up(response.json())
        for line in response.iter_lines():
            event = json.loads(line)
            if event["type"] == "progress":
                done, total = event["frames_done"], event["frames_total"]
                print(f"{event['phase']}: {done} of {total} frames", file=sys.stderr)
            elif event["type"] == "log":
                print(event["message"], file=sys.stderr)
            elif event["type"] == "error":
                give_up(event["problem"])
            elif event["type"] == "result":
                result: dict[str, Any] = event
                return result
    sys.exit("The stream ended without a result.")


def give_up(problem: dict[str, Any]) -> None:
    """Ends the program with what the service says about it."""
    print(f"{problem['detail']} {problem.get('hint') or ''}", file=sys.stderr)
    raise SystemExit(problem.get("exit_code", 1))


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs an episode and follows it.")
    parser.add_argument("ep_id", help="name of the episode")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the service")
    parser.add_argument("--stride", type=int, default=6, help="process every n-th frame")
    arguments = parser.parse_args()
    key = os.environ.get("SCREENALYTICS_API_KEY")
    with httpx.Client(
        base_url=arguments.url,
        headers={} if key is None else {"X-API-Key": key},
        timeout=httpx.Timeout(5.0, read=SILENCE_S),
    ) as service:
        result = follow(service, arguments.ep_id, stride=arguments.stride)
    print(f"{result['run_id']}: {result['tracks']} tracks, {result['screen_s']:.1f} s of faces")


if __name__ == "__main__":
    main()
