"""The command `screenalytics`: one name for all that the product does.

Nothing is loaded before it is known what is wanted, so that `--help` is there at once and a run
limits its threads before any library is imported.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import apps

PROGRAM = "screenalytics"


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Args:
        module: whose `main()` it is; where it has a `parser()`, that knows its options.
        help: what it does, one line.
        checkout_only: it belongs to the laboratory, which is not part of the installed package.
    """

    module: str
    help: str
    checkout_only: bool = False


COMMANDS = {
    "run": Command("apps.cli.episode_run", "find and follow every face of one episode"),
    "queue": Command("apps.cli.batch", "many episodes for the workers, as one batch"),
    "serve": Command("apps.api.__main__", "the web service"),
    "worker": Command("apps.worker.__main__", "take queued runs from Redis"),
    "page": Command("apps.ui.__main__", "the page, for a web service that is there"),
    "up": Command("apps.cli.up", "Redis, web service, worker and page together"),
    "demo": Command("apps.cli.demo", "the main job from end to end, on a demo episode"),
    "compare": Command("apps.comparison.command", "the same run by every path, side by side"),
    "diagnose": Command("apps.cli.diagnose", "why was a run slow or hot?"),
    "list": Command("apps.cli.listing", "the episodes that there are, or the runs of one"),
    "export": Command("apps.cli.export", "a run's detections or people for other programs"),
    "people": Command("apps.cli.people", "remove what is known of people"),
    "prune": Command("apps.cli.prune", "old runs: what would go by a policy, or has it go"),
    "storage": Command("apps.cli.storage", "store runs that are not in the storage yet"),
    "contact-sheet": Command("apps.cli.contact_sheet", "one picture of all tracks of a run"),
    "flower": Command("apps.worker.flower", "a look into the queue (extra `flower`)"),
    "evaluate": Command("lab.evaluate", "tracks and cuts against the truth", checkout_only=True),
    "bench": Command("lab.bench", "a run beside a plain loop and the limit", checkout_only=True),
    "completion": Command("apps.cli.completion", "prints completions for a shell"),
}


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.command is None:
        _parser().print_help()
        return 0
    command = COMMANDS[arguments.command]
    if command.checkout_only:
        _of_the_checkout(arguments.command, command, arguments.rest)
    sys.argv = [f"{PROGRAM} {arguments.command}", *arguments.rest]
    return int(importlib.import_module(command.module).main() or 0)


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {it.help}" for name, it in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Finds and follows every face in video episodes.",
        usage=f"{PROGRAM} [-h] [--version] COMMAND ...",
        epilog=f"commands:\n{listing}\n\n`{PROGRAM} COMMAND --help` tells more of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {apps.__version__}")
    parser.add_argument("command", nargs="?", choices=COMMANDS, help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _of_the_checkout(name: str, command: Command, rest: list[str]) -> NoReturn:
    """Becomes the laboratory's program, which is found beside the package in a checkout."""
    from apps.common.python_module import python_module, same_code

    beside = Path(apps.__file__).resolve().parents[1] / command.module.partition(".")[0]
    if not beside.is_dir() and find_spec(command.module.partition(".")[0]) is None:
        sys.exit(
            f"error: `{PROGRAM} {name}` needs a checkout of the source and its development "
            "packages (make setup-dev)."
        )
    os.execve(sys.executable, [*python_module(command.module), *rest], same_code())


if __name__ == "__main__":
    sys.exit(main())
