"""The banner over a server whose source has changed on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser

from lab.processes.service import add_episode, serving_checkout
from tests.support.checkout import copy_checkout
from tests.support.page import Tab, page_server, tab

STALE = "The server is stale: it runs older code than the one on disk."
NO_QUEUE = {"SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0"}


@contextmanager
def page_of(checkout: Path, folder: Path, browser: Browser) -> Iterator[Tab]:
    """Server and page, both from the checkout, and a tab on them."""
    with (
        serving_checkout(checkout, folder / "data", **NO_QUEUE) as server,
        page_server(server.url, folder, checkout) as page,
        tab(browser, page.url) as opened,
    ):
        opened.open("/")
        opened.see("Run detect/track")
        yield opened


def test_a_stale_server_is_announced_until_it_is_restarted(
    browser: Browser, tmp_path: Path, test_data: Path
) -> None:
    add_episode(tmp_path / "data", "talk", test_data / "videos" / "carphone_pristine.mp4")
    checkout = copy_checkout(tmp_path / "checkout")
    with page_of(checkout, tmp_path, browser) as opened:
        assert not opened.shows(STALE)
        source = checkout / "apps" / "runs" / "store.py"
        source.write_text(source.read_text() + "# touched\n")
        opened.see(STALE)  # without a click: it looks every five seconds
        opened.see("make up")
        opened.picture("stale-server")
        for view in ("Results", "Compare", "System"):
            opened.go(view)
            opened.see(STALE)
    with page_of(checkout, tmp_path, browser) as opened:
        opened.page.wait_for_timeout(1500)
        assert not opened.shows(STALE)
        assert not opened.shows("different code")
