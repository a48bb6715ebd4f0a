"""Uploading episodes by the page's form: several, in pieces, and over whatever breaks."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, FilePayload, Locator, Request, expect

from lab.processes.service import Server, clean_environment, serving, wait_for
from tests.browser.conftest import Product
from tests.support.names import NAMES_AFTER
from tests.support.page import PageServer, Tab, page_server, tab

SLOW = 150_000  # bytes a second


def open_form(one_tab: Tab) -> Locator:
    one_tab.open("/")
    one_tab.see("Upload episodes")
    one_tab.settle()
    return unfold(one_tab)


def unfold(one_tab: Tab) -> Locator:
    one_tab.unfold("Upload episodes")
    found = one_tab.page.get_by_role("region", name="Uploads")
    found.wait_for()
    return found


@pytest.fixture
def form(one_tab: Tab) -> Locator:
    return open_form(one_tab)


@pytest.fixture(scope="module")
def clip(test_data: Path) -> bytes:
    """A short video, with so much behind it that it takes its time on a slow network."""
    video = (test_data / "videos" / "carphone_pristine.mp4").read_bytes()
    return video + (1_000_000).to_bytes(4, "big") + b"free" + bytes(1_000_000 - 8)


def choose(form: Locator, *files: Path | FilePayload) -> None:
    form.locator(".file-input").set_input_files(list(files))  # type: ignore[arg-type]


def row(form: Locator, filename: str) -> Locator:
    return form.locator(".items > li").filter(has_text=filename)


def name_of(one_row: Locator) -> Locator:
    return one_row.get_by_label("Name of the episode")


def state(one_row: Locator) -> Locator:
    return one_row.locator(".state")


@contextmanager
def slow(one_tab: Tab) -> Iterator[None]:
    """What the tab sends goes slowly within the block."""
    session = one_tab.page.context.new_cdp_session(one_tab.page)
    session.send("Network.enable")
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1}
    emulate = "Network.emulateNetworkConditions"
    session.send(emulate, {**conditions, "uploadThroughput": SLOW})
    try:
        yield
    finally:
        session.send(emulate, {**conditions, "uploadThroughput": -1})
        session.detach()


def unfinished(server: Server) -> dict[str, dict[str, Any]]:
    """Unfinished uploads, by the name of their episode."""
    return {item["ep_id"]: item for item in server.client.get("/uploads").json()["items"]}


def test_names_are_those_that_the_command_line_makes(form: Locator) -> None:
    files = [
        FilePayload(name=f"{stem}.mp4", mimeType="video/mp4", buffer=b"-") for stem in NAMES_AFTER
    ]
    choose(form, *files)
    expect(form.locator(".items > li")).to_have_count(len(files))
    for place, name in enumerate(NAMES_AFTER.values()):
        expect(name_of(form.locator(".items > li").nth(place))).to_have_value(name)


def test_three_files_at_once_with_what_is_wrong_said_before(
    one_tab: Tab, form: Locator, product: Product, tmp_path: Path, test_data: Path
) -> None:
    sent: list[str] = []
    one_tab.page.on("request", lambda request: sent.append(request.method))
    videos = test_data / "videos"
    clip, talk, notes = tmp_path / "My Clip!.mp4", tmp_path / "talk.mp4", tmp_path / "notes.mp4"
    clip.write_bytes((videos / "carphone_pristine.mp4").read_bytes())
    talk.write_bytes((videos / "short_hamilton_clip.mp4").read_bytes())
    notes.write_text("This is no video.\n" * 100)
    choose(form, clip, talk, notes)
    expect(state(row(form, "talk.mp4"))).to_contain_text("There is an episode talk already.")
    name_of(row(form, "My Clip")).fill("notes")
    expect(state(row(form, "My Clip"))).to_contain_text("Two of these files have this name.")
    name_of(row(form, "My Clip")).fill("../../etc")
    expect(state(row(form, "My Clip"))).to_contain_text("begin with a letter")
    one_tab.picture("upload-names")
    form.get_by_role("button", name="Upload 3 files").click()
    expect(name_of(row(form, "My Clip"))).to_be_focused()
    assert set(sent) <= {"GET"}
    name_of(row(form, "My Clip")).fill("three-1")
    name_of(row(form, "talk.mp4")).fill("three-2")
    name_of(row(form, "talk.mp4")).press("Tab")
    form.get_by_role("button", name="Upload 3 files").click()
    expect(state(row(form, "notes.mp4"))).to_have_class("state bad")
    for filename, name in (("My Clip", "three-1"), ("talk.mp4", "three-2")):
        expect(state(row(form, filename))).to_have_text(f"Episode {name} is there.")
        one_tab.see(f"{name} is there.")
    one_tab.settle()
    one_tab.picture("upload-three")
    assert product.server.client.get("/episodes/three-2").json()["facts"]["frames"] == 275
    assert (product.data_root / "videos/three-1/episode.mp4").read_bytes() == clip.read_bytes()
    assert product.server.client.get("/episodes/notes").status_code == 404
    assert unfinished(product.server) == {}
    assert one_tab.page.get_by_role("combobox", name="Episode").input_value() != "three-2"
    assert one_tab.forgive("status of 422") == 1  # the browser itself notes a refused request


def test_one_that_comes_alone_is_chosen(
    one_tab: Tab, form: Locator, tmp_path: Path, test_data: Path
) -> None:
    video = tmp_path / "Season 5, Episode 2!.mp4"
    video.write_bytes((test_data / "videos" / "facenet_video.mp4").read_bytes())
    choose(form, video)
    name_of(row(form, "Season")).fill("rhobh-s05e02")
    form.get_by_role("button", name="Upload", exact=True).click()
    one_tab.see("rhobh-s05e02 is there.")
    one_tab.settle()
    expect(one_tab.page.get_by_role("combobox", name="Episode")).to_have_value("rhobh-s05e02")
    one_tab.see("1920 × 1080")
    one_tab.see_in_address("episode=rhobh-s05e02")


def choose_and_start(form: Locator, video: Path, name: str) -> Locator:
    choose(form, video)
    one = row(form, video.name)
    expect(name_of(one)).to_be_enabled()
    name_of(one).fill(name)
    form.get_by_role("button", name="Upload", exact=True).click()
    return one


def begun(server: Server, name: str) -> int:
    """Its offset, once something has arrived."""
    offset: int = wait_for(
        lambda: unfinished(server).get(name, {}).get("offset"), what="bytes of the upload"
    )
    return offset


def test_an_upload_that_is_cancelled_leaves_nothing(
    one_tab: Tab, form: Locator, product: Product, tmp_path: Path, clip: bytes
) -> None:
    video = tmp_path / "cancelled.mp4"
    video.write_bytes(clip)
    with slow(one_tab):
        one = choose_and_start(form, video, "cancelled")
        begun(product.server, "cancelled")
        expect(name_of(one)).to_be_disabled()  # it is this upload's
        expect(state(one)).to_contain_text(" left")
        one_tab.picture("upload-sending")
        one.get_by_role("button", name="Cancel: cancelled.mp4").click()
        expect(form.locator(".live")).to_contain_text("nothing of it is kept")
    expect(form.locator(".items > li")).to_have_count(0)
    assert unfinished(product.server) == {}
    assert product.server.client.get("/episodes/cancelled").status_code == 404
    one_tab.forgive("status of 404")  # the request that was sending may have heard of it


def test_leaving_the_view_pauses_and_what_comes_then_has_its_own_name(
    one_tab: Tab, form: Locator, product: Product, tmp_path: Path, clip: bytes
) -> None:
    video, other = tmp_path / "left.mp4", tmp_path / "other.mp4"
    video.write_bytes(clip)
    other.write_bytes(clip)
    with slow(one_tab):
        choose_and_start(form, video, "left-1")
        begun(product.server, "left-1")
        choose(form, other)  # beside it
        expect(form.locator(".items > li")).to_have_count(2)
        one_tab.go("System")
        note = one_tab.page.get_by_text("1 upload is paused")
        expect(note).to_be_visible()
        one_tab.picture("upload-left")
        [item] = product.server.client.get("/uploads").json()["items"]
        wait_for(
            lambda: not product.server.client.get("/uploads").json()["items"][0]["active"],
            what="the pause",
        )
    assert item["ep_id"] == "left-1"
    one_tab.go("Detect/Track")
    form = unfold(one_tab)
    expect(note).to_have_count(0)
    one_tab.see("left-1 is there.")
    assert not one_tab.shows("other is there.")
    expect(state(row(form, "left.mp4"))).to_have_text("Episode left-1 is there.")
    expect(name_of(row(form, "other.mp4"))).to_have_value("other")
    assert (product.data_root / "videos/left-1/episode.mp4").read_bytes() == clip
    assert product.server.client.get("/episodes/other").status_code == 404


def test_after_a_reload_the_same_file_goes_on_from_where_it_was(
    one_tab: Tab, form: Locator, product: Product, tmp_path: Path, clip: bytes
) -> None:
    video = tmp_path / "reloaded.mp4"
    video.write_bytes(clip)
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    one_tab.page.on("dialog", answer)
    with slow(one_tab):
        choose_and_start(form, video, "reloaded-1")
        begun(product.server, "reloaded-1")
        one_tab.page.reload()
    assert asked == ["beforeunload"]
    one_tab.settle()
    form = unfold(one_tab)
    earlier = form.get_by_role("list", name="Unfinished uploads")
    expect(earlier).to_contain_text("reloaded.mp4 (reloaded-1)")
    one_tab.picture("upload-unfinished")
    wait_for(
        lambda: not unfinished(product.server)["reloaded-1"]["active"],
        what="all that was under way to be there",
    )
    offset = unfinished(product.server)["reloaded-1"]["offset"]
    sent: list[int] = []

    def note(request: Request) -> None:
        if request.method == "PATCH":
            sent.append(int(request.headers["upload-offset"]))

    one_tab.page.on("request", note)
    choose(form, video)
    expect(name_of(row(form, "reloaded.mp4"))).to_have_value("reloaded-1")
    expect(state(row(form, "reloaded.mp4"))).to_contain_text("are there already.")
    expect(earlier).to_be_hidden()
    form.get_by_role("button", name="Upload", exact=True).click()
    one_tab.see("reloaded-1 is there.")
    assert sent == [offset]
    assert offset > 0
    assert (product.data_root / "videos/reloaded-1/episode.mp4").read_bytes() == clip


def test_folders_bring_their_videos_and_those_of_one_name_that_of_their_folder(
    one_tab: Tab, form: Locator, tmp_path: Path
) -> None:
    for season in ("s1", "s2"):
        folder = tmp_path / "show" / season
        folder.mkdir(parents=True)
        for name in ("e01.mp4", "e01.srt", ".DS_Store"):
            (folder / name).write_text(season)
    form.locator(".folder-input").set_input_files(tmp_path / "show")
    expect(form.locator(".live")).to_have_text("2 videos chosen. 4 other files were left out.")
    names = {name_of(form.locator(".items > li").nth(place)).input_value() for place in (0, 1)}
    assert names in ({"e01", "s2-e01"}, {"e01", "s1-e01"})
    form.get_by_role("button", name="Cancel all").click()
    form.locator(".drop").evaluate(
        """drop => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File(["x"], "dropped <b>1</b>.mp4"));
          dataTransfer.items.add(new File(["x"], "x".repeat(10000) + ".mp4"));
          drop.dispatchEvent(new DragEvent("drop", {dataTransfer, cancelable: true}));
        }"""
    )
    expect(form.locator(".items > li")).to_have_count(2)
    expect(form.locator(".items > li").first).to_contain_text("dropped <b>1</b>.mp4")
    one_tab.look(400)
    one_tab.picture("upload-400")
    width = one_tab.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]


@dataclass
class Apart:
    """An API that may be killed, and a page in front of it."""

    server: Server
    page: PageServer
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def start(self) -> None:
        env = clean_environment(SCREENALYTICS_DATA_ROOT=str(self.server.data_root), **NO_REDIS)
        with self.server.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.server.process.args, env=env, stdout=log, stderr=log
            )


NO_REDIS = {"SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0"}


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Apart]:
    with (
        serving(tmp_path / "data", **NO_REDIS) as server,
        page_server(server.url, tmp_path) as page,
    ):
        found = Apart(server, page, server.process)
        try:
            yield found
        finally:
            found.process.kill()
            found.process.wait()


def test_an_upload_goes_on_by_itself_when_a_killed_server_is_back(
    browser: Browser, apart: Apart, tmp_path: Path, clip: bytes
) -> None:
    video = tmp_path / "killed.mp4"
    video.write_bytes(clip)
    with tab(browser, apart.page.url) as one_tab:
        form = open_form(one_tab)
        with slow(one_tab):
            one = choose_and_start(form, video, "killed")
            offset = begun(apart.server, "killed")
            apart.kill()
            expect(state(one)).to_contain_text("Trying again in")
            one_tab.picture("upload-broken")
            [kept] = (apart.server.data_root / ".uploads").glob("*/video")
            assert kept.stat().st_size >= offset
        apart.start()
        one_tab.see("killed is there.", timeout_ms=120_000)
        assert one_tab.forgive("Failed to load resource") > 0
    assert (apart.server.data_root / "videos/killed/episode.mp4").read_bytes() == clip
