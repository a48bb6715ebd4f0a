"""Several workers in containers that share nothing but Redis and a bucket, checked for real.

`python -m lab.cluster VIDEO` needs Docker with Compose and the image (`docker compose build`); the
bucket is moto's server, in a container of its own. Each line is a check; all that it started is
removed at the end, volumes included. Ports 8000, 8501 and 5055 of loopback must be free.
"""

from __future__ import annotations

import argparse
import secrets
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from apps.worker.drain import ENDING_SECONDS
from lab.arguments import positive
from lab.cluster.checks import CHECKS, Cluster
from lab.cluster.engine import Engine
from lab.cluster.service import BUCKET, Api, Bucket

_DRAIN_SECONDS = 6


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m lab.cluster", description=__doc__)
    made.add_argument("video", type=Path)
    made.add_argument("--workers", type=positive, default=2)
    made.add_argument("--episodes", type=positive, default=6, help="in the batch (default: 6)")
    made.add_argument("--compose", default="docker compose", help="the command of Compose")
    made.add_argument("--no-build", action="store_true", help="the bucket's image is there")
    made.add_argument("--keep", action="store_true", help="leave the containers as they are")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 where a check failed."""
    asked = parser().parse_args(arguments)
    key, secret, token = (secrets.token_hex(20) for _ in range(3))
    grace_s = _DRAIN_SECONDS + int(ENDING_SECONDS)
    environment = {
        "SCREENALYTICS_API_KEY": key,
        "SCREENALYTICS_STORAGE": f"s3://{BUCKET}/cluster",
        "SCREENALYTICS_DRAIN_SECONDS": str(_DRAIN_SECONDS),
        "SCREENALYTICS_STOP_GRACE": f"{grace_s}s",
        "SCREENALYTICS_STORAGE_REFRESH_S": "2",
        "AWS_ENDPOINT_URL": "http://bucket:5000",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIAOFTHECHECK",
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": token,
    }
    engine = Engine(shlex.split(asked.compose), environment)
    cluster = Cluster(
        engine=engine,
        api=Api(key),
        bucket=Bucket(),
        video=asked.video,
        episodes=[f"show-s01e{number:02}" for number in range(1, asked.episodes + 1)],
        workers=asked.workers,
        secrets=[key, secret, token],
        grace_s=grace_s,
    )
    begun = time.monotonic()
    try:
        if not asked.no_build:
            engine.compose("build", "bucket")
        for check in CHECKS:
            check(cluster)
    finally:
        if not asked.keep:
            engine.down()
    print(f"{len(cluster.failed)} failed, {time.monotonic() - begun:.0f} s")
    return int(bool(cluster.failed))


if __name__ == "__main__":
    sys.exit(main())
