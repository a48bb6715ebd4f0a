"""`make up` as a user runs it: everything answers, everything goes again, by process id."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import redis

from apps.common.certificates import certificates
from apps.common.redis_url import RedisUrl
from apps.stack import redis_server
from apps.stack.services import Plan, Stack, Step, UpFailed
from lab.paths import CHECKOUT
from lab.processes.ports import free_port
from lab.processes.service import add_episode, clean_environment, exit_code, gone, wait_for

READY_SECONDS = 60
LOOPBACK = "127.0.0.1"
needs_worker = pytest.mark.skipif(
    importlib.util.find_spec("apps.worker.celery_app") is None, reason="there is no worker yet"
)


@dataclass
class Up:
    process: subprocess.Popen[bytes]
    log: Path
    port: int
    page_port: int
    redis_url: str

    def said(self) -> str:
        return self.log.read_text()

    def wait_until_ready(self) -> list[psutil.Process]:
        """Everything that it started."""

        def ready() -> bool:
            assert self.process.poll() is None, self.said()
            return "\nReady." in self.said()

        wait_for(ready, READY_SECONDS, "up")
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return exit_code(self.process)


Start = Callable[..., Up]


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    return tmp_path / "data folder"  # with a blank, as people have


@pytest.fixture
def start(tmp_path: Path, data_root: Path) -> Iterator[Start]:
    started: list[Up] = []

    def begin(**changes: str) -> Up:
        port, redis_port = free_port(), free_port()
        url = changes.pop("redis_url", f"redis://127.0.0.1:{redis_port}/0")
        port = int(changes.pop("port", port))
        page_port = int(changes.pop("page_port", free_port()))
        environment = clean_environment(
            SCREENALYTICS_DATA_ROOT=str(data_root), SCREENALYTICS_REDIS_URL=url, **changes
        )
        log = tmp_path / f"up-{port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, str(CHECKOUT / "tools" / "up.py")),
                    *("--port", str(port), "--page-port", str(page_port)),
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started.append(Up(process, log, port, page_port, url))
        return started[-1]

    yield begin
    for up in started:
        if up.process.poll() is None:
            up.stop(signal.SIGTERM)


@contextmanager
def own_redis(folder: Path, password: str = "") -> Iterator[str]:
    """A Redis server that was there before; its address."""
    port = free_port()
    command = [redis_server.executable(), "--port", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--save", "", "--dir", str(folder), "--requirepass", password],
        stdout=subprocess.DEVNULL,
    )
    address = RedisUrl.parse(f"redis://:{password}@127.0.0.1:{port}/0")
    try:
        wait_for(lambda: redis_server.answers(address), what="Redis")
        yield address.for_client
    finally:
        process.terminate()
        exit_code(process)


def words(process: psutil.Process) -> list[str]:
    """Its command line; none where it has ended: Redis and the pool start helpers that do."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


@needs_worker
@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_everything_answers_and_killed_itself_it_leaves_nothing(
    start: Start, data_root: Path
) -> None:
    up = start(
        redis_url=f"redis://:s3cret@127.0.0.1:{free_port()}/0", SCREENALYTICS_API_KEY="s3cret-key"
    )
    family = up.wait_until_ready()
    url = f"http://127.0.0.1:{up.port}"
    assert httpx.get(f"{url}/health/live").status_code == 200
    page_url = f"http://127.0.0.1:{up.page_port}"
    assert httpx.get(f"{page_url}/_stcore/health").text == "ok"
    (page,) = [process for process in family if "apps.ui" in words(process)]
    assert page.environ()["SCREENALYTICS_API_URL"] == url
    assert page.environ()["SCREENALYTICS_API_KEY"] == "s3cret-key"
    assert {address.laddr.ip for address in page.net_connections() if address.laddr} == {LOOPBACK}
    with redis.Redis.from_url(up.redis_url) as client:
        assert client.ping()
        assert client.info("persistence")["aof_enabled"] == 1
    assert any((data_root / ".redis").rglob("appendonly.aof*"))  # in a folder since Redis 7
    said = up.said()
    for part in ("redis | ", "api | ", "worker | ", "page | ", url, "(started here)"):
        assert part in said
    ready = said.partition("\nReady.")[2]
    assert ready.index(page_url) < ready.index(url)  # what people want first
    assert said.count("curl ") == 2
    assert "s3cret" not in said
    assert not any("s3cret" in " ".join(words(process)) for process in family)
    assert len(family) >= 5  # Redis, API, worker and its pool, page
    up.process.kill()
    up.process.wait()
    wait_for(lambda: gone(family), 20, "the services to end")


@needs_worker
def test_its_redis_is_for_its_owner_and_for_nothing_dangerous_and_everything_goes(
    start: Start, data_root: Path, test_data: Path
) -> None:
    add_episode(data_root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    up = start()
    family = up.wait_until_ready()
    with redis.Redis.from_url(up.redis_url) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    note = data_root / ".redis" / redis_server.URL_FILE
    assert note.stat().st_mode & 0o777 == 0o600
    assert note.parent.stat().st_mode & 0o777 == 0o700  # jobs are written down there as well
    url = note.read_text()
    with redis.Redis.from_url(url) as client:
        assert client.info("server")["redis_version"]
        for command in ("FLUSHALL", "CONFIG GET *", "DEBUG OBJECT x", "SHUTDOWN", "ACL LIST"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())
    password = url.partition("//:")[2].partition("@")[0]
    assert len(password) > 30
    assert password not in up.said()
    assert not any(password in " ".join(words(process)) for process in family)
    second = start(redis_url=up.redis_url)  # one more on the same data finds it
    of_second = second.wait_until_ready()
    assert "(was running already, and will stay)" in second.said()
    jobs = f"http://127.0.0.1:{second.port}/celery_jobs"
    with httpx.Client(base_url=jobs, verify=certificates()) as client:
        asked = client.post("/detect_track", json={"ep_id": "talk", "stride": 120})
        job = asked.json()["job_id"]
        ended = ("success", "failed")
        wait_for(lambda: client.get(f"/{job}").json()["state"] in ended, 60, "the job")
        assert client.get(f"/{job}").json()["state"] == "success"
    (api,) = [process for process in of_second if "apps.api" in words(process)]
    api.kill()  # one that dies takes the others along, but no Redis that was there
    assert exit_code(second.process) == 1
    assert gone(of_second)
    assert "api was killed by SIGKILL. Its last lines:" in second.said()
    assert job in second.said().rpartition("Its last lines:")[2]
    assert redis_server.answers(RedisUrl.parse(url))
    assert up.stop(signal.SIGINT) == 0, up.said()
    assert gone(family)
    assert "up | stopped" in up.said()
    assert not note.exists()
    assert not list(note.parent.glob("*.rdb"))


def test_the_password_of_its_redis_is_on_no_command_line(tmp_path: Path) -> None:
    """Redis hides its own a moment after it began; until then other users could read it."""
    asked = RedisUrl.parse(f"redis://127.0.0.1:{free_port()}/0")
    own = redis_server.with_own_password(asked)
    plan = redis_server.plan(own, tmp_path)
    assert len(own.password) > 30
    assert own.password not in " ".join([*plan.command, *plan.environment.values()])
    assert own.password in plan.standard_input.decode()


@needs_worker
def test_stopped_while_it_starts_it_leaves_nothing_but_a_redis_that_was_there(
    start: Start, tmp_path: Path, data_root: Path
) -> None:
    with own_redis(tmp_path) as url:
        up = start(redis_url=url)
        process = psutil.Process(up.process.pid)
        family = wait_for(lambda: len(found := process.children()) == 3 and found, what="all")
        assert up.stop(signal.SIGTERM) == 0, up.said()
        assert gone(family)
        assert "up | stopped" in up.said()
        assert redis_server.answers(RedisUrl.parse(url))
    assert not (data_root / ".redis").exists()


def fails_with(up: Up) -> str:
    """What it said; nothing was left running."""
    assert exit_code(up.process) == 1, up.said()
    assert "Traceback" not in up.said()
    return up.said()


@pytest.mark.parametrize(("which", "name"), [("port", "PORT"), ("page_port", "PAGE_PORT")])
def test_a_taken_port_is_a_clear_error(start: Start, which: str, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = fails_with(start(**{which: str(port)}))
    assert f"Port {port} is taken" in said
    assert f"make up {name}={port + 1}" in said
    assert "redis | " not in said  # nothing was started


def test_one_port_for_two(start: Start) -> None:
    port = str(free_port())
    assert "cannot share port" in fails_with(start(port=port, page_port=port))


def test_something_else_on_the_port_of_redis(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = fails_with(start(redis_url=f"redis://127.0.0.1:{port}/0"))
    assert f"Port {port} is taken by something that does not answer as Redis" in said


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost.invalid:6379/0", "only one on 127.0.0.1 can be started here"),
        ("http://127.0.0.1:1/", "must be like redis://"),
        ("redis://somebody:secret@127.0.0.1:1/0", "has no users"),
    ],
)
def test_an_address_that_cannot_be_served(start: Start, url: str, expected: str) -> None:
    said = fails_with(start(redis_url=url))
    assert expected in said
    assert "secret" not in said


def test_a_redis_that_refuses(start: Start, tmp_path: Path) -> None:
    with own_redis(tmp_path, password="right") as url:
        for wrong in (url.replace("right", "wrong"), url.replace(":right@", "")):
            said = fails_with(start(redis_url=wrong))
            assert "answers, but refuses" in said
            assert "wrong@" not in said


def test_a_busy_redis_is_waited_for(start: Start, tmp_path: Path) -> None:
    with own_redis(tmp_path, password="right") as url:
        with redis.Redis.from_url(url) as client:
            server = psutil.Process(client.info("server")["process_id"])
        server.suspend()
        try:
            up = start(redis_url=url.replace("right", "wrong"))
            process = psutil.Process(up.process.pid)
            wait_for(process.net_connections, what="it to ask")
            time.sleep(2 * redis_server.PING_SECONDS)
        finally:
            server.resume()
        assert "answers, but refuses" in fails_with(up)


def test_a_setting_that_is_no_value(start: Start) -> None:
    said = fails_with(start(SCREENALYTICS_LOCAL_NICE="much"))
    assert "SCREENALYTICS_LOCAL_NICE" in said


def test_stop_goes_through_its_steps(tmp_path: Path) -> None:
    """A service that does not hear SIGTERM, and its child, are ended all the same."""
    said: list[str] = []
    stack = Stack(said.append)
    program = (
        f"cd {tmp_path}; trap '' TERM; sleep 60 & echo $! > child; echo up and ready; "
        "while :; do sleep 0.1; done"
    )
    plan = Plan(
        name="deaf",
        command=["/bin/sh", "-c", program],
        environment=dict(os.environ),
        steps=(Step(signal.SIGTERM, 0.3), Step(signal.SIGKILL, 5)),
        ready_word="ready",
    )
    service = stack.start(plan)
    assert stack.wait_until(lambda: service.said_ready, "It", 10)
    child = psutil.Process(int((tmp_path / "child").read_text()))
    stack.stop("deaf")
    assert service.process.returncode == -signal.SIGKILL
    assert gone([child])
    assert said == ["deaf | up and ready"]


def test_a_service_that_never_gets_ready() -> None:
    stack = Stack(lambda _: None)
    plan = Plan("slow", ["sleep", "60"], dict(os.environ), (Step(signal.SIGKILL, 5),))
    stack.start(plan)
    with pytest.raises(UpFailed, match=r"not ready within 0\.2 s"):
        stack.wait_until(lambda: False, "It", 0.2)
    stack.stop("slow")
