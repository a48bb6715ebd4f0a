"""Runs on odd hosts: nowhere to print to, no home, odd folders, videos that go away meanwhile."""

from __future__ import annotations

import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.common.contracts.manifest import RunManifest
from apps.runs.spec import PreviewSpec
from lab.paths import CHECKOUT
from lab.processes.ports import free_port
from lab.processes.service import (
    RUN_SCRIPT,
    add_episode,
    clean_environment,
    cli_command,
    exit_code,
    run_cli,
    wait_for_start,
)
from lab.specs import spec_of
from tests.pipeline.videos import moving, write_video

QUICK = ("--ep-id", "talk", "--stride", "30", "--det-size", "160")
SLOW = ("--ep-id", "talk", "--stride", "4", "--max-cpu-percent", "40")  # of seconds, and it ends
SLOWER = (*SLOW[:-1], "12")  # does not end before something befalls it


@pytest.fixture
def data_root(tmp_path: Path, test_data: Path, quiet_root: Path) -> Path:
    root = tmp_path / "data"
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    shutil.copytree(quiet_root / ".cache", root / ".cache")  # the prepared models
    return root


def folder_of(data_root: Path, run_id: str) -> Path:
    return data_root / "manifests" / "talk" / "runs" / run_id


def manifest_of(data_root: Path, run_id: str) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder_of(data_root, run_id) / "run.json").read_text())
    return manifest


# --- nothing that is printed decides about the work --------------------------------------------


@pytest.fixture(scope="module")
def quiet_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    """A data root with a run `quiet`, which was not disturbed."""
    root = tmp_path_factory.mktemp("quiet") / "data"
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    done = run_cli(root, *QUICK, "--run-id", "quiet")
    assert done.returncode == 0, done.stderr
    return root


@pytest.mark.parametrize(
    "streams",
    [
        "2>&-",
        "2>/dev/full",
        "--save-preview --save-crops >&- 2>&- <&-",
        "--events ndjson >/dev/full",
        "--events ndjson >&-",
        "--events ndjson 2>&- | head -n 1",
    ],
)
def test_what_cannot_be_printed_stops_nothing(
    quiet_root: Path, tmp_path: Path, streams: str
) -> None:
    """The results are the same, and the exit code is 0, at the interpreter's end too."""
    run_id, code = f"odd-{os.urandom(4).hex()}", tmp_path / "code"
    command = shlex.join(cli_command(quiet_root, *QUICK, "--run-id", run_id))
    options, _, rest = streams.partition("|")
    line = f"{{ {command} {options}; echo $? >{shlex.quote(str(code))}; }} {rest and '|' + rest}"
    done = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, env=clean_environment(), check=True
    )
    assert code.read_text() == "0\n", done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert manifest_of(quiet_root, run_id)["status"] == "completed"
    found, quiet = folder_of(quiet_root, run_id), folder_of(quiet_root, "quiet")
    for name in ("detections.jsonl", "tracks.jsonl"):
        rows = (found / name).read_text()
        assert rows
        if "--save-crops" not in streams:  # tracks name their crops
            assert rows == (quiet / name).read_text()
        assert all(json.loads(row)["ep_id"] == "talk" for row in rows.splitlines())
    assert (found / "run.log").read_text().count("Using CPUExecutionProvider") == 1


def test_events_are_printed_again_when_they_can_be(tmp_path: Path) -> None:
    """Each in a line of its own, also after one that broke off."""
    code = (
        "import os, sys\n"
        "from apps.cli.observers import EventWriter\n"
        "view = EventWriter('r', None)\n"
        "view.log('info', 'lost')\n"
        "os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 1)\n"
        "view.log('info', 'one \\udce9')\n"  # a file's name that is not UTF-8
        "view.log('info', 'two')\n"
    )
    target = tmp_path / "events"
    with Path("/dev/full").open("wb") as full:
        subprocess.run(
            [sys.executable, "-c", code, str(target)], cwd=CHECKOUT, stdout=full, check=True
        )
    lines = [line for line in target.read_bytes().split(b"\n") if line]
    assert [json.loads(line)["message"] for line in lines] == ["one \udce9", "two"]


@contextmanager
def terminal_run(
    data_root: Path, *arguments: str, **options: Any
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A run that writes to a terminal, and the other end of that terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        cli_command(data_root, *arguments, "--run-id", "shown"),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=clean_environment(COLUMNS="120", TERM="xterm"),
        start_new_session=True,
        **options,
    )
    os.close(follower)
    try:
        yield process, leader
    finally:
        process.kill()
        process.wait()


def read_until(terminal: int, word: bytes) -> None:
    seen = b""
    while word not in seen:
        seen += os.read(terminal, 4096)


def test_a_terminal_that_vanishes(data_root: Path) -> None:
    """As `nohup` below, with events in place of a bar."""
    with terminal_run(data_root, *SLOW, "--events", "ndjson") as (process, terminal):
        read_until(terminal, b'"phase": "running"')
        os.close(terminal)
        assert process.wait(timeout=120) == 0
    assert manifest_of(data_root, "shown")["status"] == "completed"


def test_a_closed_terminals_signal_stops_in_order(data_root: Path) -> None:
    with terminal_run(data_root, *SLOWER) as (process, terminal):
        read_until(terminal, b"running")
        process.send_signal(signal.SIGHUP)
        os.close(terminal)
        assert process.wait(timeout=60) == 129
    manifest = manifest_of(data_root, "shown")
    assert (manifest["status"], "SIGHUP" in manifest["exit_reason"]) == ("cancelled", True)
    assert not (folder_of(data_root, "shown") / ".partial").exists()


def test_nohup_keeps_it_running(data_root: Path) -> None:
    ignored = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}  # as nohup does
    with terminal_run(data_root, *SLOW, **ignored) as (process, terminal):
        read_until(terminal, b"running")
        process.send_signal(signal.SIGHUP)
        os.close(terminal)
        assert process.wait(timeout=120) == 0
    assert manifest_of(data_root, "shown")["status"] == "completed"


def launched(command: list[str], line: str, output: int) -> subprocess.Popen[bytes]:
    """A process as launchers start it: told on its input, which stays open."""
    process = subprocess.Popen(
        command, cwd=CHECKOUT, env=clean_environment(), stdin=subprocess.PIPE, stdout=output
    )
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()
    return process


def test_a_launcher_that_reads_no_more_ends_its_run(data_root: Path) -> None:
    """That one is the contract: its pipe is its interest in the run."""
    spec = spec_of(data_root, "talk", "left", stride=1, fps=60, max_cpu_percent=30)
    command = [sys.executable, str(RUN_SCRIPT), "--spec", "-", "--events", "ndjson"]
    with launched(command, spec.model_dump_json(), subprocess.PIPE) as process:
        assert process.stdout is not None
        assert next(line for line in process.stdout if b'"running"' in line)
        process.stdout.close()
        assert process.wait(timeout=60) == 143
    assert manifest_of(data_root, "left")["status"] == "cancelled"


def test_a_preview_that_cannot_tell_is_made(data_root: Path, quiet_root: Path) -> None:
    shutil.copytree(folder_of(quiet_root, "quiet"), folder_of(data_root, "quiet"))
    manifest = RunManifest.model_validate(manifest_of(data_root, "quiet"))
    assert manifest.video is not None
    spec = PreviewSpec(
        ep_id="talk",
        run_id="quiet",
        data_root=str(data_root),
        video=manifest.video,
        video_file=manifest.video_file,
        cpu_threads=2,
        max_cpu_percent=None,
    )
    command = [sys.executable, "-m", "apps.cli.make_preview"]
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with launched(command, spec.model_dump_json(), full) as process:
            assert process.wait(timeout=120) == 0
    finally:
        os.close(full)
    assert (folder_of(data_root, "quiet") / "preview.mp4").stat().st_size > 10_000


# --- a user without a home ---------------------------------------------------------------------

STRANGER = ("unshare", "--user", "--map-user=12345", "--map-group=12345", "env", "-i")
"""A user that no list of users knows, as containers have them; with an empty environment."""


@pytest.fixture(scope="module")
def stranger() -> tuple[str, ...]:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare (util-linux)")
    known = "import pwd, os; pwd.getpwuid(os.getuid())"
    done = subprocess.run(
        [*STRANGER, sys.executable, "-c", known], capture_output=True, check=False
    )
    if b"KeyError" not in done.stderr:
        pytest.skip("user namespaces are not allowed here")
    return STRANGER


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    yield folder
    folder.chmod(0o700)


DETECTOR, RECOGNITION = ("--detector", "retinaface"), ("--recognition-model", "buffalo_l")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(data_root: Path, stranger: tuple[str, ...], closed: Path) -> Run:
    """Runs the episode as that user, with a variable that names a home."""

    def begin(variable: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        named = [variable.format(closed=closed)] if variable else []
        command = [*stranger, *named, *cli_command(data_root, *QUICK, *arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, cwd=data_root
        )

    return begin


# Where a home is only missing (`/nonexistent`), a pack would be downloaded.
@pytest.mark.parametrize("variable", ["", "HOME=/nonexistent", "INSIGHTFACE_HOME={closed}"])
def test_without_a_home_what_needs_none_works(run: Run, data_root: Path, variable: str) -> None:
    done = run(variable, "--run-id", "auto")
    assert done.returncode == 0, done.stderr
    assert manifest_of(data_root, "auto")["options"]["detector"] == "centerface"


@pytest.mark.parametrize(
    ("variable", "asked", "folder", "reason"),
    [
        ("", DETECTOR, "~/.insightface", "no home"),
        ("HOME={closed}", RECOGNITION, "~/.insightface", "Permission denied"),
        ("INSIGHTFACE_HOME={closed}", DETECTOR, "$INSIGHTFACE_HOME/", "Permission denied"),
        ("INSIGHTFACE_HOME=~nobody-knows-him/x", RECOGNITION, "$INSIGHTFACE_HOME/", "no home"),
    ],
)
def test_without_a_home_what_is_asked_for_by_name_says_what_cannot_be_read(
    run: Run, variable: str, asked: tuple[str, str], folder: str, reason: str
) -> None:
    """And what to set."""
    refused = run(variable, *asked)
    assert refused.returncode == 5
    last = refused.stderr.splitlines()[-1]
    assert folder in last
    assert "buffalo_l" in last
    assert "INSIGHTFACE_HOME" in last
    assert reason in last
    assert "Traceback" not in refused.stderr


def test_without_a_home_the_service_runs(data_root: Path, stranger: tuple[str, ...]) -> None:
    port = free_port()
    command = [*stranger, f"SCREENALYTICS_DATA_ROOT={data_root}", sys.executable]
    command += ["-m", "uvicorn", "apps.api.main:app", "--port", str(port), "--http", "h11"]
    log = data_root.parent / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=CHECKOUT, stdout=output, stderr=output)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:

            def is_live() -> bool:
                try:
                    return client.get("/health/live").status_code == 200
                except httpx.TransportError:
                    return False

            wait_for_start(process, is_live, log, "the server")
            assert client.get("/health/ready").json()["status"] == "ready"
            body = {"ep_id": "talk", "execution_mode": "local", "stride": 30}
            answer = client.post("/celery_jobs/detect_track", json=body)
            assert answer.status_code == 200, answer.text
            refused = client.post(
                "/celery_jobs/detect_track", json={**body, "detector": "retinaface"}
            )
            assert refused.status_code == 500
            assert "INSIGHTFACE_HOME" in refused.json()["hint"]
    finally:
        process.terminate()
        exit_code(process)


# --- folders and videos ------------------------------------------------------------------------


def test_a_data_root_with_a_colon_has_its_preview(data_root: Path) -> None:
    """FFmpeg takes what stands before a colon for a protocol."""
    data_root.rename(data_root.with_name("a:b"))
    done = subprocess.run(
        cli_command(Path("a:b"), *QUICK, "--run-id", "one", "--save-preview"),
        cwd=data_root.parent,
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    preview = folder_of(data_root.with_name("a:b"), "one") / "preview.mp4"
    assert preview.stat().st_size > 10_000


def remove(video: Path, _: Path) -> None:
    video.unlink()


def replace(video: Path, other: Path) -> None:
    other.replace(video)


def rot(video: Path, other: Path) -> None:
    other.write_bytes(b"no video")
    other.replace(video)


@pytest.mark.parametrize(
    ("befalls", "words"),
    [(remove, "gone or cannot be read"), (replace, "replaced"), (rot, "cannot be read")],
)
def test_what_was_found_is_kept_whatever_becomes_of_the_video(
    data_root: Path, befalls: Callable[[Path, Path], None], words: str
) -> None:
    """Between its analysis and its preview. The other one is of the same shape and length."""
    video = write_video(data_root / "videos" / "talk" / "episode.mkv", moving(360))
    other = write_video(video.with_name("other.mp4"), moving(360))
    (video.with_name("episode.mp4")).unlink()
    process = subprocess.Popen(
        cli_command(data_root, *SLOWER, "--run-id", "one", "--save-preview", "--events", "ndjson"),
        stdout=subprocess.PIPE,
        env=clean_environment(),
        text=True,
    )
    with process:
        assert process.stdout is not None
        events = map(json.loads, process.stdout)
        under_way = next(e for e in events if e["type"] == "progress" and e["frames_done"] > 0)
        assert under_way["phase"] == "running"
        befalls(video, other)
        assert list(events)[-1]["type"] == "result"
    assert process.returncode == 0
    manifest = manifest_of(data_root, "one")
    assert manifest["status"] == "completed"
    assert manifest["counts"]["frames_done"] == 90
    assert [warning for warning in manifest["warnings"] if words in warning]
    assert "preview" not in manifest["result"]["artifacts"]
    assert not (folder_of(data_root, "one") / "preview.mp4").exists()


def test_a_run_says_which_of_several_videos_it_takes(data_root: Path) -> None:
    folder = data_root / "videos" / "talk"
    shutil.copyfile(folder / "episode.mp4", folder / "episode.mkv")
    (folder / "episode.en.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    done = run_cli(data_root, *QUICK, "--run-id", "one")
    assert done.returncode == 0, done.stderr
    manifest = manifest_of(data_root, "one")
    assert manifest["video_file"]["name"] == "episode.mkv"
    (warning,) = manifest["warnings"]
    assert "episode.mkv is taken, not episode.mp4" in warning
    assert manifest["result"]["warnings"] == [warning]
    assert f"warning: {warning}" in done.stderr
