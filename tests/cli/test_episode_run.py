"""The command line, as a user runs it: real processes, real videos, exit codes."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from apps.common.layout import Layout
from lab.paths import CHECKOUT
from lab.processes.service import (
    add_episode,
    clean_environment,
    cli_command,
    gone,
    run_cli,
    serving,
    wait_for,
)
from tests.pipeline.videos import H264, moving, write_video
from tests.support.recognition import write_model

INSIGHTFACE = ("--detector", "retinaface", "--retinaface-model")
EPISODES = ("talk", "show")
SMALL = ("--det-size", "320")  # finds the same faces of these videos, at a third of the CPU
LASTING = ("--stride", "6", "--max-cpu-percent", "20", *SMALL)  # of seconds, and it ends
SLOW = ("--stride", "1", "--max-cpu-percent", "30")


def with_episodes(root: Path, test_data: Path) -> Path:
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    return root


@dataclass(frozen=True)
class Finished:
    """A data root with a completed run `one` of each episode, to be looked at and copied."""

    root: Path
    said: dict[str, str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Finished:
    root = with_episodes(tmp_path_factory.mktemp("finished") / "data", test_data)
    said = {}
    for ep_id, stride in (("talk", "6"), ("show", "24")):
        done = run_cli(root, "--ep-id", ep_id, "--run-id", "one", "--stride", stride, *SMALL)
        assert done.returncode == 0, done.stderr
        said[ep_id] = done.stderr
    return Finished(root, said)


@pytest.fixture
def data_root(tmp_path: Path, test_data: Path, finished: Finished) -> Path:
    """Without runs; the models are prepared."""
    root = with_episodes(tmp_path / "data", test_data)
    shutil.copytree(finished.root / ".cache", root / ".cache")
    return root


def manifest_of(data_root: Path, ep_id: str) -> dict:
    """Of the newest run. Ids tell seconds only, so their order says nothing of a fast machine's."""
    paths = (data_root / "manifests" / ep_id / "runs").glob("*/run.json")
    return json.loads(max(paths, key=lambda path: path.stat().st_mtime_ns).read_text())


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(data_root: Path) -> Iterator[Start]:
    """Starts command lines that a test wants to watch; ends those that it left."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            cli_command(data_root, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=clean_environment(),
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        with process:
            process.kill()


def test_writes_the_contracts_files(finished: Finished) -> None:
    data_root = finished.root
    folder = data_root / "manifests" / "talk" / "runs" / "one"
    assert {path.name for path in folder.iterdir()} == {
        "run.json", "progress.json", "detections.jsonl", "tracks.jsonl", "track_metrics.json",
        "run.log", "thumbs",
    }  # fmt: skip
    latest = json.loads((data_root / "manifests/talk/latest.json").read_text())
    assert latest["run_id"] == "one"
    manifest = manifest_of(data_root, "talk")
    assert manifest["status"] == "completed"
    assert manifest["execution_mode"] == "cli"
    assert manifest["sources"]["stride"] == "request"
    assert manifest["sources"]["fps"] == "profile:low_power"
    assert manifest["model"]["sha256"]
    assert manifest["versions"]["onnxruntime"]
    assert manifest["times"]["detect"] > 0
    assert manifest["recognition"] is None
    assert "Done in" in finished.said["talk"]


def test_tracks_are_compared_by_faces_and_small_ones_looked_at_twice(
    data_root: Path, tmp_path: Path
) -> None:
    """A run with a recognition model says which one it was and what it did; and of second looks."""
    model = write_model(tmp_path / "colours.onnx")
    options = ("--ep-id", "show", "--stride", "24", *SMALL)
    twice = ("--small-faces", "second_look")
    done = run_cli(data_root, *options, *twice, "--recognition-model", str(model))
    assert done.returncode == 0, done.stderr
    manifest = manifest_of(data_root, "show")
    assert manifest["options"]["small_faces"] == "second_look"
    assert manifest["sources"]["small_faces"] == "request"
    assert 0 <= manifest["counts"]["second_looks"] <= manifest["counts"]["frames_done"]
    assert manifest["times"]["second_look"] >= 0
    found = manifest["recognition"]
    assert found["model"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert found["compared"] > 5
    assert "Tracks are compared by faces, with colours" in done.stderr
    missing = run_cli(data_root, *options, SCREENALYTICS_RECOGNITION_MODEL="nothing_there")
    assert missing.returncode == 5
    assert "nothing_there" in missing.stderr
    assert manifest_of(data_root, "show")["status"] == "failed"


def test_eight_bits(data_root: Path, finished: Finished) -> None:
    """The model is made by the first run, by one of two that start together, and kept."""
    options = ("--stride", "24", *SMALL, "--precision", "int8")
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda ep: run_cli(data_root, "--ep-id", ep, *options), EPISODES))
    assert [done.returncode for done in both] == [0, 0], both
    assert sum("Making the eight-bit form" in done.stderr for done in both) == 1
    assert sum("int8 against float32" in done.stderr for done in both) == 1
    again = run_cli(data_root, "--ep-id", "talk", "--stride", "60", "--precision", "int8")
    assert again.returncode == 0
    assert "Making the eight-bit form" not in again.stderr
    manifest = manifest_of(data_root, "talk")
    assert manifest["options"]["precision"] == "int8"
    assert manifest["sources"]["precision"] == "request"
    assert manifest["model"]["precision"] == "int8"
    quantised = manifest["model"]["quantised"]
    kept = next((data_root / ".cache" / "quantised").glob("*.onnx"))
    assert quantised["sha256"] == hashlib.sha256(kept.read_bytes()).hexdigest()
    assert quantised["sha256"] != manifest["model"]["sha256"]
    assert quantised["agreement"]["recall"] >= 0.98
    assert quantised["agreement"]["mean_iou"] >= 0.9
    eight, plain = manifest_of(data_root, "show"), manifest_of(finished.root, "show")
    assert plain["model"]["quantised"] is None
    assert eight["counts"]["frames_done"] == plain["counts"]["frames_done"]
    assert eight["counts"]["detections"] == pytest.approx(plain["counts"]["detections"], rel=0.2)


def test_ndjson_events(data_root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "progress.json"
    done = run_cli(data_root, "--ep-id", "talk", "--events", "ndjson", "--progress-file", str(copy))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [events[0]["type"], events[-1]["type"]] == ["log", "result"]
    assert {event["type"] for event in events} == {"started", "progress", "log", "result"}
    assert json.loads(copy.read_text())["phase"] == "done"


@pytest.mark.parametrize(("start", "is_absolute"), [(".", True), ("elsewhere", False)])
def test_the_results_path_leads_there_from_where_it_was_started(
    data_root: Path, start: str, is_absolute: bool
) -> None:
    here = data_root.parent / start
    here.mkdir(exist_ok=True)
    named = data_root if is_absolute else Path(os.path.relpath(data_root, here))
    command = cli_command(named, "--ep-id", "talk", "--stride", "60", "--det-size", "160")
    done = subprocess.run(
        command, cwd=here, env=clean_environment(), capture_output=True, text=True, check=True
    )
    (named_path,) = re.findall(r"^Results: (.+)$", done.stderr, re.MULTILINE)
    assert json.loads((here / named_path).read_text())["ep_id"] == "talk"
    if start == ".":
        assert named_path.startswith("data/manifests/talk/runs/")


def test_progress_bar_on_a_terminal(data_root: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        cli_command(data_root, "--ep-id", "talk", "--stride", "6"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=follower,
        env=clean_environment(COLUMNS="120", TERM="xterm"),
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:  # Linux: the other side is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(leader)
    assert process.wait() == 0
    text = shown.decode(errors="replace")
    assert "20/20" in text
    assert "frames/s" in text
    assert re.search(r"\d:\d\d:\d\d", text)  # time that is left


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--ep-id", "talk", "--stride", "x"], 2, "stride"),
        (["--ep-id", "talk", "--fps", "nan"], 2, "fps"),
        (["--ep-id", "talk", "--profile", "turbo"], 2, "low_power"),
        (["--ep-id", "../../etc/passwd"], 2, "ep_id"),
        (["--ep-id", "talk", "--run-id", "a/b"], 2, "run_id"),
        (["--ep-id", "talk", "--wanted", "1"], 2, "--wanted"),
        ([], 2, "--ep-id"),
        (["--ep-id", "nobody"], 3, "does not exist"),
        (["--ep-id", "talk", "--video", "missing.mp4"], 3, "missing"),
        (["--ep-id", "talk", "--device", "cuda"], 4, "CPUExecutionProvider"),
        (["--ep-id", "talk", "--small-faces", "tiles"], 2, "'off' or 'second_look'"),
        (["--ep-id", "talk", *INSIGHTFACE, "no.onnx"], 5, "no.onnx"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_exit_codes(data_root: Path, arguments: list[str], code: int, word: str) -> None:
    done = run_cli(data_root, *arguments)
    assert done.returncode == code
    last = done.stderr.strip().splitlines()[-1]
    assert word in last
    assert "Traceback" not in done.stderr
    assert not (data_root / "manifests/talk/latest.json").exists()


def test_a_video_that_is_not_there_makes_no_episode(data_root: Path) -> None:
    done = run_cli(data_root, "--ep-id", "typo", "--video", "/nope.mp4")
    assert done.returncode == 3
    assert "/nope.mp4 cannot be read: No such file or directory." in done.stderr
    assert not (data_root / "manifests/typo").exists()


@pytest.mark.parametrize("content", [b"", b"this is text\n" * 100], ids=["empty", "text"])
def test_a_file_that_is_no_video(data_root: Path, content: bytes) -> None:
    (data_root / "videos/bad").mkdir()
    (data_root / "videos/bad/episode.mp4").write_bytes(content)
    done = run_cli(data_root, "--ep-id", "bad")
    assert done.returncode == 3
    assert manifest_of(data_root, "bad")["status"] == "failed"
    folder = next((data_root / "manifests/bad/runs").iterdir())
    assert not (folder / "detections.jsonl").exists()
    assert not (folder / ".partial").exists()


def test_a_broken_model(data_root: Path, tmp_path: Path) -> None:
    broken = tmp_path / "det_broken.onnx"
    broken.write_bytes(b"no model")
    done = run_cli(
        data_root, "--ep-id", "talk", "--detector", "retinaface", "--retinaface-model", str(broken)
    )
    assert done.returncode == 5
    assert "det_broken.onnx" in done.stderr


@pytest.mark.trap(10)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_signals_stop_in_order_and_nothing_outlives_the_run(
    data_root: Path, start: Start, finished: Finished, number: signal.Signals, code: int
) -> None:
    """And in a rerun: the older system left new detections beside old tracks."""
    shutil.copytree(finished.root / "manifests", data_root / "manifests")
    before = snapshot(data_root)
    process = start("--ep-id", "show", "--events", "ndjson", *SLOW)
    wait_until_frames(process)
    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    wait_for(lambda: gone(tree))
    manifest = manifest_of(data_root, "show")
    assert manifest["status"] == "cancelled"
    assert number.name in manifest["exit_reason"]
    assert {k: v for k, v in snapshot(data_root).items() if k in before} == before
    new = data_root / "manifests/show/runs" / manifest["run_id"]
    assert not [p for p in new.rglob("*") if p.name.startswith(("detections", "tracks", ".part"))]


def wait_until_frames(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["type"] == "progress" and event["frames_done"] > 0:
            return
    raise AssertionError("the run ended before its first frame")


def snapshot(data_root: Path) -> dict[str, bytes]:
    runs = data_root / "manifests"
    return {str(p.relative_to(runs)): p.read_bytes() for p in runs.rglob("*") if p.is_file()}


@pytest.mark.trap(3)
def test_another_run_holds_the_episode(data_root: Path, start: Start) -> None:
    """Between command lines and an API, both ways, and free after a hard kill."""
    process = start("--ep-id", "show", "--events", "ndjson", *SLOW)
    wait_until_frames(process)
    refused = run_cli(data_root, "--ep-id", "show")
    assert refused.returncode == 6
    assert "from the command line" in refused.stderr
    with serving(data_root) as server:
        answer = server.detect_track("show")
        assert answer.status_code == 409
        assert answer.json()["execution_mode"] == "cli"
        assert answer.json()["run_id"] == manifest_of(data_root, "show")["run_id"]
        process.kill()
        process.communicate()
        assert server.detect_track("show", stride=200).status_code == 200


@pytest.mark.trap(12, 18, 19)
def test_one_thread_means_one_compute_thread(data_root: Path, start: Start) -> None:
    """Counted from outside, by the CPU time of each thread of the running process."""
    process = start("--ep-id", "show", "--stride", "1", "--cpu-threads", "1", "--events", "ndjson")
    wait_until_frames(process)
    watched = psutil.Process(process.pid)
    before = {t.id: t.user_time + t.system_time for t in watched.threads()}

    def spent() -> list[float]:
        return sorted(
            (t.user_time + t.system_time - before.get(t.id, 0) for t in watched.threads()),
            reverse=True,
        )

    busiest, *others = wait_for(lambda: s if (s := spent())[0] > 0.5 else None, what="some work")
    process.terminate()
    process.communicate()
    assert sum(others) < 0.15 * busiest


@pytest.mark.trap(12, 17)
def test_limits_take_effect_and_results_do_not_depend_on_the_threads(data_root: Path) -> None:
    """Limits as the process saw them: ONNX Runtime's options, threadpoolctl, OpenCV, threads.
    One thread, two that share the frames: the same to the bit, in the same order.
    """
    found = []
    for threads in (1, 2, 2):
        options = ("--stride", "12", "--cpu-threads", str(threads))
        done = run_cli(data_root, "--ep-id", "show", *options)
        assert done.returncode == 0, done.stderr
        manifest = manifest_of(data_root, "show")
        seen = manifest["threads"]
        assert seen["limit"] == threads
        assert seen["workers"] * seen["detector"] == threads
        assert seen["decoder"] == seen["detector"] == seen["opencv"] == seen["blas"] == 1
        assert seen["busy"] == threads
        folder = data_root / "manifests/show/runs" / manifest["run_id"]
        found.append([(folder / f"{name}.jsonl").read_text() for name in ("detections", "tracks")])
    assert found[0][0].count("\n") > 50
    assert found[0] == found[1] == found[2]


@pytest.mark.trap(11)
def test_the_request_goes_before_the_environment_that_before_the_profile_and_the_hosts_limit_caps(
    data_root: Path,
) -> None:
    environment = {
        "SCREENALYTICS_STRIDE": "8",
        "SCREENALYTICS_DET_THRESH": "0.6",
        "SCREENALYTICS_PROFILE": "performance",
        "SCREENALYTICS_MAX_CPU_THREADS": "1",
    }
    done = run_cli(data_root, "--ep-id", "talk", "--det-thresh", "0.7", **environment)
    assert done.returncode == 0, done.stderr
    manifest = manifest_of(data_root, "talk")
    options, sources = manifest["options"], manifest["sources"]
    assert (options["det_thresh"], sources["det_thresh"]) == (0.7, "request")
    assert (manifest["effective_stride"], sources["stride"]) == (8, "env:SCREENALYTICS_STRIDE")
    assert (options["profile"], sources["fps"]) == ("performance", "profile:performance")
    assert (options["cpu_threads"], options["max_cpu_percent"]) == (1, None)
    assert sources["cpu_threads"] == "limit:SCREENALYTICS_MAX_CPU_THREADS"
    bad = run_cli(data_root, "--ep-id", "talk", SCREENALYTICS_MAX_CPU_THREADS="many")
    assert bad.returncode == 2
    assert "SCREENALYTICS_MAX_CPU_THREADS" in bad.stderr


@pytest.mark.alone
@pytest.mark.trap(36, 37)
def test_cpu_budget_holds(data_root: Path, start: Start) -> None:
    """Measured from outside by the kernel: CPU time of the process over its wall clock."""
    start_time = time.monotonic()
    process = start(
        "--ep-id",
        "show",
        "--stride",
        "4",
        "--max-cpu-percent",
        "50",
        "--events",
        "ndjson",
    )
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start_time
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.stderr is not None:
        process.stderr.close()
    process.stdout.close()
    assert process.returncode == 0
    outside = 100 * (usage.ru_utime + usage.ru_stime) / wall
    reported = json.loads(lines[-1])["cpu"]
    assert outside <= 55
    assert reported["mean_percent"] <= 55
    assert abs(reported["mean_percent"] - outside) < 6  # the interpreter's own end is not in it
    manifest = manifest_of(data_root, "show")
    assert manifest["cpu_limit_percent"] == 50
    assert manifest["times"]["paced"] > 0


@pytest.mark.trap(8)
def test_detections_without_tracks_warn_with_the_numbers(data_root: Path) -> None:
    """One processed frame, so small that its face is doubtful: a single one is no track."""
    options = ("--stride", "1000", "--det-size", "160", "--det-thresh", "0.2")
    done = run_cli(data_root, "--ep-id", "show", *options)
    assert done.returncode == 0
    assert "between 0.2 and 0.5" in done.stderr
    warnings = manifest_of(data_root, "show")["warnings"]
    assert any(re.search(r"\d+ detections but no track", warning) for warning in warnings)


@pytest.mark.trap(8)
def test_a_stride_that_gives_way_to_the_profile_is_reported(data_root: Path) -> None:
    (data_root / "videos" / "brief").mkdir()
    write_video(data_root / "videos" / "brief" / "episode.mp4", moving(8), replace(H264, fps=30))
    brief = ("--ep-id", "brief", "--stride", "1", "--det-size", "160")
    done = run_cli(data_root, *brief)
    assert done.returncode == 0
    manifest = manifest_of(data_root, "brief")
    assert manifest["effective_stride"] == 2
    (warning,) = manifest["warnings"]
    assert manifest["result"]["warnings"] == [warning]
    assert f"warning: {warning}" in done.stderr
    assert "fps 15 (profile:low_power)" in warning
    assert "ask for fps 30 or more" in warning
    assert run_cli(data_root, *brief, "--fps", "30").returncode == 0
    manifest = manifest_of(data_root, "brief")
    assert (manifest["effective_stride"], manifest["warnings"]) == (1, [])


def test_disk_full(data_root: Path, tmp_path: Path) -> None:
    """A real full disk: a small tmpfs in a mount namespace of the run's own."""
    mount = tmp_path / "small"
    mount.mkdir()
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare to mount a small disk")
    probe = f"mount -t tmpfs -o size=660k none {mount}"
    if subprocess.run(["unshare", "-m", "sh", "-c", probe], check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    source, target = data_root / "videos/talk/episode.mp4", f"{mount}/videos/talk"
    copy = f"mkdir -p {target} && cp {source} {target}"
    # The prepared model is larger than the disk: take it from a cache that is there already.
    link = f"ln -s {data_root}/.cache {mount}/.cache"
    arguments = ["--ep-id", "talk", "--stride", "1", "--save-crops", "--save-preview"]
    run = " ".join(cli_command(mount, *arguments))
    results = f"{mount}/manifests/talk"
    look = f"cat {results}/runs/*/run.json; ls -a {results}/runs/* {results}"
    script = f"{probe} && {copy} && {link} && {run}; echo code=$?; {look}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(SCREENALYTICS_MIN_FREE_MB="0"),
        check=False,
    )
    assert "code=1" in done.stdout, done.stdout + done.stderr
    assert "The disk is full." in done.stderr
    assert '"status": "failed"' in done.stdout
    assert "latest.json" not in done.stdout
    assert ".partial" not in done.stdout
    assert "detections.jsonl" not in done.stdout


def test_a_run_whose_results_are_removed_fails(data_root: Path, start: Start) -> None:
    """Something else that tidies the data folder: the run must not say that it completed."""
    process = start("--ep-id", "show", "--run-id", "lost", "--events", "ndjson", *LASTING)
    wait_until_frames(process)
    files = Layout(data_root).run("show", "lost")
    (files.staging / "detections.jsonl").unlink()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    last = json.loads(output.splitlines()[-1])
    assert last["type"] == "error"
    assert "detections.jsonl" in last["detail"]
    manifest = json.loads(files.manifest.read_text())
    assert (manifest["status"], manifest["exit_reason"]) == ("failed", last["detail"])
    assert not files.tracks.exists()
    assert not Layout(data_root).latest("show").exists()


def test_too_little_space_is_said_before_the_run(data_root: Path) -> None:
    done = run_cli(data_root, "--ep-id", "talk", SCREENALYTICS_MIN_FREE_MB="1e12")
    assert done.returncode == 1
    assert "MB are free" in done.stderr


def test_data_root_that_cannot_be_written(tmp_path: Path, test_data: Path) -> None:
    video = test_data / "videos" / "carphone_pristine.mp4"
    done = run_cli(Path("/proc"), "--ep-id", "talk", "--video", str(video))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")


def test_limits_come_before_numpy() -> None:
    """The script's own order: what is imported when the limits are applied."""
    code = (
        "import sys, runpy; sys.argv = ['episode_run.py', '--ep-id', 'x', '--stride', '0']\n"
        "import apps.common.cpu_limits as limits\n"
        "real = limits.apply_global_cpu_limits\n"
        "def spy(*args):\n"
        "    print('heavy:', [m for m in ('numpy', 'cv2', 'onnxruntime') if m in sys.modules])\n"
        "    return real(*args)\n"
        "limits.apply_global_cpu_limits = spy\n"
        "runpy.run_path('tools/episode_run.py', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    assert "heavy: []" in done.stdout
    assert done.returncode == 2
