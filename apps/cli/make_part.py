"""Makes one part of a run: `python -m apps.cli.make_part`.

It is started by `apps.runs.launch`: reads a `PartSpec` line on its standard input, and writes one
JSON event a line. The part's file has its name only when it is whole.
"""

from __future__ import annotations

import sys

from apps.cli.start import started_with_line


def main() -> int:
    lifeline = started_with_line(lambda line: line["resolution"]["options"]["cpu_threads"])

    from apps.common.loading import loading

    with loading():
        from apps.cli.queued_part import make

    return make(lifeline)


if __name__ == "__main__":
    sys.exit(main())
