"""Makes the preview of a completed run: `python -m apps.cli.make_preview`.

It is started by `apps.runs.launch`: reads a `PreviewSpec` line on its standard input, and writes
one JSON event a line. The video appears in the run's folder as a whole or not at all.
"""

from __future__ import annotations

import sys

from apps.cli.start import started_with_line


def main() -> int:
    lifeline = started_with_line()

    from apps.common.loading import loading

    with loading():
        from apps.cli.preview import make

    return make(lifeline)


if __name__ == "__main__":
    sys.exit(main())
