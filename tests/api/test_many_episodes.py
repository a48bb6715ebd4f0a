"""A library of many episodes, of which one page is read; and one with links that lead nowhere."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.api.routes.episodes import episodes
from apps.api.routes.events import states
from apps.api.routes.library import library
from apps.api.services import Services
from apps.common.files import write_json
from apps.common.layout import Layout
from apps.common.library_schemas import Library, LibraryQuery
from apps.common.live import EpisodeStates, StatesQuery
from apps.common.schemas import EpisodesQuery
from apps.common.settings import Settings
from apps.common.webhooks import WebhookSettings
from lab.processes.service import clean_environment
from tests.support.jobs import job_request
from tests.worker.test_execution import completed

COUNT = 40
NO_REDIS = "redis://127.0.0.1:9/0"
_opened: list[str] | None = None  # paths, while a test counts them


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None and isinstance(arguments[0], str | os.PathLike):
        _opened.append(os.fspath(arguments[0]))


sys.addaudithook(_note)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Which files are opened from here on."""
    global _opened
    _opened = []
    yield _opened
    _opened = None


@pytest.fixture
def services(tmp_path: Path) -> Services:
    for number in range(COUNT):
        add(Layout(tmp_path), f"show-{number:02}")
    return served(tmp_path)


def served(root: Path) -> Services:
    settings = Settings(data_root=root, redis_url=NO_REDIS)
    return Services.create(settings, WebhookSettings())


def add(layout: Layout, ep_id: str) -> None:
    """An episode that has a run, which failed."""
    layout.episode(ep_id).mkdir(parents=True)
    files = layout.run(ep_id, "run-1")
    files.folder.mkdir(parents=True)
    manifest = completed(job_request(layout.root, ep_id).spec)
    failed = {"run_id": "run-1", "status": "failed", "result": None}
    write_json(files.manifest, manifest.model_copy(update=failed).model_dump(mode="json"))


def listed(services: Services, **query: Any) -> Library:
    return asyncio.run(library(services, LibraryQuery(**query)))


def episodes_of(opened: list[str]) -> set[str]:
    """Whose manifests are among the files."""
    return {Path(path).parents[2].name for path in opened if path.endswith("run.json")}


def test_only_states_of_one_page_are_read(services: Services, opened: list[str]) -> None:
    listed(services, limit=1)  # what lies there is looked at once, and remembered
    opened.clear()
    page = listed(services, limit=5, offset=10, sort="title")
    names = [f"show-{number}" for number in range(10, 15)]
    assert [item.ep_id for item in page.items] == names
    assert [item.state.state for item in page.items if item.state] == ["failed"] * 5
    assert page.total == COUNT
    assert episodes_of(opened) == set(names)
    opened.clear()
    found = listed(services, q="SHOW-3", limit=2, sort="title")
    assert ([item.ep_id for item in found.items], found.total) == (["show-30", "show-31"], 10)
    assert episodes_of(opened) == {"show-30", "show-31"}


def test_the_state_of_one_episode_reads_that_one(services: Services, opened: list[str]) -> None:
    def of(ep_id: str) -> EpisodeStates:
        return asyncio.run(states(services, StatesQuery(ep_id=ep_id)))

    assert [item.state for item in of("show-07").items] == ["failed"]
    assert episodes_of(opened) == {"show-07"}
    assert of("nowhere").items == []


def circle(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path.name)


def astray(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("nowhere/at/all")


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    """Whatever stands in the place of what, the others are listed."""
    layout = Layout(tmp_path)
    add(layout, "good")
    for link in (circle, astray):
        name = link.__name__
        link(layout.episode(name))
        link(layout.episode(f"{name}-video") / "episode.mp4")
        link(layout.about(f"{name}-about"))
        link(layout.manifests(f"{name}-results"))
        link(layout.runs(f"{name}-runs"))
        link(layout.runs(f"{name}-run") / "run-1")
        link(layout.run("good", f"{name}-manifest").manifest)
    circle(layout.latest("good"))
    astray(layout.trash)
    layout.episode("root").symlink_to(tmp_path)
    services = served(tmp_path)
    names = ["astray-about", "astray-video", "circle-about", "circle-video", "good", "root"]
    assert [item.ep_id for item in listed(services, sort="title").items] == names
    listing = episodes(services, EpisodesQuery())
    assert [item.ep_id for item in listing.items] == names
    all_states = asyncio.run(states(services, StatesQuery()))
    assert {item.ep_id: item.state for item in all_states.items} == {
        **dict.fromkeys(names, "never_run"),
        "good": "failed",
    }


_LISTS = """
import sys
from pathlib import Path
from tests.api.test_many_episodes import listed, served
from apps.api.routes.episodes import episodes
from apps.common.schemas import EpisodesQuery
services = served(Path(sys.argv[1]))
print(*(item.ep_id for item in listed(services, sort="title").items))
print(*(item.ep_id for item in episodes(services, EpisodesQuery()).items))
"""


def test_folders_that_nobody_may_read(tmp_path: Path) -> None:
    """A process without root's rights lists the others; root itself may read whatever it wants."""
    as_a_user = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if os.geteuid() != 0:
        as_a_user = []
    elif shutil.which("setpriv") is None:
        pytest.skip("root needs setpriv to lay down its rights")
    layout = Layout(tmp_path)
    for name in ("good", "closed", "half", "ran-closed", "ran-half"):
        add(layout, name)
    for name in ("ran-closed", "ran-half"):
        layout.episode(name).rmdir()
    (layout.episode("half") / "episode.mp4").touch()
    rights = {
        layout.episode("closed"): 0o000,
        layout.manifests("closed"): 0o000,
        layout.episode("half"): 0o444,
        layout.runs("half"): 0o444,
        layout.runs("ran-closed"): 0o000,
        layout.run("ran-half", "run-1").folder: 0o000,
    }
    for folder, mode in rights.items():
        folder.chmod(mode)
    try:
        done = subprocess.run(
            [*as_a_user, sys.executable, "-c", _LISTS, str(tmp_path)],
            env=clean_environment(PYTHONPATH=os.pathsep.join(sys.path)),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for folder in rights:
            folder.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["closed good half"] * 2
