"""Uploading an episode by the page's form."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Locator, expect

from tests.browser.conftest import Product
from tests.support.names import NAMES_AFTER
from tests.support.page import Tab


@pytest.fixture
def form(one_tab: Tab) -> Locator:
    one_tab.open("/")
    one_tab.see("Upload an episode")
    one_tab.settle()
    one_tab.unfold("Upload an episode")
    found = one_tab.page.locator("form").filter(has_text="Name of the episode")
    found.wait_for()
    return found


def message(form: Locator) -> Locator:
    return form.locator(".message")


def test_names_are_those_that_the_command_line_makes(form: Locator) -> None:
    for stem, name in NAMES_AFTER.items():
        video = FilePayload(name=f"{stem}.mp4", mimeType="video/mp4", buffer=b"-")
        form.locator("input[type=file]").set_input_files(video)
        expect(form.get_by_label("Name of the episode")).to_have_value(name)


def test_a_video_becomes_an_episode_and_is_chosen(
    one_tab: Tab, form: Locator, product: Product, tmp_path: Path, test_data: Path
) -> None:
    video = tmp_path / "Season 5, Episode 2!.mp4"
    video.write_bytes((test_data / "videos" / "facenet_video.mp4").read_bytes())
    form.locator("input[type=file]").set_input_files(video)
    name = form.get_by_label("Name of the episode")
    expect(name).to_have_value("Season-5-Episode-2")
    name.fill("rhobh-s05e02")
    one_tab.picture("upload")
    form.get_by_role("button", name="Upload").click()
    expect(form.locator("progress")).to_be_visible()
    expect(message(form)).to_contain_text("Checking the video…")
    one_tab.see("rhobh-s05e02 is there.")
    one_tab.settle()
    expect(one_tab.page.get_by_role("combobox", name="Episode")).to_have_value("rhobh-s05e02")
    one_tab.see("1920 × 1080")
    facts = product.server.client.get("/episodes/rhobh-s05e02").json()["facts"]
    assert facts["frames"] == 105
    assert "episode=rhobh-s05e02" in one_tab.page.url


def test_a_text_that_is_called_a_video_is_a_sentence(
    one_tab: Tab, form: Locator, product: Product, tmp_path: Path
) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("This is no video.\n" * 100)
    form.locator("input[type=file]").set_input_files(text)
    form.get_by_role("button", name="Upload").click()
    expect(message(form)).to_have_class("message bad")
    assert len(message(form).inner_text()) > 20
    one_tab.picture("upload-refused")
    assert product.server.client.get("/episodes/notes").status_code == 404
    expect(form.get_by_role("button", name="Upload")).to_be_enabled()
    assert one_tab.forgive("status of 422") == 1


def test_a_name_that_is_taken_is_a_sentence(one_tab: Tab, form: Locator, test_data: Path) -> None:
    form.locator("input[type=file]").set_input_files(test_data / "videos" / "carphone_pristine.mp4")
    form.get_by_label("Name of the episode").fill("talk")
    form.get_by_role("button", name="Upload").click()
    expect(message(form)).to_contain_text("Episode 'talk' has a video already.")
    expect(message(form)).to_contain_text("Choose another")
    assert one_tab.forgive("status of 409") == 1  # the browser itself notes a refused request


def test_a_name_that_is_none_is_not_sent(one_tab: Tab, form: Locator, test_data: Path) -> None:
    form.locator("input[type=file]").set_input_files(test_data / "videos" / "carphone_pristine.mp4")
    name = form.get_by_label("Name of the episode")
    name.fill("../../etc")
    form.get_by_role("button", name="Upload").click()
    assert name.evaluate("field => field.validity.patternMismatch")
    expect(form.locator("progress")).to_be_hidden()


@pytest.fixture
def held(one_tab: Tab) -> None:
    """Uploads are held on their way, as by a slow network."""
    one_tab.page.route("**/files/episodes", lambda route: None)


@pytest.mark.usefixtures("held")
def test_an_upload_can_be_cancelled(form: Locator, product: Product, test_data: Path) -> None:
    form.locator("input[type=file]").set_input_files(test_data / "videos" / "carphone_pristine.mp4")
    form.get_by_label("Name of the episode").fill("held")
    form.get_by_role("button", name="Upload").click()
    expect(form.get_by_label("Name of the episode")).to_be_disabled()  # it is this upload's
    form.get_by_role("button", name="Cancel").click()
    expect(message(form)).to_contain_text("cancelled")
    expect(form.get_by_role("button", name="Upload")).to_be_enabled()
    expect(form.get_by_role("button", name="Cancel")).to_be_hidden()
    assert product.server.client.get("/episodes/held").status_code == 404


@pytest.mark.usefixtures("held")
def test_an_upload_ends_when_its_form_is_left(one_tab: Tab, form: Locator, test_data: Path) -> None:
    form.locator("input[type=file]").set_input_files(test_data / "videos" / "carphone_pristine.mp4")
    form.get_by_role("button", name="Upload").click()
    expect(form.locator("progress")).to_be_visible()
    with one_tab.page.expect_event("requestfailed", lambda request: "episodes" in request.url):
        one_tab.go("System")
