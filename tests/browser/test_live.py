"""Views that recover and follow by themselves, by one subscription of each tab."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from lab.processes.ports import free_port
from lab.processes.queue import LEASE_SECONDS, Redis, redis_server, worker
from lab.processes.service import add_episode, clean_environment, wait_for, wait_for_start
from tests.support.page import Tab, page_server, tab

SLOW = {"stride": 1, "fps": 1000, "max_cpu_percent": 25}
AWAY = "The server does not answer. It is asked again"
VIEWS = {
    "/?episode=talk": "detect/track",
    "/results?episode=talk": "Take away",
    "/compare?episode=talk": "Paths: old, local, queued",
    "/system": "Versions",
}


@dataclass
class Api:
    """The API on one port, which can be killed and started again."""

    data_root: Path
    redis: Redis
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        env = clean_environment(
            SCREENALYTICS_DATA_ROOT=str(self.data_root),
            SCREENALYTICS_REDIS_URL=self.redis.url,
            SCREENALYTICS_LEASE_S=LEASE_SECONDS,
            INSIGHTFACE_HOME=str(self.data_root.parent / "insightface"),
        )
        log = self.data_root.parent / "api.log"
        with log.open("ab") as output:
            command = [sys.executable, "-m", "apps.api", "--port", str(self.port)]
            self.process = subprocess.Popen(command, env=env, stdout=output, stderr=output)
        wait_for_start(self.process, self.is_live, log, "the API")

    def is_live(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/live", verify=False).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def post(self, path: str, **body: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=body, verify=False, timeout=120)

    def state(self, ep_id: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/states?ep_id={ep_id}", verify=False)
        found: dict[str, Any] = answer.json()["items"][0]
        return found

    def queue(self, ep_id: str, **options: Any) -> str:
        answer = self.post("/celery_jobs/detect_track", ep_id=ep_id, **options)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])


@dataclass
class Stage:
    api: Api
    redis: Redis
    page_url: str
    data_root: Path


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("live")
    root = folder / "data"
    add_episode(root, "talk", test_data / "videos" / "carphone_pristine.mp4")
    add_episode(root, "show", test_data / "videos" / "short_hamilton_clip.mp4")
    with redis_server(folder / "redis") as redis:
        api = Api(root, redis)
        try:
            api.start()
            body = {"ep_id": "talk", "execution_mode": "local", "stride": 24}
            assert api.post("/celery_jobs/detect_track", **body).status_code == 200
            with page_server(api.url, folder) as page:
                yield Stage(api, redis, page.url, root)
        finally:
            api.kill()


@pytest.fixture
def one(browser: Browser, stage: Stage) -> Iterator[Tab]:
    with tab(browser, stage.page_url) as opened:
        yield opened


def title(opened: Tab, pattern: str) -> None:
    expect(opened.page).to_have_title(re.compile(pattern))


def test_ten_tabs_follow_a_queued_run_to_its_results(browser: Browser, stage: Stage) -> None:
    """A browser opens six connections to a host: ten streams would keep the page from loading."""
    api = stage.api
    with ExitStack() as rest:
        rest.enter_context(worker(stage.data_root, stage.redis.url))
        results, *others = [rest.enter_context(tab(browser, stage.page_url)) for _ in range(10)]
        for opened in others:
            opened.page.goto(stage.page_url + "/compare?episode=show", wait_until="commit")
        for opened in others:
            title(opened, "^show · Compare$")
        results.open("/results?episode=show")
        results.see("No runs of this episode yet.")
        api.queue("show", **{**SLOW, "stride": 3})
        results.see("This run is under way.")
        results.see(" of 92 frames")
        results.see("CPU (cap 25 %)")
        for opened in (results, *others):
            title(opened, r"^\d+ % · show$|^✓ show")
        results.picture("results-under-way")
        results.see("Take away", timeout_ms=120_000)
        title(results, "^✓ show · Results$")
        for opened in others:
            title(opened, "^✓ show · Compare$")


def test_a_local_run_is_not_drawn_again_whatever_changes(one: Tab, stage: Stage) -> None:
    """The script that holds it would end it."""
    one.open("/?episode=talk")
    one.options(stride=1)
    one.button("Run detect/track")
    one.see(" of 120 frames")
    title(one, r"^\d+ % · talk$")
    one.see("Tell me when it is done")
    run_id = stage.api.state("talk")["run_id"]
    stage.redis.stop()
    wait_for(lambda: _queue_problem(stage) is not None, what="the queue's problem")
    one.page.wait_for_timeout(3000)  # for a run of the script that must not come
    stage.redis.start()
    assert stage.api.state("talk")["run_id"] == run_id
    one.see("Newest run: completed", timeout_ms=120_000)
    title(one, "^✓ talk · Detect/Track$")
    assert stage.api.state("talk")["latest_run_id"] == run_id


def _queue_problem(stage: Stage) -> str | None:
    server = httpx.get(f"{stage.api.url}/states", verify=False).json()["server"]
    problem: str | None = server["queue_problem"]
    return problem


def test_every_view_recovers_when_the_server_is_back(browser: Browser, stage: Stage) -> None:
    with ExitStack() as rest:
        tabs = {path: rest.enter_context(tab(browser, stage.page_url)) for path in VIEWS}
        for path, opened in tabs.items():
            opened.open(path)
            opened.see(VIEWS[path])
        stage.api.kill()
        for opened in tabs.values():
            opened.see(AWAY)
        later = {"/system": rest.enter_context(tab(browser, stage.page_url))}
        for path, opened in later.items():
            opened.open(path)
            opened.see("make up")
            opened.see(AWAY)
        later["/system"].picture("server-away-line")
        stage.api.start()
        for each in (tabs, later):
            for path, opened in each.items():
                opened.see(VIEWS[path])
                opened.lose("make up")
                expect(opened.page.get_by_text(AWAY).filter(visible=True)).to_have_count(0)
                opened.forgive("/files/")  # what was asked for while it was away


def test_a_worker_that_dies_is_seen_and_so_is_the_next(
    one: Tab, browser: Browser, stage: Stage
) -> None:
    one.open("/system")
    one.see("No worker listens to the queue.")
    with tab(browser, stage.page_url) as other:
        other.open("/?episode=talk")
        with worker(stage.data_root, stage.redis.url) as first:
            one.lose("No worker listens to the queue.")
            stage.api.queue("talk", **SLOW)
            other.see(" of 120 frames")
            first.kill()
            for run in first.runs():
                run.kill()
        one.see("No worker listens to the queue.")
        other.see("is retried")
        title(other, "^Queued")
        with worker(stage.data_root, stage.redis.url):
            other.see("is running")
            other.see("Newest run: completed", timeout_ms=120_000)


def test_the_end_is_told_to_who_asked_and_was_allowed(one: Tab, stage: Stage) -> None:
    one.page.add_init_script(
        """window.told = [];
        window.permission = "denied";
        window.Notification = class {
          static get permission() { return window.permission; }
          static async requestPermission() { return window.permission; }
          constructor(text) { window.told.push(text); }
        };"""
    )
    job_id = None
    with ExitStack() as rest:
        rest.enter_context(worker(stage.data_root, stage.redis.url))
        one.open("/?episode=talk")
        job_id = stage.api.queue("talk", **SLOW)
        switch = one.page.get_by_label("Tell me when it is done")
        switch.click()
        one.see("allow notifications in its settings")
        expect(switch).not_to_be_checked()
        one.page.evaluate("window.permission = 'granted'")
        switch.check()
        one.go("System")  # it is told wherever the reader is
        stage.api.post(f"/celery_jobs/{job_id}/cancel")
        wait_for(lambda: one.page.evaluate("window.told"), what="the notification")
        assert one.page.evaluate("window.told") == ["talk was cancelled"]
