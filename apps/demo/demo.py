"""The main job from end to end: an episode, a server, one local request, pictures."""

from __future__ import annotations

import filecmp
import itertools
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from apps.common.certificates import certificates
from apps.common.errors import InvalidInput
from apps.common.files import shown, tail
from apps.common.layout import Layout, RunFiles
from apps.common.names import name_after
from apps.common.progress_bar import progress_bar
from apps.common.python_module import python_module, same_code
from apps.common.settings import Settings
from apps.demo import episode
from apps.results import contact_sheet
from apps.runs.episodes import video_files

START_TIMEOUT_S = 120  # of a machine that has much else to do; one that died is not waited for
_PAGE = "http://127.0.0.1:8501"  # where `make up` serves it, if nothing else is said
console = Console()


class DemoFailed(Exception):
    """Says what went wrong, in a sentence."""


def run_demo(video: Path | None, data_root: Path | None, stride: int) -> int:
    """Runs the demo on a console; returns the exit status.

    Args:
        video: file to run; None takes the demo episode.
        data_root: folder of videos and results; that of the settings where None.
        stride: frames from one processed frame to the next, at least 1.
    """
    try:
        root = data_root or Settings.read().data_root
        demo(video, root.resolve(), stride)
    except InvalidInput as error:
        console.print(f"[red]error:[/] {escape(error.message)}", highlight=False)
        return error.exit_code
    except DemoFailed as failure:
        console.print(
            f"[red]The demo failed:[/] {escape(str(failure))}", markup=True, highlight=False
        )
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    return 0


def demo(video: Path | None, data_root: Path, stride: int) -> None:
    if video is not None and not video.is_file():
        raise DemoFailed(f"there is no file {video}")
    if video is None:
        ep_id = episode.DEMO_EP_ID
        if episode.main(["--data-root", str(data_root)]) != 0:
            raise DemoFailed("the demo episode could not be rendered")
    with server(data_root) as client:
        if video is not None:
            ep_id = upload(client, video, Layout(data_root))
        result = run(client, {"ep_id": ep_id, "stride": stride})
    show(result, data_root)


@contextmanager
def server(data_root: Path) -> Iterator[httpx.Client]:
    """The API on a free port of this machine, for the time of the block."""
    data_root.mkdir(parents=True, exist_ok=True)
    log = data_root / "demo-server.log"
    command = [*python_module("apps.api"), "--host", "127.0.0.1", "--port", "0"]
    environment = {**os.environ, "SCREENALYTICS_DATA_ROOT": str(data_root)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=same_code(environment), stdout=output, stderr=output
        )
    try:
        url = f"http://127.0.0.1:{wait_for_port(process, log)}"
        with httpx.Client(base_url=url, timeout=None, verify=certificates()) as client:
            wait_until_live(client, process, log)
            console.print(f"API on {url} (docs at /docs)", highlight=False)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)


def wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port that the system gave the API: one that was looked for may be another's by then."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(psutil.Error):
            for connection in psutil.Process(process.pid).net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    return int(connection.laddr.port)
        time.sleep(0.05)
    raise DemoFailed("the API did not start: " + " ".join(tail(log, 3)))


def wait_until_live(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/health/live", timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise DemoFailed("the API did not start: " + " ".join(tail(log, 3)))


def upload(client: httpx.Client, video: Path, layout: Layout) -> str:
    """Uploads the video unless it is there already; its episode name.

    Where another video has the name of its file, it gets a number.
    """
    for ep_id in names_for(video):
        stored = video_files(layout.episode(ep_id))
        if not stored:
            with video.open("rb") as stream:
                answer = client.post("/episodes", data={"ep_id": ep_id}, files={"file": stream})
            if answer.status_code == 409:  # another one came first
                continue
            if answer.status_code != 201:
                raise DemoFailed(problem(answer.json()))
        elif not filecmp.cmp(stored[0], video, shallow=False):
            continue
        console.print(f"Episode {ep_id}", highlight=False)
        return ep_id
    raise AssertionError("there is always another number")


def names_for(video: Path) -> Iterator[str]:
    """An episode's name after the video's, then that with numbers from 2 on."""
    name = name_after(video.stem)
    yield name
    yield from (f"{name}-{number}" for number in itertools.count(2))


def run(client: httpx.Client, requested: dict[str, Any]) -> dict[str, Any]:
    """The one request of local mode, with its progress as it comes."""
    body = {**requested, "execution_mode": "local", "save_crops": True, "save_preview": True}
    console.print(f"POST /celery_jobs/detect_track {json.dumps(body)}", highlight=False)
    headers = {"accept": "application/x-ndjson"}
    with (
        progress_bar(console) as bar,
        client.stream("POST", "/celery_jobs/detect_track", json=body, headers=headers) as answer,
    ):
        if answer.status_code != 200:
            raise DemoFailed(problem(json.loads(answer.read())))
        task = bar.add_task("starting", total=None, rate=0.0, cpu=0.0)
        for line in answer.iter_lines():
            event = json.loads(line)
            if event["type"] == "progress":
                bar.update(
                    task,
                    description=event["phase"],
                    completed=event["frames_done"],
                    total=event["frames_total"],
                    rate=event["analyzed_fps"],
                    cpu=event["cpu_percent"] or 0.0,
                )
            elif event["type"] == "log":
                bar.console.print(event["message"], markup=False, highlight=False)
            elif event["type"] == "error":
                raise DemoFailed(problem(event["problem"]))
            elif event["type"] == "result":
                return dict(event)
    raise DemoFailed("the answer broke off before the result")


def problem(body: dict[str, Any]) -> str:
    return f"{body.get('detail', body)} {body.get('hint', '')}".strip()


def show(result: dict[str, Any], data_root: Path) -> None:
    folder = (data_root / result["artifacts"]["manifest"]).parent
    sheet = contact_sheet.write(folder)
    cpu, cap = result["cpu"], result["options"]["max_cpu_percent"]
    table = Table(title=f"{result['ep_id']}, run {result['run_id']}", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = [
        ("Frames processed", f"{result['frames_done']} of {result['frames_total']}"),
        ("Faces found", str(result["detections"])),
        ("Tracks", str(result["tracks"])),
        ("On the screen", f"{result['screen_s']:.1f} ± {result['screen_error_s']:.1f} s of faces"),
        ("Rate", f"{result['analyzed_fps']:g} processed frames a second"),
        ("Wall clock", f"{result['elapsed_seconds']:.1f} s, start and preview included"),
        (
            "CPU",
            f"mean {cpu['mean_percent']:g} %, peak {cpu['peak_percent']:g} % "
            f"(budget {'none' if cap is None else f'{cap:g} %'}; 100 % is one core)",
        ),
        ("Memory", f"peak {result['peak_rss_mb']:g} MB"),
        ("Provider", f"{result['provider']}, {result['cpu_threads']} threads"),
        ("Profile", f"{result['profile']}, stride {result['options']['stride']}"),
        ("Warnings", "\n".join(result["warnings"]) or "none"),
        ("Results", shown(folder)),
        ("Preview", shown(RunFiles(folder).preview)),
        ("Contact sheet", "no tracks" if sheet is None else shown(sheet)),
    ]
    for name, value in rows:
        table.add_row(name, value)
    console.print(table, highlight=False)
    console.print(
        next_steps(result["ep_id"], result["run_id"], data_root),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def next_steps(ep_id: str, run_id: str, data_root: Path) -> str:
    """Three lines: open the page, look at the results, run a video of one's own."""
    made = "MAKELEVEL" in os.environ  # by `make demo`, else by the command
    rooted = ""
    if data_root != Settings.read().data_root.resolve():
        rooted = f"SCREENALYTICS_DATA_ROOT={shlex.quote(str(data_root))} "
    results = f"{_PAGE}/results?{urlencode({'episode': ep_id, 'run': run_id})}"
    return "\n".join(
        (
            "What to do next:",
            f"1. Open the page: {rooted}{'make up' if made else 'screenalytics up'}, then {_PAGE}",
            f"2. Look at these results on it: {results}",
            "3. Run your own video: "
            + ("make demo VIDEO=FILE" if made else "screenalytics demo --video FILE")
            + ", or upload it on the page",
        )
    )
