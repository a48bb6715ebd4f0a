"""Runs a command beside Ceph: `python -m lab.ceph -- pytest tests/objects`.

Ceph begins in a folder of its own and on loopback, with nothing kept (`lab.processes.ceph`); the
command's environment names its server of S3 and the keys. Without a command it runs until it is
told to end, and says what to set.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from lab.processes.bucket import KEY, SECRET, SERVER
from lab.processes.ceph import ceph_server, missing_programs
from lab.processes.ending import all_ended


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the command; 2 where Ceph is not installed."""
    p = argparse.ArgumentParser(prog="python -m lab.ceph", description=__doc__)
    p.add_argument("command", nargs="*", help="after --; none: runs until it is told to end")
    asked = p.parse_args(arguments)
    if missing := missing_programs():
        print(f"error: not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    with all_ended() as folder, ceph_server(folder) as s3:
        named = {SERVER: s3.url, f"{SERVER}_KEY": KEY, f"{SERVER}_SECRET": SECRET}
        if asked.command:
            return subprocess.run(
                asked.command, env={**os.environ, **named}, check=False
            ).returncode
        print(*(f"export {name}='{value}'" for name, value in named.items()), sep="\n", flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
