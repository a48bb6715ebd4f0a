"""What two runs have found, above each other, in a browser."""

from __future__ import annotations

import json
import re
import shutil
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, expect

from apps.ui.files import review_module_path
from lab.processes.service import wait_for
from tests.browser.conftest import DEMO, Product
from tests.support.page import Tab

_PLACES = """(root, names) => {
  const { timelines, tracks } = root.screenalytics;
  const { width } = timelines.a;
  return names.map(name => [timelines.a.xOf(tracks.a.first[tracks.a.byId.get(name)]), width]);
}"""


# What is a difference: the seconds of t1 and t2 are the same, as far as sampling can tell.
_KINDS = """async path => {
  const { rowsOf, kindsOf } = await import(path);
  const times = { start_s: 0, end_s: 9 };
  const group = (a, b, difference_s, error_s) => ({ a, b, ...times, difference_s, error_s });
  const found = {
    only_a: [], faces_only_b: [], faces_only_a: [[1, 2.5]],
    only_b: [{ track_id: "t9", first_s: 3, last_s: 4, screen_s: 2, screen_error_s: null }],
    matched: [
      group(["t1"], ["t2"], 0.3, 0.2), group(["t3"], ["t4"], -3, 0.2),
      group(["t4"], ["t5", "t6"], 0, null), group(["t5"], ["t7"], null, null),
    ],
  };
  const kinds = kindsOf(found, "b");
  if (kinds.get("t2") !== "both" || kinds.get("t9") !== "only") return null;
  return rowsOf(found).map(row => [row.kind, row.b]);
}"""


def less(product: Product, run_id: str) -> tuple[str, dict[str, object]]:
    """A copy of a run that has not found its longest track; its name, and that track."""
    runs = product.data_root / "manifests" / DEMO / "runs"
    name = f"less-{run_id}"
    shutil.copytree(runs / run_id, runs / name)
    manifest = json.loads((runs / name / "run.json").read_text())
    changed = {**manifest, "run_id": name, "started_at": "2001-01-01T00:00:00.000+00:00"}
    (runs / name / "run.json").write_text(json.dumps(changed, indent=2))
    tracks = [json.loads(line) for line in (runs / name / "tracks.jsonl").read_text().splitlines()]
    lost = max(tracks, key=lambda track: float(track["screen_s"]))
    for file in ("tracks.jsonl", "detections.jsonl"):
        rows = [json.loads(line) for line in (runs / name / file).read_text().splitlines()]
        kept = [row for row in rows if row["track_id"] != lost["track_id"]]
        (runs / name / file).write_text("".join(json.dumps(row) + "\n" for row in kept))
    return name, lost


def shown(tab: Tab) -> Locator:
    found = tab.page.locator(".differences[data-rows]")
    found.wait_for()
    return found


def test_a_track_that_one_run_has_not(one_tab: Tab, product: Product, shown_run: str) -> None:
    other, lost = less(product, shown_run)
    number = int(str(lost["track_id"]).rpartition("-")[2])
    asked: list[str] = []
    one_tab.page.on("request", lambda request: asked.append(request.url))
    one_tab.open(f"/compare?episode={DEMO}")
    one_tab.see("those that differ come first and are marked")
    assert not any("/differences?" in url for url in asked)  # nobody has looked at it
    one_tab.page.get_by_role("tab", name="What was found").click()
    newest = [run["run_id"] for run in product.runs_of(DEMO) if run["status"] == "completed"]
    for letter, run_id in zip("AB", newest, strict=False):  # as the runs side by side
        box = one_tab.page.get_by_role("combobox", name=f"Run {letter}")
        expect(box).to_have_value(re.compile(run_id))
    one_tab.choose("Run A", re.compile(re.escape(f"· {shown_run}")))
    one_tab.choose("Run B", re.compile(re.escape(other)))
    found = shown(one_tab)
    wait_for(lambda: found.get_attribute("data-rows") is not None, what="the differences")
    expect(found.locator(".options tbody tr")).to_have_count(0)
    totals = found.locator(".totals tbody tr").filter(has_text="Tracks").locator("td")
    expect(totals.nth(2)).to_have_text("−1")
    first = found.locator(".rows tbody tr").first
    expect(first).to_contain_text("Track only in A")
    expect(first).to_contain_text(f"A · track {number}")

    # One axis: what zooms one timeline zooms the other one, and the difference is in sight.
    first.get_by_role("button").click()
    views = found.evaluate(
        "root => ['a', 'b'].map(side => root.screenalytics.timelines[side].view)"
    )
    assert views[0] == views[1]
    [(x, width)] = found.evaluate(_PLACES, [lost["track_id"]])
    assert 0 <= x <= width
    expect(found.locator(".chosen")).to_contain_text("Track only in A")
    canvas = found.get_by_role("slider", name="Timeline of run B")
    canvas.press("+")
    zoomed = found.evaluate(
        "root => ['a', 'b'].map(side => root.screenalytics.timelines[side].view)"
    )
    assert zoomed[0] == zoomed[1] != views[0]
    canvas.press("0")
    canvas.press("Home")
    canvas.press("n")
    expect(found.locator(".chosen")).not_to_be_empty()
    one_tab.picture("differences")
    one_tab.look(400, dark=True)
    one_tab.picture("differences-dark-400")
    one_tab.look(1366)

    first.get_by_role("link", name=f"A · track {number}").click()
    one_tab.page.wait_for_url(re.compile("/results"))
    one_tab.see_in_address(f"run={shown_run}")
    query = parse_qs(urlsplit(one_tab.address()).query)
    assert (query["episode"], query["run"]) == ([DEMO], [shown_run])
    one_tab.see("Take away")
    one_tab.settle()


def test_options_that_differ(
    one_tab: Tab, product: Product, shown_run: str, other_run: str
) -> None:
    one_tab.open(f"/compare?episode={DEMO}")
    one_tab.page.get_by_role("tab", name="What was found").click()
    one_tab.choose("Run A", re.compile(re.escape(f"· {shown_run}")))
    one_tab.choose("Run B", re.compile(re.escape(other_run)))
    found = shown(one_tab)
    rows = found.locator(".options tbody tr")
    stride = rows.filter(has=one_tab.page.get_by_role("rowheader", name="Stride", exact=True))
    expect(stride.locator("td").nth(0)).to_contain_text("6")
    expect(stride.locator("td").nth(1)).to_contain_text("24")
    expect(found.locator(".remarks")).to_contain_text("Compared at every 24")
    one_tab.picture("differences-options")
    kinds = one_tab.page.evaluate(_KINDS, review_module_path("differing.js"))
    assert kinds == [
        ["differs", ["t4"]], ["only_b", ["t9"]], ["faces_a", []], ["differs", ["t5", "t6"]],
    ]  # fmt: skip
    one_tab.choose("Run B", re.compile(re.escape(f"· {shown_run}")))
    one_tab.see("Choose two different runs.")
