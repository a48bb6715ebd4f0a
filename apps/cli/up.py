"""`screenalytics up`: Redis, API, worker and page together."""

from __future__ import annotations

import argparse
import os
import sys

DEFAULT_PORT, DEFAULT_PAGE_PORT = 8000, 8501


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        description="Starts Redis (where none answers), API, worker and page; Ctrl-C stops all."
    )
    p.add_argument(
        "--port",
        type=_port,
        default=os.environ.get("PORT", str(DEFAULT_PORT)),
        help="of the API (default: $PORT, else %(default)s)",
    )
    p.add_argument(
        "--page-port",
        type=_port,
        default=os.environ.get("PAGE_PORT", str(DEFAULT_PAGE_PORT)),
        help="of the page (default: $PAGE_PORT, else %(default)s)",
    )
    return p


def main() -> int:
    arguments = parser().parse_args()

    from apps.stack.up import start_all

    return start_all(arguments.port, arguments.page_port)


def _port(value: str) -> int:
    port = int(value)
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError(f"{value} is not a port; use 1 to 65535")
    return port


if __name__ == "__main__":
    sys.exit(main())
