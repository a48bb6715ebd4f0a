"""Makes a clip of an episode's video: `python -m apps.cli.make_clip`.

It is started by `apps.runs.launch`: reads a `ClipSpec` line on its standard input, and writes one
JSON event a line. The file appears in the cache as a whole or not at all.
"""

from __future__ import annotations

import sys

from apps.cli.start import started_with_line


def main() -> int:
    lifeline = started_with_line()

    from apps.common.loading import loading

    with loading():
        from apps.cli.clip import make

    return make(lifeline)


if __name__ == "__main__":
    sys.exit(main())
