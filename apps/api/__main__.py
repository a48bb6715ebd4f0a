"""Starts the web service as it is meant to run: `screenalytics serve`, `python -m apps.api`.

It is `uvicorn apps.api.main:app` with its options, and with limits for slow clients.
"""

from __future__ import annotations

import argparse
import sys

from apps.api.one_process import REFUSED
from apps.common.loading import begin_loading

# One process: see `apps.api.one_process`.
_OPTIONS = (
    *("--ws", "none"),
    *("--workers", "1"),
    *("--timeout-graceful-shutdown", "2"),
)


def main() -> None:
    asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    asked.add_argument("--workers", default="1")
    if asked.parse_known_args()[0].workers != "1":
        sys.stderr.write(f"error: {REFUSED}\n")
        sys.exit(2)
    begin_loading()  # until the service is up: see its `lifespan`

    from uvicorn.main import main as uvicorn

    from apps.web.connections import CONNECTION

    options = ["--http", CONNECTION, *_OPTIONS, *sys.argv[1:]]
    uvicorn(["apps.api.main:app", *options], prog_name=sys.argv[0])


if __name__ == "__main__":
    main()
