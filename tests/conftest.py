"""Fixtures that every folder of tests uses."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import cv2
import pytest
from xdist.scheduler import LoadFileScheduling

import apps  # noqa: F401 - sets what ONNX Runtime reads when a test loads it
from apps.common.loading import loading
from lab.paths import CHECKOUT, SHARED_DATA

if TYPE_CHECKING:
    from lab.processes.queue import Redis

# A script that starts the tests in the background makes them ignore SIGINT, and `nohup` SIGHUP.
# What ignores one passes that on to every process it starts; the tests send both to theirs.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)  # the tests go on; processes get the default

# As in the product's own processes: helpers that spin would take the cores of other tests.
cv2.setNumThreads(1)


# A test is `slow` where its module, or that of one of its fixtures, uses one of these.
_STARTERS = ("subprocess", "multiprocessing", "playwright", "lab.processes", "tests.support")
_PROCESS_EVENTS = frozenset(
    {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.system"}
)
# Files that take longer than their number of tests tells, as they wait for processes.
_SECONDS = {
    "tests/faults/test_faults.py": 90,
    "tests/api/test_queue.py": 60,
    "tests/api/test_comparisons.py": 45,
    "tests/api/test_old_path.py": 40,
    "tests/api/test_cancel.py": 25,
    "tests/api/test_local_run.py": 25,
    "tests/jobs/test_deliveries.py": 30,
    "tests/objects/test_hosts.py": 25,
    "tests/stack/test_up.py": 25,
    "tests/test_wheel.py": 25,
    "tests/test_examples.py": 20,
    "tests/test_interrupted_run.py": 12,
}
_OF_PRODUCT = re.compile(r"\b(product: Product|one_tab: Tab|shown_run: str|other_run: str)\b")
_running: list[pytest.Item] = []
_starts: dict[int, bool] = {}  # by the identity of a module's names


def pytest_configure(config: pytest.Config) -> None:
    from tests.support import run_guard  # at the top, all tests would seem to use it

    if hasattr(config, "workerinput"):
        run_guard.take_one_interrupt()
    else:
        has_workers = config.getoption("dist", "no") != "no"
        config.pluginmanager.register(run_guard.RunGuard(has_workers=has_workers))
    sys.addaudithook(_refuse_processes)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Six thousand tests stay, and so do their modules: nobody looks for garbage among them."""
    with loading():
        return (yield)


def pytest_itemcollected(item: pytest.Item) -> None:
    # Here, since `-m` takes its choice before the last of what changes the collected items.
    if isinstance(item, pytest.Function) and _is_slow(item):
        item.add_marker(pytest.mark.slow)


def _is_slow(item: pytest.Function) -> bool:
    fixtures = [d.func for found in item._fixtureinfo.name2fixturedefs.values() for d in found]
    spaces = [f.__globals__ for f in (item.function, *fixtures) if hasattr(f, "__globals__")]
    for space in spaces:
        if id(space) not in _starts:
            _starts[id(space)] = _uses_starters(space.values())
    with_video = not {"test_data", "demo_episode"}.isdisjoint(item.fixturenames)
    return with_video or any(_starts[id(space)] for space in spaces)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a browser come first, then those that take long: the fast ones fill up."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    seconds = {path: 0.4 * count for path, count in slow.items()}
    seconds |= {CHECKOUT / name: float(long) for name, long in _SECONDS.items()}
    with_browser = {item.path for item in items if item.get_closest_marker("browser")}
    items.sort(key=lambda item: (item.path not in with_browser, -seconds.get(item.path, 0.0)))


class _Scheduling(LoadFileScheduling):
    """A file at a time; those with a browser are two: with the whole product, and without.

    A product and a browser for each are enough. What needs a browser alone goes beside them, since
    all in a row would end after everything else.
    """

    def _split_scope(self, nodeid: str) -> str:
        if not nodeid.startswith("tests/browser/"):
            return super()._split_scope(nodeid)
        return "product" if _uses_product(nodeid.partition("::")[0]) else "browser"


@cache
def _uses_product(file: str) -> bool:
    """Told by its text: the process that gives out the tests loads none of them."""
    return _OF_PRODUCT.search((CHECKOUT / file).read_text()) is not None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    return _Scheduling(config, log)


def _uses_starters(values: Iterable[Any]) -> bool:
    names = [
        value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        for value in values
    ]
    return any(f"{name}.".startswith(f"{starter}.") for name in names for starter in _STARTERS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.pop()


def _refuse_processes(
    event: str, arguments: tuple[Any, ...], watched: frozenset[str] = _PROCESS_EVENTS
) -> None:
    """Holds the fast tests to what their name says.

    Whichever test happens to load Matplotlib first asks for the machine's fonts. `watched` is an
    argument since the interpreter, which ends with this in place, takes the module's names away.
    """
    if event not in watched or arguments[:1] == ("fc-list",):
        return
    if _running and not _running[-1].get_closest_marker("slow"):
        raise AssertionError(f"{_running[-1].nodeid} starts a process, yet is not marked slow")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real videos and weights; see its INDEX.md."""
    named = os.environ.get("SCREENALYTICS_TEST_DATA")
    folder = Path(named) if named else SHARED_DATA
    if not (folder / "videos").is_dir():
        pytest.skip("no test data: set SCREENALYTICS_TEST_DATA to a folder that has videos/")
    return folder


@pytest.fixture(scope="session")
def demo_episode(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo episode's folder, made once for all tests of the same code; to be copied."""
    from tests.support.demo import render_once

    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)  # -p no:cacheprovider
    kept = cache.mkdir("demo-episode") if cache is not None else tmp_path_factory.mktemp("demo")
    return render_once(kept)


@pytest.fixture(scope="module")
def broker(data_root: Path) -> Iterator[Redis]:
    """A Redis beside the module's data root."""
    from lab.processes.queue import redis_server  # most folders need no Redis

    with redis_server(data_root.parent / "redis") as running:
        yield running
