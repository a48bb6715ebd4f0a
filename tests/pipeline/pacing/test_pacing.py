"""A whole run on a machine that is as hot as the test says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps.common.config import pipeline_config
from apps.common.contracts.manifest import Progress
from apps.common.options import RunRequest
from apps.common.resolve import resolve
from apps.common.run_plan import RunPlan
from apps.pipeline.pacing.meter import CpuMeter
from apps.pipeline.pacing.thermal import SensorReader
from apps.pipeline.progress import ProgressReporter
from apps.pipeline.run import Outcome, PipelineRun
from apps.pipeline.stop import StopFlag
from lab.specs import SMALL_HOST


class Listener:
    """An `Observer` that keeps the log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, frames_total: int) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def log(self, level: str, message: str) -> None:
        self.lines.append(message)


def at(celsius: float) -> SensorReader:
    return lambda: {"coretemp": [SimpleNamespace(current=celsius)]}


def run(
    video: Path, folder: Path, profile: str, read_sensors: SensorReader, **environ: str
) -> tuple[Outcome, list[str]]:
    request = RunRequest(profile=profile, device="cpu", detector="centerface", stride=24)
    plan = RunPlan(
        ep_id="talk",
        run_id="run",
        resolution=resolve(request, environ, SMALL_HOST),
        data_root=str(folder),
    )
    plan.files.staging.mkdir(parents=True)
    listener = Listener()
    with (
        CpuMeter(pipeline_config().meter) as meter,
        ProgressReporter("run", meter, lambda _: None) as progress,
    ):
        pipeline = PipelineRun(
            plan, video, meter, progress, StopFlag(), listener, read_sensors=read_sensors
        )
        return pipeline.execute(), listener.lines


@pytest.fixture
def talk(test_data: Path) -> Path:
    return test_data / "videos" / "carphone_pristine.mp4"


def test_a_hot_machine_slows_a_low_power_run_and_is_reported(tmp_path: Path, talk: Path) -> None:
    outcome, lines = run(talk, tmp_path, "low_power", at(91.0))
    assert outcome.thermal is not None
    assert outcome.thermal.hottest_celsius == 91.0
    assert outcome.thermal.usual_percent == 200.0
    assert outcome.thermal.lowest_percent <= 175.0
    assert [line for line in outcome.warnings if "91 °C" in line] != []
    assert "CPU at 91 °C: budget 175 %" in lines


def test_a_cool_one_does_not(tmp_path: Path, talk: Path) -> None:
    outcome, _ = run(talk, tmp_path, "low_power", at(45.0))
    assert outcome.thermal is not None
    assert outcome.thermal.lowest_percent == 200.0
    assert outcome.warnings == []


def test_without_a_sensor_the_log_says_so_once(tmp_path: Path, talk: Path) -> None:
    outcome, lines = run(talk, tmp_path, "low_power", dict)
    assert outcome.thermal is None
    assert sum("no CPU temperature sensor" in line for line in lines) == 1


def forbidden() -> dict[str, list[Any]]:
    raise AssertionError("the sensors were read")


@pytest.mark.parametrize(
    ("profile", "environ"),
    [("balanced", {}), ("low_power", {"SCREENALYTICS_THERMAL_BACKOFF": "0"})],
)
def test_elsewhere_no_sensor_is_read(
    tmp_path: Path, talk: Path, profile: str, environ: dict[str, str]
) -> None:
    outcome, _ = run(talk, tmp_path, profile, forbidden, **environ)
    assert outcome.thermal is None


def test_a_profile_without_a_cap_begins_at_all_its_threads(tmp_path: Path, talk: Path) -> None:
    on = {"SCREENALYTICS_THERMAL_BACKOFF": "1"}
    outcome, _ = run(talk, tmp_path, "performance", at(45.0), **on)
    assert outcome.thermal is not None
    assert outcome.thermal.usual_percent == 100.0 * SMALL_HOST.thread_limit
