"""Processes that hold an episode, as a run does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from apps.common.contracts.manifest import Holder
from apps.common.layout import Layout
from lab.paths import CHECKOUT

HOLD = (
    "import sys\n"
    "from pathlib import Path\n"
    "from apps.common.contracts.manifest import Holder\n"
    "from apps.common.layout import Layout\n"
    "from apps.runs.lock import episode_lock\n"
    "holder = Holder.model_validate_json(sys.argv[2])\n"
    "with episode_lock(Layout(Path(sys.argv[1])), holder):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)
Hold = Callable[[Holder], "subprocess.Popen[str]"]


@contextmanager
def holding(layout: Layout) -> Iterator[Hold]:
    """Gives a function that starts a process which holds an episode until its input ends."""
    started: list[subprocess.Popen[str]] = []

    def start(holder: Holder) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(layout.root), holder.model_dump_json()],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
