"""The wheel: built, installed into an environment of its own, used from an unrelated folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lab.paths import CHECKOUT
from lab.processes.ports import free_port
from lab.processes.service import clean_environment, exit_code, wait_for

OF_THE_CHECKOUT = ("apps", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: building leaves files in the source."""
    source = tmp_path_factory.mktemp("source")
    for name in OF_THE_CHECKOUT:
        if (CHECKOUT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(CHECKOUT / name, source / name, ignore=ignored)
        else:
            shutil.copyfile(CHECKOUT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--wheel-dir", str(target), str(source)], check=True)
    (built,) = target.glob("*.whl")
    return built


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and a folder that knows nothing of it."""

    scripts: Path
    elsewhere: Path

    def command(self, *arguments: str) -> list[str]:
        return [str(self.scripts / "screenalytics"), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        environment = clean_environment(
            SCREENALYTICS_DATA_ROOT="data", INSIGHTFACE_HOME=str(self.elsewhere / "insightface")
        )
        del environment["PYTHONPATH"]
        return environment

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.elsewhere,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What the wheel depends on is taken from where the tests run; the product is not."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*pip, "--no-index", str(wheel)], env=own, check=True)
    (site,) = (folder / "env" / "lib").glob("*/site-packages")
    # A line in a .pth file adds the folder, and passes over the .pth files in it: no checkout.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    elsewhere = folder / "elsewhere"
    # A folder of the same name where the user stands is not taken for the product.
    (elsewhere / "apps").mkdir(parents=True)
    (elsewhere / "apps" / "__init__.py").write_text("raise SystemExit('not this one')\n")
    return Installed(python.parent, elsewhere)


def test_the_wheel_holds_the_product_and_no_more(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"apps"}
    inside = set(names)
    for path in (CHECKOUT / "apps").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.relative_to(CHECKOUT).as_posix() in inside


def test_help_names_every_command(installed: Installed) -> None:
    done = installed.run("--help")
    assert done.returncode == 0
    for name in ("run", "serve", "worker", "page", "up", "demo", "compare", "diagnose"):
        assert f"\n  {name} " in done.stdout
        assert installed.run(name, "--help").returncode == 0, name


def test_an_episode_by_the_command_line(installed: Installed, test_data: Path) -> None:
    video = test_data / "videos" / "carphone_pristine.mp4"
    done = installed.run("run", "--ep-id", "talk", "--video", str(video), "--events", "ndjson")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "result"
    assert (installed.elsewhere / "data" / "manifests" / "talk" / "latest.json").is_file()
    assert installed.run("diagnose", "--ep-id", "talk").returncode == 0


@contextmanager
def serving(installed: Installed, *arguments: str) -> Iterator[None]:
    log = installed.elsewhere / f"{arguments[0]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            installed.command(*arguments),
            cwd=installed.elsewhere,
            env=installed.environment,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        exit_code(process)


def answers(url: str) -> bool:
    try:
        # Without certificates, which take 35 ms of CPU to load.
        return httpx.get(url, trust_env=False, verify=False).status_code == 200
    except httpx.TransportError:
        return False


def test_the_service_and_the_page(installed: Installed, test_data: Path) -> None:
    port, page_port = str(free_port()), str(free_port())
    url, page_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{page_port}"
    with (
        serving(installed, "serve", "--port", port),
        serving(installed, "page", "--server.address", "127.0.0.1", "--server.port", page_port),
        httpx.Client(base_url=url, timeout=120, trust_env=False) as client,
    ):
        wait_for(lambda: answers(f"{url}/health/live"), 60, "the service")
        video = test_data / "videos" / "carphone_pristine.mp4"
        with video.open("rb") as stream:
            sent = client.post("/episodes", data={"ep_id": "ep"}, files={"file": stream})
        assert sent.status_code == 201, sent.text
        body = {"ep_id": "ep", "execution_mode": "local", "stride": 12}
        answer = client.post("/celery_jobs/detect_track", json=body)
        assert answer.status_code == 200, answer.text
        assert client.get("/version").json()["stale"] is False
        wait_for(lambda: answers(f"{page_url}/_stcore/health"), 60, "the page")
        assert answers(page_url)


def test_what_only_a_checkout_has_says_so(installed: Installed) -> None:
    done = installed.run("evaluate")
    assert done.returncode == 1
    assert "needs a checkout" in done.stderr
    assert os.linesep not in done.stderr.strip()
