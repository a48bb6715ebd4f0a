"""Whatever a program started ends with it, at any moment and in any state."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from apps.common.contracts.manifest import RunManifest
from apps.common.files import read_json
from apps.common.layout import Layout
from apps.runs.child import _tied
from apps.runs.spec import PreviewSpec
from lab.paths import CHECKOUT
from lab.processes.service import add_episode, clean_environment, gone, run_cli, wait_for
from lab.specs import spec_of
from tests.support.launching import ARGUMENTS, Launch, launched

pytestmark = pytest.mark.alone

LONGEST = 2.0  # seconds that anything may outlive its launcher
EP = "show"
SLOW = {"stride": 1, "max_cpu_percent": 60}
STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
IMPORTS = (0.0, 0.1, 0.5)  # seconds after the process began


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("lifeline") / "data"
    add_episode(root, EP, test_data / "videos" / "short_hamilton_clip.mp4")
    return root


@pytest.fixture(scope="module")
def loops() -> Iterator[list[psutil.Process]]:
    """As many busy loops as there are cores, at a higher priority than a run has; stopped."""
    command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(os.cpu_count() or 1)
    ]
    for loop in started:
        assert loop.stdout is not None
        loop.stdout.readline()
        loop.send_signal(signal.SIGSTOP)
    yield [psutil.Process(loop.pid) for loop in started]
    for loop in started:
        loop.kill()
        loop.communicate()


@contextmanager
def busy(loops: list[psutil.Process]) -> Iterator[None]:
    """They turn within the block."""
    for loop in loops:
        loop.resume()
    try:
        yield
    finally:
        for loop in loops:
            loop.suspend()


@pytest.fixture
def _orphans_are_taken_in() -> Iterator[None]:
    """This process becomes the parent of orphans, as the first one of a container does.

    Elsewhere nobody in their session is left, and the system wakes stopped ones by itself.
    """
    if sys.platform != "linux":
        pytest.skip("PR_SET_CHILD_SUBREAPER is Linux's")
    prctl = ctypes.CDLL(None).prctl
    assert prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def end_of_launcher(launch: Launch) -> None:
    """Kills the launcher; its child is gone soon after."""
    launch.launcher.kill()
    launch.launcher.wait()
    wait_for(lambda: gone([launch.child]), LONGEST, "the child's end")


def stop(launch: Launch) -> None:
    """Leaves the child stopped, unless it has ended."""
    with suppress(psutil.NoSuchProcess):
        launch.child.suspend()
        wait_for(lambda: launch.child.status() in STOPPED, what="the process to stop")


@contextmanager
def a_run(data_root: Path, run_id: str) -> Iterator[Launch]:
    spec = spec_of(data_root, EP, run_id, **SLOW)
    with launched("run", line=spec.model_dump_json()) as launch:
        yield launch


def manifest_of(data_root: Path, run_id: str) -> RunManifest:
    return RunManifest.model_validate(read_json(Layout(data_root).run(EP, run_id).manifest))


@pytest.mark.trap(29, 49)
@pytest.mark.parametrize("suspended", [False, True], ids=["going", "stopped"])
@pytest.mark.parametrize("seconds", IMPORTS)
def test_a_run_that_is_still_importing(
    data_root: Path, loops: list[psutil.Process], seconds: float, suspended: bool
) -> None:
    with a_run(data_root, f"imports-{seconds}-{suspended}") as launch, busy(loops):
        time.sleep(seconds)
        if suspended:
            stop(launch)
        end_of_launcher(launch)


@pytest.mark.trap(29, 49)
@pytest.mark.parametrize("suspended", [False, True], ids=["going", "stopped"])
@pytest.mark.parametrize("phase", ["loading", "running"])
def test_a_run_that_is_on_says_why_it_ended(data_root: Path, phase: str, suspended: bool) -> None:
    run_id = f"{phase}-{suspended}"
    with a_run(data_root, run_id) as launch:
        launch.hear(f'"phase": "{phase}"')
        if suspended:
            stop(launch)
        end_of_launcher(launch)
    manifest = manifest_of(data_root, run_id)
    assert (manifest.status, manifest.exit_reason) == (
        "cancelled",
        "The run was stopped: the program that started it is gone.",
    )
    assert not Layout(data_root).run(EP, run_id).staging.exists()


@pytest.mark.trap(29, 49)
@pytest.mark.parametrize("what", ["run", "preview"])
def test_nothing_is_imported_before_it_is_tied(what: str) -> None:
    """Its input ends before it was told anything, so it ends where it looks at it first."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *ARGUMENTS[what]],
        cwd=CHECKOUT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        process_group=0,
    )
    assert done.returncode == -signal.SIGKILL
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "apps.common.lifeline" in imported
    assert not imported & {"argparse", "json", "pydantic", "numpy", "onnxruntime", "av"}


@pytest.mark.trap(29, 49)
@pytest.mark.usefixtures("_orphans_are_taken_in")
@pytest.mark.parametrize("what", ["loading", "importing", "running"])
def test_a_stopped_run_in_a_container(data_root: Path, what: str) -> None:
    if what == "loading" and not _tied():
        pytest.skip("needs setpriv of util-linux")
    with a_run(data_root, f"contained-{what}") as launch:
        if what == "running":
            launch.hear('"phase": "running"')
        elif what == "loading":
            is_python = lambda: launch.child.cmdline()[:1] == [sys.executable]  # noqa: E731
            wait_for(is_python, what="Python in place of setpriv")
        else:  # its first thread is that which waits for the end of the input
            wait_for(lambda: launch.child.num_threads() > 1, what="its first thread")
        stop(launch)
        end_of_launcher(launch)
        os.waitpid(launch.child.pid, 0)  # it has become a child of this process
    if what == "running":
        assert manifest_of(data_root, "contained-running").status == "cancelled"


@pytest.mark.parametrize("suspended", [False, True], ids=["going", "stopped"])
@pytest.mark.parametrize("seconds", [0.0, 0.8])
def test_a_preview(data_root: Path, seconds: float, suspended: bool) -> None:
    run_id = "for-previews"
    if not Layout(data_root).run(EP, run_id).manifest.exists():
        done = run_cli(data_root, "--ep-id", EP, "--run-id", run_id, "--stride", "60")
        assert done.returncode == 0, done.stderr
    video = manifest_of(data_root, run_id).video
    assert video is not None
    spec = PreviewSpec(
        ep_id=EP,
        run_id=run_id,
        data_root=str(data_root),
        video=video,
        cpu_threads=1,
        max_cpu_percent=5,
    )
    with launched("preview", line=spec.model_dump_json()) as launch:
        time.sleep(seconds)
        if suspended:
            stop(launch)
        end_of_launcher(launch)


@pytest.mark.parametrize("suspended", [False, True], ids=["going", "stopped"])
def test_a_probe(data_root: Path, suspended: bool) -> None:
    video = data_root / "videos" / EP / "episode.mp4"
    with launched("probe", "picture", str(video), str(data_root / "picture.jpg")) as launch:
        if suspended:
            stop(launch)
        end_of_launcher(launch)


@pytest.mark.parametrize("suspended", [False, True], ids=["going", "stopped"])
@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_comparison(data_root: Path, seconds: float, suspended: bool) -> None:
    with launched("comparison", "--ep-id", EP, "--url", "http://127.0.0.1:1") as launch:
        time.sleep(seconds)
        if suspended:
            stop(launch)
        end_of_launcher(launch)
