"""Reads from a live API at a steady rate while a local run is on, and says how long answers took.

`python -m lab.load_reads --ep-id test-ep --rate 200 --seconds 30`; loopback only, bounded.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from urllib.parse import urlsplit

import httpx

PATHS = ("/health/live", "/episodes", "/celery_jobs", "/episodes/{ep_id}/runs", "/version")
MAX_SECONDS, MAX_RATE = 120, 1000


async def read(client: httpx.AsyncClient, path: str, times: dict[str, list[float]]) -> int:
    """One read; 1 where it failed."""
    start = time.perf_counter()
    try:
        answer = await client.get(path)
    except httpx.HTTPError:
        return 1
    times[path].append(time.perf_counter() - start)
    return int(answer.status_code != 200)


async def load(url: str, ep_id: str, rate: int, seconds: int) -> int:
    paths = [path.format(ep_id=ep_id) for path in PATHS]
    times: dict[str, list[float]] = {path: [] for path in paths}
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=url, timeout=10, limits=limits) as client:
        body = {"ep_id": ep_id, "execution_mode": "local", "stride": 1, "max_cpu_percent": 60}
        run = asyncio.create_task(
            client.post("/celery_jobs/detect_track", json=body, timeout=seconds + 60)
        )
        await asyncio.sleep(2)
        start = time.perf_counter()
        reads = []
        for number in range(rate * seconds):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            reads.append(asyncio.create_task(read(client, paths[number % len(paths)], times)))
        errors = sum(await asyncio.gather(*reads))
        took = time.perf_counter() - start
        still_running = not run.done()
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    print(f"{len(reads)} reads in {took:.1f} s, {errors} errors, run still on: {still_running}")
    for path, found in times.items():
        cuts = statistics.quantiles(found, n=100)
        print(f"  {path:30} median {cuts[49] * 1000:6.1f} ms   99th {cuts[98] * 1000:6.1f} ms")
    return int(errors > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description="Steady reads while a run is on.")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--ep-id", required=True)
    parser.add_argument("--rate", type=int, default=200, help="reads a second")
    parser.add_argument("--seconds", type=int, default=30)
    arguments = parser.parse_args()
    if urlsplit(arguments.url).hostname not in ("127.0.0.1", "localhost", "::1"):
        parser.error("only a server on this machine may be loaded")
    rate, seconds = min(arguments.rate, MAX_RATE), min(arguments.seconds, MAX_SECONDS)
    return asyncio.run(load(arguments.url, arguments.ep_id, rate, seconds))


if __name__ == "__main__":
    sys.exit(main())
