"""A real page server and a real Chromium for tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    ViewportSize,
    expect,
    sync_playwright,
)

from lab.paths import CHECKOUT
from lab.processes.ports import free_port
from lab.processes.service import PATIENCE, clean_environment, wait_for, wait_for_start

_SCREENSHOTS = os.environ.get("SCREENALYTICS_SCREENSHOTS")
PATIENCE_MS = int(20_000 * PATIENCE)
_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# All tabs share a process, which has the page's scripts compiled already.
_FLAGS = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
_FLAGS += ["--process-per-site"]
# Resolves when nothing in the element moves any more; what turns for ever does not count.
_ANIMATED = """
element => Promise.allSettled(
  element.getAnimations({subtree: true})
    .filter(animation => animation.effect.getComputedTiming().endTime < Infinity)
    .map(animation => animation.finished)
)
"""
# What the page's own components show, each in a tree of its own.
_COMPONENTS = """() => [...document.querySelectorAll('*')].flatMap(one => one.shadowRoot
  ? [...one.shadowRoot.children].map(child => child.innerText?.trim()).filter(Boolean) : [])"""
_IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
# Streamlit looks there for its own base when a view is opened by its address.
_PROBE = re.compile(r"/\w+/_stcore/(health|host-config)$")
_WATCH = """words => {
  window.wordsSeen = new Set();
  const look = () => words.forEach(word => {
    if (document.body.textContent.includes(word)) window.wordsSeen.add(word);
  });
  look();
  new MutationObserver(look).observe(
    document.body, {subtree: true, childList: true, characterData: true});
}"""
_PICTURES_LOADED = """() => {
  const pictures = [...document.querySelectorAll('[data-testid="stApp"] img')];
  return pictures.length > 0 && pictures.every(one => one.complete && one.naturalWidth > 0);
}"""


def note_figure(name: str, value: float) -> None:
    """Keeps a measured figure beside the screenshots; figures are noted, not judged."""
    if _SCREENSHOTS is None:
        return
    path = Path(_SCREENSHOTS, "figures.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    figures = json.loads(path.read_text()) if path.is_file() else {}
    figures[name] = round(value, 2)
    path.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")


@dataclass
class PageServer:
    """`python -m apps.ui` on a free port of loopback."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path


@contextmanager
def page_server(
    api_url: str, folder: Path, root: Path = CHECKOUT, **environment: str
) -> Iterator[PageServer]:
    """Serves the page of an API; ends it after the block.

    Args:
        api_url: of the API that it shows.
        folder: of its log.
        root: the checkout that it runs from.
        environment: further variables.
    """
    port = free_port()
    log = folder / f"page-{port}.log"
    command = [sys.executable, "-m", "apps.ui", "--server.address", "127.0.0.1"]
    command += ["--server.port", str(port), "--server.headless", "true"]
    env = clean_environment(SCREENALYTICS_API_URL=api_url, **environment)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=root, env=env, stdout=output, stderr=output)
    server = PageServer(process, f"http://127.0.0.1:{port}", log)
    try:
        wait_for_start(process, lambda: _is_up(server), log, "the page's server")
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_up(server: PageServer) -> bool:
    try:
        # Without certificates, which take 35 ms of CPU to load.
        health = f"{server.url}/_stcore/health"
        return httpx.get(health, trust_env=False, verify=False).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def chromium() -> Iterator[Browser]:
    """A Chromium of this machine. Where there is none the test is skipped, in CI it fails.

    Playwright keeps an event loop in this thread for as long as the block lasts, so no test that
    runs a loop of its own belongs inside.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        missing = "no Chromium on this machine (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """One browser tab that remembers what its console complained of and whom it asked.

    Args:
        complaints: of the console, and errors that no script caught.
        outside: requests to anybody but the page's server.
    """

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> None:
        self.page.goto(self.base + path)
        self.settle()

    def look(self, width: int, *, dark: bool = False) -> None:
        """Gives the window a width, and the colours of the night or of the day."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")

    def reload(self) -> None:
        self.page.reload()
        self.page.get_by_test_id("stApp").wait_for()

    def settle(self, timeout_ms: int = PATIENCE_MS) -> None:
        """Waits until Streamlit's script has drawn the page and nothing on it is stale."""
        self.page.wait_for_timeout(150)  # a click takes a moment to reach the script
        self.page.locator(_IDLE).wait_for(timeout=timeout_ms)

    def see(self, text: str, timeout_ms: int = PATIENCE_MS) -> None:
        """Waits until the text is on the page."""
        self.page.get_by_text(text, exact=False).first.wait_for(timeout=timeout_ms)

    def lose(self, text: str, timeout_ms: int = PATIENCE_MS) -> None:
        """Waits until the text is nowhere on the page."""
        expect(self.page.get_by_text(text, exact=False)).to_have_count(0, timeout=timeout_ms)

    def shows(self, text: str) -> bool:
        return text in self.text()

    def text(self) -> str:
        return self.page.get_by_test_id("stApp").inner_text()

    def address(self) -> str:
        """As the browser has it; Playwright's own `url` hears of it later."""
        found: str = self.page.evaluate("location.href")
        return found

    def see_in_address(self, part: str) -> None:
        self.wait_for_address(lambda address: part in address)

    def wait_for_address(self, is_it: Callable[[str], bool]) -> None:
        """Waits until the address is so: a component writes it after the view is drawn."""
        try:
            wait_for(lambda: is_it(self.address()), what="the address")
        except AssertionError as error:
            error.add_note(f"it is {self.address()}")
            raise

    def last_words(self) -> str:
        """The page's text, for the report of a test that failed, whatever became of the page."""
        try:
            own = self.page.get_by_test_id("stApp").inner_text(timeout=1000)
            return "\n".join([own, *self.page.evaluate(_COMPONENTS)])
        except Error as error:
            return f"nothing: {error.message}"

    def button(self, name: str) -> None:
        """Clicks it; on the page itself, since Streamlit's bar has a `Stop` of its own."""
        main = self.page.get_by_test_id("stMain")
        main.get_by_role("button", name=name, exact=False).first.click()

    def go(self, view: str) -> None:
        """To another view, by the navigation."""
        self.page.get_by_test_id("stTopNavLink").filter(has_text=view).click()
        self.settle()

    def choose(self, label: str, option: str | re.Pattern[str]) -> None:
        """Picks an option of a select box."""
        self.settle()  # a box that is drawn again closes
        box = self.page.get_by_test_id("stSelectbox").filter(has_text=label).first
        box.scroll_into_view_if_needed()  # scrolling would close it again
        self.page.wait_for_timeout(300)
        box.locator("input").click()
        exact = isinstance(option, str)
        self.page.get_by_role("option", name=option, exact=exact).first.click()
        self.settle()

    def episode(self, ep_id: str) -> None:
        self.choose("Episode", ep_id)

    def mode(self, label: str) -> None:
        self.page.get_by_test_id("stRadio").get_by_text(label, exact=True).click()
        self.settle()

    def unfold(self, title: str) -> None:
        expander = self.page.get_by_test_id("stExpander").filter(has_text=title).first
        if expander.locator("details").get_attribute("open") is None:
            expander.locator("summary").click()
        expander.evaluate(_ANIMATED)  # what is clicked while it opens may have moved on

    def number(self, label: str, value: float) -> None:
        """Types a number and leaves the field."""
        field = self.page.get_by_role("spinbutton", name=label)
        field.fill(str(value))
        field.press("Tab")
        self.settle()

    def options(self, *, stride: int) -> None:
        """Asks for every so many frames, whatever the profile's limit on frames a second."""
        for label, value in (("Stride", stride), ("Frames a second of video", 1000)):
            self.unfold("More options")
            self.number(label, value)

    def watch(self, *words: str) -> None:
        """From now on notes which of the words the page shows, at whatever moment."""
        self.page.evaluate(_WATCH, list(words))

    def watched(self) -> list[str]:
        seen: list[str] = self.page.evaluate("[...window.wordsSeen]")
        return seen

    def pictures_loaded(self) -> bool:
        """True where there are pictures and every one has come, also those further down."""
        return bool(self.page.evaluate(_PICTURES_LOADED))

    def forgive(self, words: str) -> int:
        """Takes what the console said with these words for expected, and counts it."""
        expected = [one for one in self.complaints if words in one]
        self.complaints[:] = [one for one in self.complaints if words not in one]
        return len(expected)

    def picture(self, name: str) -> None:
        """Saves the whole page as a picture, for people to look at, where they asked for it.

        Args:
            name: of its file in the folder SCREENALYTICS_SCREENSHOTS.
        """
        if _SCREENSHOTS is None:
            return
        size = self.page.viewport_size or {"width": 1360, "height": 900}
        height = self.page.get_by_test_id("stMain").evaluate("main => main.scrollHeight")
        whole: ViewportSize = {"width": size["width"], "height": min(5000, height + 80)}
        self.page.set_viewport_size(whole)
        self.page.wait_for_timeout(500)
        self.page.screenshot(path=Path(_SCREENSHOTS, f"{name}.png"))
        self.page.set_viewport_size(size)


def _context(browser: Browser, base: str) -> BrowserContext:
    """What all tabs share; one that stays open keeps their process alive."""
    context = browser.new_context(timezone_id="Europe/Berlin")
    context.set_default_timeout(PATIENCE_MS)
    context.new_page().goto(f"{base}/_stcore/health")
    return context


@contextmanager
def tab(browser: Browser, base: str, *, width: int = 1360) -> Iterator[Tab]:
    """A fresh tab. It shares the cache of the others, so that scripts are compiled once.

    After the block its console must have nothing to complain of, and it must have asked nobody
    but the page's server.
    """
    context = browser.contexts[0] if browser.contexts else _context(browser, base)
    page = context.new_page()
    storage = {"origin": base, "storageTypes": "local_storage,cookies"}
    context.new_cdp_session(page).send("Storage.clearDataForOrigin", storage)
    opened = Tab(page, base)
    opened.look(width)

    def note(message: ConsoleMessage) -> None:
        source = message.location["url"]
        if message.type == "error" and not _PROBE.search(source):
            opened.complaints.append(f"{message.text} ({source})")

    def note_request(request: Request) -> None:
        if not request.url.startswith((base, "data:", "blob:")):
            opened.outside.append(request.url)

    page.on("console", note)
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("request", note_request)
    try:
        yield opened
    except Exception as error:
        error.add_note(f"The page showed: {opened.last_words()}")
        raise
    finally:
        page.close()
    assert not opened.complaints, opened.complaints
    assert not opened.outside, opened.outside
