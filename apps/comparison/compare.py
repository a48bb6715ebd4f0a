"""The same run by every path, side by side: `screenalytics compare --ep-id test-ep`.

Needs a running server (`make up`) on this machine, over the same data root. The bare command line
is always among them: what the others take longer is their overhead. Rounds are interleaved and
start with another mode each, so that a machine that warms up or gets busy hits all alike.

The API's key, where it has one, comes from SCREENALYTICS_API_KEY. The web service starts this
program as well, with `--events ndjson` and `--lifeline`.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from apps.common.cpu_limits import host_thread_limit
from apps.common.errors import RunFailed, ScreenalyticsError
from apps.common.layout import Layout
from apps.common.lifeline import Lifeline
from apps.common.names import check_name, comparison_run_id, new_run_id
from apps.common.option_flags import given
from apps.common.settings import Settings
from apps.common.streams import secure_standard_streams
from apps.comparison import report
from apps.comparison.figures import (
    Comparison,
    Facts,
    Measurement,
    differences,
    remarks,
    summarise,
)
from apps.comparison.modes import BASELINE, DEFAULT_MODES
from apps.comparison.runners import (
    RUNNERS,
    ComparisonFailed,
    ModeUnavailable,
    Runner,
    Task,
    client_of,
    problem_text,
)
from apps.comparison.sampler import Sampler
from apps.comparison.voice import EventVoice, TerminalVoice, Voice
from apps.runs.episodes import find_video
from apps.runs.lock import busy_error, is_held

_STEM_LENGTH = 100  # of an episode's name in that of its comparison


def run_comparison(arguments: argparse.Namespace, lifeline: Lifeline | None) -> int:
    """Compares the paths as the command line says; returns the exit status.

    Args:
        arguments: as `apps.comparison.command` parses them.
        lifeline: to the program that started this one, and whose end is this one's end.
    """
    secure_standard_streams()  # before anything is opened
    voice: Voice = TerminalVoice() if arguments.events is None else EventVoice()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends its run, like Ctrl-C
    if lifeline is not None:
        lifeline.watch(lambda _: os.kill(os.getpid(), signal.SIGINT))
    try:
        return 0 if compare(arguments, voice) else 1
    except ComparisonFailed as failure:
        voice.error(RunFailed(str(failure)))
        return 1
    except ScreenalyticsError as error:
        voice.error(error)
        return 1
    except KeyboardInterrupt:
        voice.stopped()
        return 130


def compare(arguments: argparse.Namespace, voice: Voice) -> bool:
    """Measures and writes the report; False where a mode failed on the way.

    Raises:
        ComparisonFailed, ScreenalyticsError: with a sentence on what to do; there is no report.
    """
    settings = Settings.read(data_root=arguments.data_root)
    data_root = settings.data_root.resolve()
    task = Task(
        ep_id=check_name(arguments.ep_id),
        data_root=data_root,
        url=arguments.url.rstrip("/"),
        options=given(arguments),
        nice=arguments.nice,
        headers=headers(settings),
    )
    check_server(task)
    modes = (BASELINE, *(arguments.modes or DEFAULT_MODES))
    strict = bool(arguments.modes) and not arguments.skip_missing
    rounds = measure_all(task, modes, arguments.repeat, voice, strict=strict)
    measurements = rounds.measurements
    summaries = summarise(measurements, modes)
    comparison = Comparison(
        ep_id=task.ep_id,
        url=task.url,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cores=host_thread_limit()[0],
        repeat=arguments.repeat,
        summaries=summaries,
        warnings=differences(measurements),
        notes=[*rounds.left_out.values(), *remarks(summaries)],
        measurements=measurements,
    )
    name = f"{task.ep_id[:_STEM_LENGTH]}-{new_run_id()}"
    folder = arguments.out or Layout(data_root).comparison(name)
    paths = report.save(comparison, folder)
    voice.result(comparison, paths)
    return not rounds.failed


def headers(settings: Settings) -> dict[str, str]:
    key = settings.api_key
    return {} if key is None else {"X-API-Key": key.get_secret_value()}


def check_server(task: Task) -> None:
    """Asks the server whether the comparison can begin.

    Raises:
        ComparisonFailed: no server, no such episode, a busy one, or another data root.
    """
    try:
        with client_of(task, httpx.Timeout(10)) as client:
            client.get("/health/live").raise_for_status()
            answer = client.get(f"/episodes/{task.ep_id}")
    except (httpx.HTTPError, httpx.InvalidURL):
        raise ComparisonFailed(
            f"No server answers at {task.url}. Start it with `make up`, or name it with --url."
        ) from None
    body = answer.json()
    if answer.status_code != 200:
        raise ComparisonFailed(problem_text(body))
    layout = Layout(task.data_root)
    if is_held(layout, task.ep_id):
        raise busy_error(layout, task.ep_id)
    try:
        same = find_video(layout, task.ep_id).stat().st_size == body["size_bytes"]
    except (ScreenalyticsError, OSError):
        same = False
    if not same:
        raise ComparisonFailed(
            f"The server's episode {task.ep_id!r} is not in this data root. "
            "Name the server's with --data-root, on the server's machine."
        )


@dataclass
class Rounds:
    """What was measured, and why modes are not, or no longer, among it: a sentence of each."""

    measurements: list[Measurement] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: bool = False

    def leave_out(self, mode: str, how: str) -> str:
        self.left_out[mode] = f"{mode} {how}"
        return self.left_out[mode]


def measure_all(
    task: Task, modes: tuple[str, ...], repeat: int, voice: Voice, *, strict: bool
) -> Rounds:
    """All rounds. A mode that is not there, or fails, is left out from then on.

    Raises:
        ComparisonFailed: a mode is not there at the start and `strict`, or the baseline failed at
            once.
    """
    stamp = new_run_id()
    rounds = Rounds()
    with open_runners(task, modes) as runners:
        _leave_out_missing(runners, rounds, voice, strict=strict)
        for number in range(repeat):
            start = number % len(runners)
            for runner in (*runners[start:], *runners[:start]):
                if runner.mode in rounds.left_out or BASELINE in rounds.left_out:
                    continue
                run_id = comparison_run_id(stamp, number + 1, runner.mode)
                voice.begins(f"round {number + 1}/{repeat}  {runner.mode:<6} begins", run_id)
                try:
                    measurement = measure(runner, run_id, number + 1)
                except ComparisonFailed as reason:
                    if not rounds.measurements:
                        raise
                    rounds.failed |= strict or not isinstance(reason, ModeUnavailable)
                    voice.log(rounds.leave_out(runner.mode, f"was left out: {reason}"))
                    continue
                rounds.measurements.append(measurement)
                voice.log(one_line(measurement, repeat))
    return rounds


def _leave_out_missing(
    runners: list[Runner], rounds: Rounds, voice: Voice, *, strict: bool
) -> None:
    """Before anything is run: what was measured would be in vain where a mode is asked for."""
    for runner in runners:
        try:
            runner.check()
        except ModeUnavailable as reason:
            if strict:
                raise ComparisonFailed(f"{runner.mode} cannot be used: {reason}") from None
            voice.log(rounds.leave_out(runner.mode, f"was left out: {reason}"))


@contextmanager
def open_runners(task: Task, modes: tuple[str, ...]) -> Iterator[list[Runner]]:
    runners = [RUNNERS[mode](task) for mode in modes]
    try:
        yield runners
    finally:
        for runner in runners:
            runner.close()


def measure(runner: Runner, run_id: str, number: int) -> Measurement:
    """Runs a path once, and measures what it costs.

    Raises:
        ComparisonFailed: the run failed, or left no manifest.
    """
    with Sampler(lambda: runner.manifest(run_id)) as sampler:
        started = time.monotonic()
        runner.run(run_id)
        wall = time.monotonic() - started
    manifest = runner.manifest(run_id)
    if manifest is None:
        raise ComparisonFailed(f"The {runner.mode} run left no manifest; see the server's log.")
    facts = Facts.of(manifest)
    return Measurement(runner.mode, number, run_id, round(wall, 3), sampler.usage, facts)


def one_line(measurement: Measurement, repeat: int) -> str:
    usage = measurement.usage
    cpu = "CPU not seen" if usage is None else f"CPU {usage.cpu_seconds:.2f} s"
    return (
        f"round {measurement.round}/{repeat}  {measurement.mode:<6}"
        f"{measurement.wall_seconds:8.2f} s  {cpu}"
    )
