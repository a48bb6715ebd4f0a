"""Starts a module as server and worker do: `python -m tests.support.launcher MODULE ARGUMENTS`.

It reads what to tell it from its own input, prints its pid and then all that it hears from it. It
is to be killed meanwhile. It loads little, because many are started.
"""

from __future__ import annotations

import asyncio
import os
import sys

from apps.runs.child import Child


async def _launch(module: str, arguments: list[str], line: str) -> None:
    child = await Child.start(module, arguments, line or None)
    os.write(1, f"{child.pid}\n".encode())
    async for said in child.lines():
        os.write(1, said)
    await child.ended()


if __name__ == "__main__":
    asyncio.run(_launch(sys.argv[1], sys.argv[2:], sys.stdin.readline().strip()))
