"""What is drawn again stays where it is: a click lands on what its reader has aimed at."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.browser.conftest import DEMO, Product
from tests.support.page import Tab

# Where each thing of a view is, looked at in every frame that the browser shows.
_PLACES = """
  const things = ["button", "summary", "h2", "h3", "[data-testid=stElementContainer]"]
    .map((one) => `[data-testid=stMain] ${one}`).join();
  const app = document.querySelector("[data-test-script-state]");
  const script = () => app.dataset.testScriptState;
  const places = () => [...document.querySelectorAll(things)].map((one, number) => {
    const { left, top } = one.getBoundingClientRect();
    const name = one.matches("div") ? `${number}` : one.innerText.slice(0, 30);
    return `${name} at ${Math.round(left)}, ${Math.round(top)}`;
  });
  const frame = () => new Promise(requestAnimationFrame);
"""
_REST = f"""async () => {{
  {_PLACES}
  let last = "";
  for (let same = 0; same < 30; same += 1) {{
    await frame();
    const now = JSON.stringify([script(), places()]);
    if (now !== last) same = 0;
    last = now;
  }}
}}"""
_WATCH = f"""() => {{
  {_PLACES}
  window.watched = (async () => {{
    const before = places(), moved = new Set();
    let has_begun = false;
    new MutationObserver(() => {{ has_begun = true; }}).observe(app, {{ attributes: true }});
    for (; !has_begun || script() !== "notRunning"; await frame()) {{
      for (const place of places()) if (!before.includes(place)) moved.add(place);
      for (const place of before) if (!places().includes(place)) moved.add(`no ${{place}}`);
    }}
    return {{ things: before.length, moved: [...moved] }};
  }})();
}}"""


@contextmanager
def stopped_for_a_moment(pid: int) -> Iterator[None]:
    """By a process of its own: were it longer, the page would say that nobody answers."""
    script = f"kill -STOP {pid}; echo; sleep 0.7; kill -CONT {pid}"
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        yield


@pytest.mark.parametrize("view", ["", "library", "results", "people", "compare", "system"])
def test_nothing_moves_when_the_page_is_drawn_again(
    one_tab: Tab, product: Product, other_run: str, view: str
) -> None:
    one_tab.open(f"/{view}?episode={DEMO}")
    one_tab.settle()
    if view == "":
        one_tab.see("Newest run")
        one_tab.unfold("Upload episodes")
    if view == "library":
        one_tab.page.locator(".card").first.wait_for()  # they come when the server answers
    one_tab.page.evaluate(_REST)
    one_tab.page.evaluate(_WATCH)
    with stopped_for_a_moment(product.server.process.pid):  # what is half drawn is seen, then
        one_tab.page.keyboard.press("r")  # Streamlit's own key for it
    seen = one_tab.page.evaluate("window.watched")
    assert seen["things"] > 3
    assert seen["moved"] == []
