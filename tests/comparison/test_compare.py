"""The comparison of the execution modes: real server, real runs, and its arithmetic."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest
from rich.console import Console

from apps.comparison import command as compare_command
from apps.comparison import report
from apps.comparison.figures import (
    Comparison,
    Facts,
    Measurement,
    differences,
    remarks,
    summarise,
)
from apps.comparison.runners import problem_text, server_sent_events
from apps.comparison.sampler import Usage
from lab.paths import CHECKOUT
from lab.processes.ports import free_port
from lab.processes.queue import Redis, worker
from lab.processes.service import (
    Server,
    add_episode,
    clean_environment,
    exit_code,
    gone,
    serving,
    wait_for,
)

STRIDE = "30"


@dataclass(frozen=True)
class Said:
    """How the program ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


Ask = Callable[..., Said]


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Redis:
    """The server's, which is away until a test starts it."""
    return Redis(tmp_path_factory.mktemp("redis"))


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, test_data: Path, queue: Redis
) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("compare") / "data"
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    settings = {"SCREENALYTICS_REDIS_URL": queue.url, "SCREENALYTICS_LOCAL_NICE": "0"}
    with serving(root, **settings) as running:
        yield running


def command(server: Server, *arguments: str | Path) -> list[str]:
    where = ("--url", server.url, "--data-root", server.data_root)
    script = CHECKOUT / "tools" / "compare_modes.py"
    return [sys.executable, *map(str, (script, *where, *arguments))]


def compare(server: Server, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(server, *arguments),
        capture_output=True,
        text=True,
        timeout=100,
        env=clean_environment(
            COLUMNS="200", INSIGHTFACE_HOME=str(server.data_root.parent / "insightface")
        ),
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.fixture
def ask(server: Server, capfd: pytest.CaptureFixture[str]) -> Iterator[Ask]:
    """The program in this process: for what it refuses before anything is run."""
    before = signal.getsignal(signal.SIGTERM)

    def asking(*arguments: str | Path) -> Said:
        with pytest.MonkeyPatch.context() as patch:
            for name in os.environ.keys() - clean_environment().keys():
                patch.delenv(name)
            patch.setattr("sys.argv", command(server, *arguments)[1:])
            for name in ("stdout", "stderr"):  # it has streams of its own
                patch.setattr(sys, name, getattr(sys, name))
            try:
                code = compare_command.main()
            except SystemExit as end:
                code = int(end.code or 0)
        return Said(code, *capfd.readouterr())

    yield asking
    signal.signal(signal.SIGTERM, before)


def saved(folder: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((folder / "comparison.json").read_text())
    return body


def test_rounds(server: Server) -> None:
    """Beside the command line, and another path begins each; one that is away is left out."""
    done = compare(server, "--ep-id", "talk", "--repeat", "2", "--stride", STRIDE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not the same work" not in done.stdout
    assert "Note: redis was left out: " in done.stdout
    (folder,) = (server.data_root / "comparisons").iterdir()
    body = saved(folder)
    assert [s["mode"] for s in body["summaries"]] == ["cli", "sse", "local"]
    order = [(m["round"], m["mode"]) for m in body["measurements"]]
    assert order == [(1, "cli"), (1, "sse"), (1, "local"), (2, "sse"), (2, "local"), (2, "cli")]
    for measured in body["measurements"]:
        check_measurement(server, measured)
    assert body["summaries"][0]["overhead_seconds"] == 0
    assert "| local | 2 |" in (folder / "comparison.md").read_text()
    picture = cv2.imread(str(folder / "comparison.png"))
    assert picture is not None
    assert picture.std() > 20


def check_measurement(server: Server, measured: dict[str, Any]) -> None:
    """The sampler outside and the run's own meter agree, and the options arrived."""
    facts, usage = measured["facts"], measured["usage"]
    answer = server.client.get(f"/episodes/talk/runs/{measured['run_id']}").json()
    assert answer["execution_mode"] == measured["mode"]
    assert facts["options"]["stride"] == int(STRIDE)
    assert facts["sources"]["stride"] == "request"
    assert facts["frames_done"] == answer["result"]["frames_done"] > 0
    # A run this short is mostly start and end, and cannot count all of its own.
    assert usage["cpu_seconds"] == pytest.approx(answer["cpu"]["seconds"], rel=0.25, abs=0.4)
    assert 0 < usage["mean_percent"] <= usage["peak_percent"]
    # From outside a child that was just forked counts its parent's pages once more.
    assert 0.7 < usage["peak_rss_mb"] / answer["peak_rss_mb"] < 2.3
    assert usage["nice"] == 0
    assert measured["wall_seconds"] >= 0.8 * facts["elapsed_seconds"]


def test_a_mode_that_was_asked_for_and_is_away(server: Server, ask: Ask) -> None:
    """It is said before anything runs, not after the other paths."""
    before = server.client.get("/episodes/talk/runs").json()["total"]
    done = ask("--ep-id", "talk", "--modes", "sse,local,redis", "--stride", STRIDE)
    check_failure(done, "redis cannot be used: ", "make up")
    assert server.client.get("/episodes/talk/runs").json()["total"] == before


def test_what_was_measured_is_kept_when_paths_fail(tmp_path: Path, test_data: Path) -> None:
    """Here the server gives its runs no time. Without --modes, one that is away is no failure."""
    root = tmp_path / "data"
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    arguments = ("--ep-id", "talk", "--repeat", "2", "--stride", STRIDE, "--out", tmp_path / "out")
    settings = {"SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0"}
    with serving(root, SCREENALYTICS_LOCAL_TIMEOUT_S="0.05", **settings) as server:
        done = compare(server, *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "longer than 0.05 s" in done.stdout
    body = saved(tmp_path / "out")
    order = [(m["round"], m["mode"]) for m in body["measurements"]]
    assert order == [(1, "cli"), (2, "cli")]
    for mode in ("sse", "local", "redis"):
        assert f"Note: {mode} was left out: " in done.stdout
        assert [note for note in body["notes"] if note.startswith(f"{mode} was left out")]


def test_every_path_with_all_options(server: Server, queue: Redis, tmp_path: Path) -> None:
    try:
        queue.start()
        with worker(server.data_root, queue.url):
            done = compare(
                server, "--ep-id", "talk", "--repeat", "1", "--out", tmp_path / "out",
                "--profile", "balanced", "--stride", STRIDE, "--fps", "10", "--det-size", "320",
                "--det-thresh", "0.4", "--cpu-threads", "1", "--max-cpu-percent", "150",
                "--save-crops", "--precision", "float32", "--small-faces", "second_look",
                "--video-stream", "0",
            )  # fmt: skip
    finally:
        queue.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    body = saved(tmp_path / "out")
    assert [s["mode"] for s in body["summaries"]] == ["cli", "sse", "local", "redis"]
    assert body["warnings"] == []
    assert len(body["measurements"]) == 4
    for measured in body["measurements"]:
        check_measurement(server, measured)
        options = measured["facts"]["options"]
        assert (options["profile"], options["fps"], options["det_size"]) == ("balanced", 10, 320)
        assert (options["cpu_threads"], options["max_cpu_percent"]) == (1, 150)
        assert options["save_crops"] is True
        assert (options["precision"], options["small_faces"]) == ("float32", "second_look")


def check_failure(done: subprocess.CompletedProcess[str] | Said, *parts: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    for part in ("error: ", *parts):
        assert part in done.stderr
    assert done.stderr.count("\n") == 1  # one sentence or two, in one line


def test_no_server(server: Server) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    check_failure(compare(server, "--ep-id", "talk", "--url", url), url, "make up")


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://127.0.0.1:port"])
def test_an_address_that_is_none(ask: Ask, url: str) -> None:
    check_failure(ask("--ep-id", "talk", "--url", url), "--url")


def test_no_such_episode(ask: Ask) -> None:
    check_failure(ask("--ep-id", "nobody"), "'nobody' does not exist", "GET /episodes")


def test_another_data_root(ask: Ask, tmp_path: Path) -> None:
    done = ask("--ep-id", "talk", "--data-root", tmp_path)
    check_failure(done, "not in this data root", "--data-root")


def test_an_option_that_the_run_refuses(ask: Ask) -> None:
    done = ask("--ep-id", "talk", "--profile", "fast", "--modes", "local")
    check_failure(done, "fast", "balanced")


@pytest.mark.parametrize(
    "requested", [("--modes", "cloud"), ("--modes", ","), ("--repeat", "0"), ("--repeat", "x")]
)
def test_bad_arguments(ask: Ask, requested: tuple[str, str]) -> None:
    done = ask("--ep-id", "talk", *requested)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def slow(server: Server) -> list[str]:
    options = ("--stride", "1", "--max-cpu-percent", "30", "--modes", "local")
    return command(server, "--ep-id", "show", *options)


def test_a_busy_episode_and_an_interrupted_comparison(server: Server, ask: Ask) -> None:
    """Ctrl-C ends the run that it had started."""
    process = subprocess.Popen(
        slow(server), env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    with process:
        try:
            files = server.data_root / "manifests" / "show" / "runs"
            wait_for(lambda: [*map(phase, files.glob("*/progress.json"))] == ["running"], 60, "it")
            check_failure(ask("--ep-id", "show"), "is running")
            family = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(2)
            assert exit_code(process) == 130
            assert b"Traceback" not in process.communicate()[1]
        finally:
            process.terminate()
    assert family
    assert gone(family)
    (run,) = server.client.get("/episodes/show/runs").json()["items"]
    assert run["status"] == "cancelled"


def phase(path: Path) -> str:
    return str(json.loads(path.read_bytes())["phase"])


# ---- the arithmetic, without runs

FACTS = Facts(
    options={"stride": 6},
    sources={"stride": "request"},
    provider="CPUExecutionProvider",
    source_fingerprint="abc",
    started_at="2026-01-01T00:00:00+00:00",
    elapsed_seconds=9.0,
    frames_done=100,
    detections=50,
    tracks=3,
    analyzed_fps=25.0,
    times={},
    warnings=[],
)
USAGE = Usage(9.0, 18.0, 200.0, 250.0, 300.0, 0)


def measured(mode: str, wall: float, number: int = 1, **facts: Any) -> Measurement:
    return Measurement(mode, number, f"{mode}-{number}", wall, USAGE, replace(FACTS, **facts))


def test_medians_and_overhead() -> None:
    runs = [measured("cli", wall, n) for n, wall in enumerate((10.0, 30.0, 11.0))]
    runs += [measured("local", wall, n) for n, wall in enumerate((12.1, 12.0, 50.0))]
    cli, local = summarise(runs, ("cli", "local", "redis"))
    assert (cli.wall_seconds, cli.overhead_seconds, cli.overhead_percent) == (11.0, 0.0, 0.0)
    assert (local.wall_seconds, local.overhead_seconds, local.overhead_percent) == (12.1, 1.1, 10.0)
    assert (local.mean_percent, local.peak_percent, local.runs) == (200.0, 250.0, 3)


def test_the_same_work_has_no_warning() -> None:
    assert differences([measured("cli", 1.0), measured("local", 2.0, analyzed_fps=1.0)]) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"options": {"stride": 12}}, "local has stride 12, cli 6"),
        ({"frames_done": 99}, "local has frames 99, cli 100"),
        ({"tracks": 4}, "local has tracks 4, cli 3"),
        ({"provider": "X"}, "local has provider X, cli CPUExecutionProvider"),
        ({"source_fingerprint": "def"}, "local has code def, cli abc"),
    ],
)
def test_other_work_is_a_warning(facts: dict[str, Any], expected: str) -> None:
    runs = [measured("cli", 1.0), measured("local", 2.0, **facts), measured("local", 2.0, **facts)]
    warnings = differences(runs)
    assert warnings == [expected]  # said once
    shown = everywhere(runs, warnings)
    assert all("not the same work" in text and expected in text for text in shown)


def everywhere(runs: list[Measurement], warnings: list[str]) -> tuple[str, str]:
    """The comparison on a terminal and as Markdown."""
    summaries = summarise(runs, ("cli", "local"))
    comparison = Comparison("talk", "u", "now", 2, 1, summaries, warnings, [], runs)
    console = Console(file=io.StringIO(), width=200)
    console.print(report.table(comparison))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue(), report.markdown(comparison)


def test_a_run_that_could_not_be_seen(tmp_path: Path) -> None:
    runs = [measured("cli", 1.0), replace(measured("local", 2.0), usage=None)]
    summaries = summarise(runs, ("cli", "local"))
    assert summaries[1].mean_percent is None
    assert "missing" in remarks(summaries)[0]
    comparison = Comparison("talk", "u", "now", 2, 1, summaries, [], [], runs)
    assert all(path.stat().st_size > 0 for path in report.save(comparison, tmp_path / "new"))


def test_other_priorities_are_a_remark() -> None:
    nicer = replace(measured("local", 2.0), usage=replace(USAGE, nice=10))
    (remark,) = remarks(summarise([measured("cli", 1.0), nicer], ("cli", "local")))
    assert "cli 0, local 10" in remark


def test_server_sent_events() -> None:
    text = ': ping\n\nevent: progress\ndata: {"a": 1}\n\nevent:done\ndata: {"b":\ndata: 2}\n\n'
    assert list(server_sent_events(iter(text.split("\n")))) == [
        ("progress", {"a": 1}),
        ("done", {"b": 2}),
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"detail": "Bad.", "hint": "Do."}, "Bad. Do."),
        ({"problem": {"detail": "Bad."}}, "Bad."),
        ({"message": "Bad."}, "Bad."),
        ("Bad.", "Bad."),
        (None, ""),
        ({}, ""),
    ],
)
def test_problem_text(body: Any, expected: str) -> None:
    assert problem_text(body) == expected
