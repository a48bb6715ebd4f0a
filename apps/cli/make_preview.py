"""Makes the preview of a completed run: `python -m apps.cli.make_preview`.

It is started by `apps.runs.launch`: reads a `PreviewSpec` line on its standard input, and writes
one JSON event a line. The video appears in the run's folder as a whole or not at all.
"""

from __future__ import annotations

import sys

from apps.common.lifeline import Lifeline


def main() -> int:
    lifeline = Lifeline()  # before anything else is imported

    import json

    from apps.common.cpu_limits import apply_global_cpu_limits
    from apps.common.streams import secure_standard_streams

    secure_standard_streams()  # before anything is opened
    apply_global_cpu_limits(json.loads(lifeline.line)["cpu_threads"])  # before numpy is imported

    from apps.cli.preview import make

    return make(lifeline)


if __name__ == "__main__":
    sys.exit(main())
