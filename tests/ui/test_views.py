"""The views' logic by Streamlit's own AppTest, on a real server."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from apps.common.layout import Layout
from apps.runs.record import RunRecord
from lab.paths import CHECKOUT
from lab.processes.service import Server, add_episode, serving, serving_checkout
from lab.specs import spec_of
from tests.support.checkout import copy_checkout

Open = Callable[..., AppTest]
NO_QUEUE = {"SCREENALYTICS_REDIS_URL": "redis://127.0.0.1:1/0"}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    root = tmp_path_factory.mktemp("views") / "data"
    videos = test_data / "videos"
    add_episode(root, "show", videos / "short_hamilton_clip.mp4")
    add_episode(root, "talk", videos / "carphone_pristine.mp4")
    (root / "videos" / "torn").mkdir()
    (root / "videos" / "torn" / "episode.mp4").write_bytes(b"no video" * 100)
    (root / "videos" / "void").mkdir()
    return root


@pytest.fixture(scope="module")
def server(data_root: Path) -> Iterator[Server]:
    with serving(data_root, **NO_QUEUE) as running:
        yield running


@pytest.fixture(scope="module")
def result(server: Server) -> dict[str, Any]:
    """Of a run that stays as it is."""
    answer = server.detect_track("talk", stride=48)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def open_page(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens the page; `url` is that of another API, further names are the address's query."""
    started: list[AppTest] = []

    def open_it(url: str = server.url, **query: str) -> AppTest:
        monkeypatch.setenv("SCREENALYTICS_API_URL", url)
        forget()
        page = AppTest.from_file(str(CHECKOUT / "apps" / "ui" / "main.py"), default_timeout=30)
        for name, value in query.items():
            page.query_params[name] = value
        started.append(page)
        return page.run()

    yield open_it
    forget()


def forget() -> None:
    """What a page's server keeps between sessions."""
    st.cache_resource.clear()
    st.cache_data.clear()


def errors(page: AppTest) -> str:
    return "\n".join(str(element.value) for element in page.error)


def texts(page: AppTest) -> str:
    elements = [*page.markdown, *page.caption, *page.error, *page.warning, *page.info]
    return "\n".join(str(element.value) for element in elements)


def test_the_form_offers_what_the_server_has(open_page: Open, server: Server) -> None:
    page = open_page(episode="talk")
    assert not page.exception
    assert page.selectbox(key="episode").options == ["show", "talk", "torn", "void"]
    assert page.radio(key="mode-talk").options == [
        "Local Worker (direct)",
        "Redis/Celery (queued)",
    ]
    assert page.selectbox(key="option-profile").options == [
        "automatic", "low_power", "balanced", "performance",
    ]  # fmt: skip
    devices = server.client.get("/options").json()["devices"]
    assert page.selectbox(key="option-device").options == [
        "auto",
        *(d["name"] + ("" if d["available"] else " (not on this machine)") for d in devices),
    ]
    assert page.selectbox(key="option-small_faces").options == ["automatic", "off", "second look"]
    assert "**10 frames** will be processed" in texts(page)


@pytest.fixture
def left(data_root: Path, test_data: Path) -> Iterator[str]:
    """An episode with a completed run, and a cancelled one after it."""
    add_episode(data_root, "left", test_data / "videos" / "carphone_pristine.mp4")
    layout = Layout(data_root)
    ends: dict[str, Literal["completed", "cancelled"]] = {"a": "completed", "b": "cancelled"}
    for run_id, status in ends.items():
        RunRecord(layout, spec_of(data_root, "left", run_id), {}).end(status, "So it ended.")
        time.sleep(0.01)  # runs are in the order in which they began
    yield "left"
    shutil.rmtree(layout.episode("left"))
    shutil.rmtree(layout.manifests("left"))


def test_a_cancelled_run_leads_to_what_it_left_as_it_was(open_page: Open, left: str) -> None:
    page = open_page(episode=left)
    assert not page.exception
    assert "**Newest run: cancelled**" in texts(page)
    [link] = page.get("page_link")
    assert link.proto.label == "Look at the tracks of an earlier run"
    assert "run=a" in link.proto.query_string


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("stride", 0, "1 at least"),
        ("stride", 100_001, "100,000 at most"),
        ("det_size", 63, "64 at least"),
    ],
)
def test_bounds_come_from_the_server(open_page: Open, name: str, value: int, words: str) -> None:
    page = open_page(episode="talk")
    assert page.number_input(key=f"option-{name}").value is None
    page.number_input(key=f"option-{name}").set_value(value).run()
    assert words in errors(page)
    assert not any("Run detect/track" in button.label for button in page.button)


@pytest.mark.trap(8)
def test_the_values_shown_follow_the_choices(open_page: Open) -> None:
    page = open_page(episode="talk")

    def shown() -> dict[str, tuple[str, str]]:
        frame = page.dataframe[0].value
        return {row.Option: (row.Value, row.From) for row in frame.itertuples()}

    assert shown()["Stride"] == ("every 12th frame", "profile low_power")
    page.selectbox(key="option-profile").set_value("performance").run()
    assert shown()["Stride"] == ("every 4th frame", "profile performance")
    assert shown()["CPU cap"] == ("none", "profile performance")
    assert "**30 frames** will be processed" in texts(page)
    page.number_input(key="option-stride").set_value(40).run()
    assert shown()["Stride"] == ("every 40th frame", "chosen here")
    assert not page.warning
    page.selectbox(key="option-profile").set_value("low_power").run()
    page.number_input(key="option-stride").set_value(1).run()
    assert "The stride is 2, not 1" in page.warning[0].value
    page.number_input(key="option-stride").set_value(40).run()
    page.selectbox(key="option-small_faces").set_value("second_look").run()
    assert shown()["Small faces"] == ("second look", "chosen here")
    page.toggle(key="option-save_preview").set_value(True).run()
    assert shown()["Save preview video"] == ("yes", "chosen here")


def test_what_the_server_switches_on_can_be_switched_off(open_page: Open, data_root: Path) -> None:
    with serving(data_root, SCREENALYTICS_SAVE_PREVIEW="true", **NO_QUEUE) as other:
        page = open_page(other.url, episode="talk")
        assert page.toggle(key="option-save_preview").value is True
        page.toggle(key="option-save_preview").set_value(False).run()
        frame = page.dataframe[0].value
        [row] = [row for row in frame.itertuples() if row.Option == "Save preview video"]
        assert (row.Value, row.From) == ("no", "chosen here")


@pytest.mark.trap(8)
def test_who_types_a_stride_and_clicks_at_once_gets_it(open_page: Open, server: Server) -> None:
    """The new value and the click reach the script together."""
    page = open_page(episode="talk")
    page.number_input(key="option-stride").set_value(60)
    page.number_input(key="option-fps").set_value(1000)
    page.button(key="run_local").click().run(timeout=60)
    assert not page.exception
    newest = server.client.get("/episodes/talk/runs/latest").json()
    assert (newest["options"]["stride"], newest["sources"]["stride"]) == (60, "request")
    assert (newest["options"]["fps"], newest["counts"]["frames_done"]) == (1000, 2)


def test_an_accelerator_that_is_missing_is_a_sentence(open_page: Open) -> None:
    page = open_page(episode="talk")
    page.selectbox(key="option-device").set_value("cuda").run()
    assert not page.exception
    assert "CUDAExecutionProvider" in errors(page)
    assert not [button for button in page.button if button.label == "Run detect/track"]
    page.toggle(key="option-allow_cpu_fallback").set_value(True).run()
    assert "CUDAExecutionProvider" not in errors(page)
    assert page.warning
    assert [button for button in page.button if button.label == "Run detect/track"]


def test_an_episode_that_cannot_be_read_is_a_sentence(open_page: Open) -> None:
    for ep_id in ("torn", "void"):
        page = open_page(episode=ep_id)
        assert not page.exception
        assert page.error or page.warning
        assert not [button for button in page.button if button.label == "Run detect/track"]


def test_a_queue_that_is_away_is_a_sentence(open_page: Open) -> None:
    page = open_page(episode="talk")
    page.radio(key="mode-talk").set_value("redis").run()
    assert page.warning
    page.button(key="run_queued").click().run()
    assert not page.exception
    assert "Redis" in errors(page)
    assert page.button(key="run_queued")


def test_a_local_run_by_the_page(open_page: Open, server: Server) -> None:
    page = open_page(episode="talk")
    page.number_input(key="option-stride").set_value(60).run()
    page.button(key="run_local").click().run(timeout=60)
    assert not page.exception
    assert "Newest run: completed" in texts(page)
    newest = server.client.get("/episodes/talk/runs").json()["items"][0]
    assert (newest["execution_mode"], newest["frames_done"]) == ("local", 2)
    # The form was gone meanwhile: the browser is told what it had, whatever it has said itself.
    stride = page.number_input(key="option-stride")
    assert (stride.value, stride.proto.set_value, stride.proto.value) == (60, True, 60)
    page.run()
    assert not page.number_input(key="option-stride").proto.set_value  # who types is not overtaken
    page.run()  # a later rerun begins no other run
    assert server.client.get("/episodes/talk/runs").json()["items"][0] == newest


def _results() -> None:
    from apps.ui.parts.address import read_address
    from apps.ui.views import results

    read_address("results")
    results.view()


def open_results(
    server: Server, monkeypatch: pytest.MonkeyPatch, run_id: str | None, **state: Any
) -> AppTest:
    """`state` is the session's before the first run of the script."""
    monkeypatch.setenv("SCREENALYTICS_API_URL", server.url)
    forget()
    page = AppTest.from_function(_results, default_timeout=30)
    page.query_params.update({"episode": "talk", **({} if run_id is None else {"run": run_id})})
    for key, value in state.items():
        page.session_state[key] = value
    return page.run()


def unfold(page: AppTest, run_id: str) -> None:
    """Opens how the run went."""
    page.session_state[f"how-it-ran-{run_id}"] = True
    page.run()


@pytest.mark.usefixtures("open_page")  # forgets at its end
def test_seconds_on_the_screen(
    server: Server, result: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_results(server, monkeypatch, result["run_id"])
    assert not page.exception
    assert not page.metric
    unfold(page, result["run_id"])
    assert not page.exception
    [figure] = [metric for metric in page.metric if metric.label == "Faces on screen"]
    assert figure.value == f"{result['screen_s']:.1f} ± {result['screen_error_s']:.1f} s"


@pytest.mark.usefixtures("open_page")
def test_a_run_that_ended_while_the_box_called_it_running(
    server: Server, result: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser sends the words that it shows, and these are no option's any more."""
    run_id = result["run_id"]
    told = {"run-talk": f"Nov 28, 6:06 PM · Local · low_power · running · {run_id}"}
    page = open_results(server, monkeypatch, None, **told)
    assert not page.exception
    assert not page.warning
    assert page.selectbox(key="run-talk").value == run_id


@pytest.mark.usefixtures("open_page")
def test_a_run_that_this_reader_has_removed_is_not_missed(
    server: Server, result: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser may tell its old choice once more, before it has seen the next one."""
    told: dict[str, Any] = {"run-talk": "Nov 28, 6:06 PM · Local · low_power · 1 track · gone"}
    page = open_results(server, monkeypatch, None, **told)
    assert "There is no run" in page.warning[0].value
    page = open_results(server, monkeypatch, None, **told, **{"removed-runs-talk": {"gone"}})
    assert not page.exception
    assert not page.warning
    assert page.selectbox(key="run-talk").value == result["run_id"]


@pytest.mark.usefixtures("open_page")
def test_a_run_that_did_not_measure_seconds_on_the_screen(
    server: Server, result: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows what it has: the seconds from first to last sighting."""
    run_id, runs = "unmeasured", server.data_root / "manifests" / "talk" / "runs"
    folder = shutil.copytree(runs / result["run_id"], runs / run_id)
    [track] = [json.loads(line) for line in (folder / "tracks.jsonl").read_text().splitlines()]
    manifest = json.loads((folder / "run.json").read_text()) | {"run_id": run_id}
    for row in (track, manifest["result"]):
        for name in ("screen_s", "screen_error_s", "ended"):
            row.pop(name, None)
    (folder / "tracks.jsonl").write_text(json.dumps(track) + "\n")
    (folder / "run.json").write_text(json.dumps(manifest))
    page = open_results(server, monkeypatch, run_id)
    unfold(page, run_id)
    assert not page.exception
    tracks = server.client.get(f"/episodes/talk/runs/{run_id}/review").json()["tracks"]
    assert tracks["screen_s"] == pytest.approx([track["end_s"] - track["start_s"]])
    assert tracks["screen_error_s"] == tracks["ended"] == [None]
    [figure] = [metric for metric in page.metric if metric.label == "Faces on screen"]
    assert figure.value == "–"


def test_nobody_there_is_a_sentence(open_page: Open) -> None:
    page = open_page(url="http://127.0.0.1:1")
    assert not page.exception
    [error] = page.error
    assert "does not answer" in error.value
    assert "make up" in error.value
    assert not page.selectbox


def test_an_episode_of_the_address_that_does_not_exist(open_page: Open) -> None:
    page = open_page(episode="<b>nobody</b>")
    assert not page.exception
    assert "There is no episode" in page.warning[0].value
    assert "\\<b\\>nobody" in page.warning[0].value
    assert page.selectbox(key="episode").value is None
    assert not page.button


def test_a_server_of_different_code_and_without_episodes(open_page: Open, tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    config = checkout / "apps" / "config" / "pipeline.toml"
    config.write_text(config.read_text() + "# another version\n")
    with serving_checkout(checkout, tmp_path / "data", **NO_QUEUE) as other:
        page = open_page(url=other.url)
        assert not page.exception
        assert "This page and the server run different code" in page.warning[0].value
        assert "No episodes yet." in page.info[0].value
