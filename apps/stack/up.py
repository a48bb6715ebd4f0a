"""Redis, API, worker and page together, until Ctrl-C: `make up`.

Redis is started only where SCREENALYTICS_REDIS_URL (default redis://127.0.0.1:6379/0) does not
answer, and then stopped again. When this program itself is killed with SIGKILL, the kernel ends
its children (Linux; elsewhere they must be ended by hand).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from filelock import FileLock, Timeout

from apps.common.certificates import certificates
from apps.common.errors import InvalidInput
from apps.common.layout import Layout
from apps.common.python_module import python_module
from apps.common.redis_url import RedisUrl
from apps.common.settings import Settings
from apps.stack import redis_server
from apps.stack.services import Plan, Stack, Step, UpFailed

REDIS_READY_S, API_READY_S, WORKER_READY_S, PAGE_READY_S = 10.0, 30.0, 60.0, 60.0
WORKER_WARM_S = 8.0  # to finish what is about to end, and to hand back the rest
_SET_HERE = {"SCREENALYTICS_REDIS_URL_FILE", "SCREENALYTICS_DRAIN_SECONDS_FILE"}  # files win
_DRAIN_S = 3.0  # of them: for how long a run may go on


def start_all(port: int, page_port: int) -> int:
    """Starts everything, and stops it when asked to; returns the exit status.

    Args:
        port: TCP port on which the API listens.
        page_port: TCP port on which the page listens.
    """
    stack = Stack(say)
    stack.listen_to_signals()
    try:
        up(stack, Settings.read(), port, page_port)
    except UpFailed as failure:
        complain(str(failure))
        return 1
    except InvalidInput as error:
        complain(error.message)
        return 1
    say("up | stopped")
    return 0


def up(stack: Stack, settings: Settings, port: int, page_port: int) -> None:
    """Starts everything, then passes lines on until a stop is asked for.

    Raises:
        UpFailed: something is in the way, did not start, or died.
    """
    address = RedisUrl.parse(settings.redis_url)
    _refuse_taken(port, page_port)
    data_root = settings.data_root.resolve()
    url, page_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{page_port}"
    with (
        _redis(stack, address, data_root) as (address, own_redis),
        _stopping(stack, "page", "worker", "api"),
    ):
        if stack.stop_requests:
            return
        settings = settings.model_copy(update={"redis_url": address.for_client})
        stack.start(_api(settings, data_root, port))
        worker = stack.start(_worker(settings, data_root, port))
        stack.start(_page(settings, data_root, url, page_port))
        if (
            stack.wait_until(lambda: _answers(f"{url}/health/live"), "The API", API_READY_S)
            and stack.wait_until(lambda: worker.said_ready, "The worker", WORKER_READY_S)
            and stack.wait_until(
                lambda: _answers(f"{page_url}/_stcore/health"), "The page", PAGE_READY_S
            )
        ):
            say(_ready_text(page_url, url, address, settings.data_root, own_redis=own_redis))
            stack.watch()


def _refuse_taken(port: int, page_port: int) -> None:
    if port == page_port:
        raise UpFailed(f"API and page cannot share port {port}. Or: make up PAGE_PORT={port + 1}.")
    for name, wanted in (("PORT", port), ("PAGE_PORT", page_port)):
        if not redis_server.port_is_free(wanted):
            raise UpFailed(
                f"Port {wanted} is taken. Stop what uses it, or: make up {name}={wanted + 1}."
            )


@contextmanager
def _redis(stack: Stack, asked: RedisUrl, data_root: Path) -> Iterator[tuple[RedisUrl, bool]]:
    """Redis for the time of the block: how it is reached, and whether it was started here."""
    folder = data_root / ".redis"
    there = redis_server.noted(asked, folder)
    if redis_server.answers(there, redis_server.PATIENCE_SECONDS):
        yield there, False
        return
    own = redis_server.with_own_password(asked)
    plan = redis_server.plan(own, folder)
    with _held(folder), redis_server.note(own, folder), _stopping(stack, "redis"):
        stack.start(plan)
        if stack.wait_until(lambda: redis_server.answers(own), "Redis", REDIS_READY_S):
            redis_server.forbid_dangerous(own)
        yield own, True


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Two Redis servers that append to the same file would destroy it."""
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UpFailed(
            "Another `make up` runs a Redis in this data folder. Stop it, or set "
            "SCREENALYTICS_DATA_ROOT to another folder."
        ) from None
    except OSError as error:
        raise UpFailed(f"The data folder is not usable: {error.strerror}.") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _stopping(stack: Stack, *names: str) -> Iterator[None]:
    """Whatever happens in the block, afterwards these services are gone."""
    try:
        yield
    finally:
        say(f"up | stopping {' and '.join(names)}")
        stack.stop(*names)


def _api(settings: Settings, data_root: Path, port: int) -> Plan:
    options = ["--host", "127.0.0.1", "--port", str(port)]
    return Plan(
        name="api",
        command=[*python_module("apps.api"), *options],
        environment=_environment(settings, data_root),
        steps=(Step(signal.SIGTERM, 6), Step(signal.SIGKILL, 1)),
    )


def _worker(settings: Settings, data_root: Path, port: int) -> Plan:
    name = ["--hostname", f"up-{port}@%h"]  # two with one name would answer for each other
    return Plan(
        name="worker",
        command=[*python_module("apps.worker"), *name],
        environment={
            **_environment(settings, data_root),
            "SCREENALYTICS_DRAIN_SECONDS": f"{min(settings.drain_seconds, _DRAIN_S):g}",
        },
        steps=(
            Step(signal.SIGTERM, WORKER_WARM_S),
            Step(signal.SIGQUIT, 4),
            Step(signal.SIGKILL, 1),
        ),
        ready_word=" ready.",  # Celery says `celery@host ready.`
        # A warm stop could wait an hour for its task, and with Redis gone at the same moment
        # neither kind comes to its end for sure. Pool and run end when their pipes do.
        without_parent=signal.SIGKILL,
    )


def _page(settings: Settings, data_root: Path, url: str, port: int) -> Plan:
    return Plan(
        name="page",
        command=[*python_module("apps.ui"), "--server.port", str(port)],
        environment={
            **_environment(settings, data_root),
            **_readable_home(data_root),
            "SCREENALYTICS_API_URL": url,
        },
        steps=(Step(signal.SIGTERM, 4), Step(signal.SIGKILL, 1)),
    )


def _readable_home(data_root: Path) -> dict[str, str]:
    """Streamlit does not start without a home that it can look into."""
    home = os.path.expanduser("~")  # noqa: PTH111 - leaves it as it is where there is none
    return {} if os.access(home, os.R_OK | os.X_OK) else {"HOME": str(Layout(data_root).cache)}


def _environment(settings: Settings, data_root: Path) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if k not in _SET_HERE}
    return {
        **inherited,
        "PYTHONUNBUFFERED": "1",  # lines appear when they are written
        "SCREENALYTICS_DATA_ROOT": str(data_root),
        "SCREENALYTICS_REDIS_URL": settings.redis_url,
    }


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1, trust_env=False, verify=certificates()).status_code == 200
    except httpx.TransportError:
        return False


def _ready_text(
    page_url: str, url: str, address: RedisUrl, data_root: Path, *, own_redis: bool
) -> str:
    origin = "started here" if own_redis else "was running already, and will stay"
    return f"""
Ready. Ctrl-C stops all.
  Page    {page_url}
  API     {url} (documentation at {url}/docs)
  Redis   {address.shown} ({origin})
  Worker  one run at a time
  Data    {data_root}

  {_curl(url, "local")}
  {_curl(url, "redis")}
"""


def _curl(url: str, mode: str) -> str:
    return (
        f"curl {url}/celery_jobs/detect_track -H 'Content-Type: application/json' "
        f'-d \'{{"ep_id": "test-ep", "execution_mode": "{mode}"}}\''
    )


def say(text: str) -> None:
    """Prints; a terminal that is gone must not keep this program from stopping its services."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)


def complain(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(f"up | error: {text}", file=sys.stderr, flush=True)
