"""Detect and track every face of one episode: `python tools/episode_run.py --ep-id test-ep`."""

from __future__ import annotations

import sys
from pathlib import Path

from apps.common.lifeline import Lifeline

_LAUNCHED = ["--spec", "-"]  # how `apps.runs.launch` begins its arguments


def main() -> int:
    # Before anything else is imported: from here on it dies with its launcher.
    lifeline = Lifeline() if sys.argv[1:3] == _LAUNCHED else None

    from apps.common.streams import secure_standard_streams

    secure_standard_streams()  # before anything is opened

    import json

    from apps.cli.arguments import parse
    from apps.common.cpu_limits import apply_global_cpu_limits
    from apps.common.errors import InvalidInput

    arguments = parse()
    spec_line: bytes | None = None
    threads: int | None = arguments.cpu_threads
    try:
        if arguments.spec == "-":
            lifeline = lifeline or Lifeline()
            spec_line = lifeline.line
        elif arguments.spec is not None:
            spec_line = _read_spec(Path(arguments.spec))
        if spec_line is not None:
            threads = json.loads(spec_line)["resolution"]["options"]["cpu_threads"]
        apply_global_cpu_limits(threads)  # before anything below imports numpy
    except InvalidInput as error:
        sys.stderr.write(f"error: {error.message}\n")
        return error.exit_code

    from apps.common.loading import loading

    with loading():
        from apps.cli.execution import run

    return run(arguments, spec_line, lifeline)


def _read_spec(source: Path) -> bytes:
    from apps.common.errors import InvalidInput

    try:
        return source.read_bytes()
    except OSError as error:
        raise InvalidInput(f"--spec: {error.strerror}.", hint="Name a readable file.") from None


if __name__ == "__main__":
    sys.exit(main())
