"""The whole product, running: Redis, API, worker, page, and a browser in front of it."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from lab.processes.queue import Worker, redis_server, worker
from lab.processes.service import Server, add_episode, serving
from tests.support.page import Tab, chromium, page_server, tab
from tests.support.review import write_clip

DEMO = "demo-s01e01"
PEOPLED = "people-s01e01"  # the same video: corrections of people are an episode's


@dataclass
class Product:
    """Everything, and where it answers."""

    server: Server
    worker: Worker
    page_url: str
    data_root: Path

    def runs_of(self, ep_id: str) -> list[dict[str, Any]]:
        """Newest first, as the API tells it."""
        items: list[dict[str, Any]] = self.server.client.get(f"/episodes/{ep_id}/runs").json()[
            "items"
        ]
        return items

    def add_copy(self, ep_id: str) -> None:
        """Adds an episode with the video of another one."""
        [video] = (self.data_root / "videos" / "talk").glob("episode.*")
        add_episode(self.data_root, ep_id, video)

    def run(self, ep_id: str, **fields: Any) -> str:
        """Makes a completed run; its id."""
        answer = self.server.detect_track(ep_id, **fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["run_id"])


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The video of a made run; its frames tell their numbers."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path, 24)
    return path


@pytest.fixture(scope="package")
def product(
    tmp_path_factory: pytest.TempPathFactory, test_data: Path, demo_episode: Path
) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("product")
    root = folder / "data"
    shutil.copytree(demo_episode, root / "videos" / DEMO)
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    with (
        redis_server(folder / "redis") as redis,
        serving(root, SCREENALYTICS_REDIS_URL=redis.url) as server,
        worker(root, redis.url) as one_worker,
        page_server(server.url, folder) as page,
    ):
        yield Product(server, one_worker, page.url, root)


@pytest.fixture(scope="package")
def shown_run(product: Product) -> str:
    """A completed run of the demo episode that has everything there is to look at."""
    return product.run(DEMO, stride=6, save_preview=True, save_crops=True)


@pytest.fixture(scope="package")
def peopled_run(product: Product) -> str:
    """A completed run of `PEOPLED` whose tracks are grouped into people."""
    shutil.copytree(product.data_root / "videos" / DEMO, product.data_root / "videos" / PEOPLED)
    return product.run(PEOPLED, stride=6, save_crops=True, people=True)


@pytest.fixture(scope="package")
def other_run(product: Product, shown_run: str) -> str:
    """A later run of the demo episode with other options."""
    return product.run(DEMO, profile="performance", stride=24)


@pytest.fixture
def one_tab(browser: Browser, product: Product) -> Iterator[Tab]:
    """A tab on the product."""
    with tab(browser, product.page_url) as opened:
        yield opened


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They run one after the other, beside the rest: a browser and a page take a core."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails says what its page showed."""
    report = yield
    if report.failed and report.when == "call" and isinstance(item, pytest.Function):
        for name, value in item.funcargs.items():
            if isinstance(value, Tab):
                report.sections.append((f"the page of {name}", value.last_words()))
    return report
