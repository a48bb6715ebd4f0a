"""A worker as it is meant to run: `python -m apps.worker`, `screenalytics worker`.

It is `celery -A apps.worker.celery_app worker` with one run at a time, since a run uses all the
cores that it may. Further arguments are Celery's.
"""

from __future__ import annotations

import sys

from celery.__main__ import main as celery

_OPTIONS = ("--concurrency", "1", "--loglevel", "INFO")


def main() -> None:
    worker = ["-A", "apps.worker.celery_app", "worker", *_OPTIONS]
    sys.argv = ["celery", *worker, *sys.argv[1:]]
    celery()


if __name__ == "__main__":
    main()
