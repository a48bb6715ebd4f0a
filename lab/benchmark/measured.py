#!/usr/bin/env python3
"""Runs a command and measures it from outside: `measured.py COMMAND...`.

Its output is one JSON object: exit code, wall clock, CPU and peak memory as `wait4` tells them
(waited-for children included), and the command's lines of output with the second of their coming.
It imports the standard library only and stays small: Linux counts the memory of whoever started a
process into that process's peak.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; getrusage(2) of either system


def main() -> int:
    started = time.monotonic()
    lines: list[tuple[float, str]] = []
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.append((time.monotonic() - started, line.decode("utf-8", "replace").strip()))
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    report = {
        "exit_code": process.returncode,
        "wall_seconds": wall,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_rss_mb": usage.ru_maxrss * _RSS_UNIT / 1e6,
        "lines": lines,
    }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
