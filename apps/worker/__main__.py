"""A worker as it is meant to run: `python -m apps.worker`, `screenalytics worker`.

It is `celery -A apps.worker.celery_app worker` with one run at a time, since a run uses all the
cores that it may. It asks and hears no other workers: each would tell all others when it starts,
and every two seconds that it lives. Further arguments are Celery's.
"""

from __future__ import annotations

import argparse
import sys

_CELERY = (
    *("-A", "apps.worker.celery_app", "worker", "--concurrency", "1", "--loglevel", "INFO"),
    *("--without-gossip", "--without-mingle"),
)


def parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        usage="%(prog)s [options of Celery]",
        description="Takes queued runs from Redis (SCREENALYTICS_REDIS_URL), one at a time.",
        epilog="Options are those of `celery worker`, such as --hostname NAME; "
        "`celery worker --help` lists them.",
        allow_abbrev=False,
    )


def main() -> None:
    _, rest = parser().parse_known_args()

    from celery.__main__ import main as celery

    sys.argv = ["celery", *_CELERY, *rest]
    celery()


if __name__ == "__main__":
    main()
