"""Programs that start a run as server and worker do, to be killed while the run is on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

from lab.paths import CHECKOUT
from lab.processes.service import clean_environment

ARGUMENTS = {
    "run": ["apps.cli.episode_run", "--spec", "-", "--events", "ndjson"],
    "preview": ["apps.cli.make_preview"],
    "probe": ["apps.cli.probe", "--lifeline"],
    "comparison": ["apps.comparison.command", "--events", "ndjson", "--lifeline"],
}


@dataclass
class Launch:
    """A launcher and what it started."""

    launcher: subprocess.Popen[str]
    child: psutil.Process
    heard: list[str] = field(default_factory=list)

    def hear(self, text: str) -> None:
        """Waits until the child said something."""
        assert self.launcher.stdout is not None
        for line in self.launcher.stdout:
            self.heard.append(line)
            if text in line:
                return
        raise AssertionError(f"it never said {text!r}: {self.heard}")


@contextmanager
def launched(what: str, *arguments: str, line: str = "", **environment: str) -> Iterator[Launch]:
    """Starts a launcher that has just started its child; nothing of it is left after the block."""
    launcher = subprocess.Popen(
        [sys.executable, "-m", "tests.support.launcher", *ARGUMENTS[what], *arguments],
        cwd=CHECKOUT,
        env=clean_environment(**environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdin is not None
    assert launcher.stdout is not None
    launcher.stdin.write(line + "\n")
    launcher.stdin.close()
    child = psutil.Process(int(launcher.stdout.readline()))
    try:
        yield Launch(launcher, child)
    finally:
        launcher.kill()
        launcher.wait()
        launcher.stdout.close()
        if child.is_running():
            child.kill()
