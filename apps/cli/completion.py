"""Completions for a shell: `screenalytics completion bash`."""

from __future__ import annotations

import argparse
import importlib
import sys

from apps.cli.main import COMMANDS, PROGRAM


def main() -> int:
    import shtab

    from apps.common.streams import secure_standard_streams

    secure_standard_streams()  # who reads them may have enough before the end
    own = argparse.ArgumentParser(description="Prints completions; see --help for where they go.")
    own.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)
    own.epilog = f'For bash: eval "$({PROGRAM} completion bash)", in ~/.bashrc for all times.'
    print(shtab.complete(whole_parser(), own.parse_args().shell))
    return 0


def whole_parser() -> argparse.ArgumentParser:
    """All subcommands with their options, as far as they are this product's own."""
    parser = argparse.ArgumentParser(prog=PROGRAM)
    subparsers = parser.add_subparsers()
    for name, command in COMMANDS.items():
        module = None if command.checkout_only else importlib.import_module(command.module)
        make = getattr(module, "parser", None)
        parents = [] if make is None else [make()]
        subparsers.add_parser(name, help=command.help, parents=parents, add_help=not parents)
    return parser


if __name__ == "__main__":
    sys.exit(main())
