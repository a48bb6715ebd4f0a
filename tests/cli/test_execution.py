"""A run from the command line, in this process: refusals, exit codes, and what it leaves behind."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.cli.arguments import parse
from apps.cli.execution import run
from apps.common.contracts.manifest import RunManifest
from apps.common.files import read_json
from apps.common.layout import Layout
from tests.pipeline.videos import write_numbered

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """A run listens to signals; afterwards the tests do again."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "videos" / "show"
    folder.mkdir(parents=True)
    write_numbered(folder / "episode.mp4", 12)
    return tmp_path / "data"


def exit_code(data_root: Path, *arguments: str, ep_id: str = "show") -> int:
    given = ["--ep-id", ep_id, "--data-root", str(data_root), "--run-id", "r1", *arguments]
    return run(parse([*given, "--device", "cpu", "--cpu-threads", "1"]))


def manifest(data_root: Path) -> RunManifest:
    return RunManifest.model_validate(read_json(Layout(data_root).run("show", "r1").manifest))


def test_a_run(data_root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code(data_root, "--events", "ndjson") == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert events[-1]["type"] == "result"
    assert {event["type"] for event in events} >= {"progress", "started"}
    found = manifest(data_root)
    assert (found.status, found.pid) == ("completed", os.getpid())
    assert found.result is not None
    assert found.result.model_dump(mode="json") == {
        name: value for name, value in events[-1].items() if name != "type"
    }
    files = Layout(data_root).run("show", "r1")
    assert files.tracks.is_file()
    assert not files.staging.exists()
    assert read_json(Layout(data_root).latest("show"))["run_id"] == "r1"  # type: ignore[index]


def test_other_videos_give_a_warning(data_root: Path) -> None:
    (data_root / "videos" / "show" / "episode.webm").write_bytes(b"another")
    (data_root / "videos" / "show" / "episode.mp4").write_bytes(b"no video")
    assert exit_code(data_root) == 3
    assert any("2 videos" in warning for warning in manifest(data_root).warnings)


def test_what_cannot_be_read_leaves_a_manifest_that_says_so(
    data_root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (data_root / "videos" / "show" / "episode.mp4").write_bytes(b"no video")
    assert exit_code(data_root) == 3
    found = manifest(data_root)
    assert found.status == "failed"
    assert found.exit_reason is not None
    assert found.exit_reason in capfd.readouterr().err
    files = Layout(data_root).run("show", "r1")
    assert not files.staging.exists()
    assert found.exit_reason in files.log.read_text()
    assert read_json(Layout(data_root).latest("show")) is None


def test_an_episode_that_another_run_holds(data_root: Path) -> None:
    lock = Layout(data_root).lock("show")
    lock.parent.mkdir()
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert exit_code(data_root) == 6
    assert not Layout(data_root).run("show", "r1").folder.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--stride", "0"], 2, "--stride 0: "),
        (["--profile", "fast"], 2, "fast"),
        (["--run-id", "../r"], 2, "run_id"),
        (["--ep-id", "none"], 3, "does not exist"),
    ],
)
def test_what_is_refused_starts_nothing(
    data_root: Path, arguments: list[str], code: int, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(data_root, *arguments) == code
    assert reason in capfd.readouterr().err
    assert not (data_root / "manifests").exists()
