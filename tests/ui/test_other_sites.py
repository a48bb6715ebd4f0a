"""Pages of other sites reach neither the page's files nor Streamlit, and make it ask nobody."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from lab.paths import CHECKOUT
from lab.processes.ports import free_port
from lab.processes.service import clean_environment, exit_code, wait_for
from tests.support.page import PageServer, page_server

# Notes each name that the process looks up, and finds none but those of loopback.
_WATCH = """
import os, socket
_real = socket.getaddrinfo
def getaddrinfo(host, *rest, **more):
    if host not in ("127.0.0.1", "0.0.0.0", "localhost", "::1", "::", None):
        with open(os.environ["LOOKED_UP"], "a") as log:
            log.write(f"{host}\\n")
        raise socket.gaierror(socket.EAI_NONAME, "no way out")
    return _real(host, *rest, **more)
socket.getaddrinfo = getaddrinfo
"""


@dataclass
class Watched:
    page: PageServer
    client: httpx.Client
    looked_up: Path

    @property
    def host(self) -> str:
        return self.page.url.removeprefix("http://")

    def handshake(self, host: str | None = None, **headers: str) -> None:
        """A WebSocket as Streamlit's script in the browser opens it."""
        address = httpx.URL(self.page.url)
        plain = socket.create_connection((address.host, address.port or 80))
        url = f"ws://{host or self.host}/_stcore/stream"
        with connect(url, sock=plain, additional_headers=headers):
            pass


def watch(folder: Path) -> dict[str, str]:
    """Variables of a Python process whose look-ups are to be noted."""
    (folder / "sitecustomize.py").write_text(_WATCH)
    return {"PYTHONPATH": str(folder), "LOOKED_UP": str(folder / "looked-up")}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    with (
        page_server("http://127.0.0.1:1", folder, **watch(folder)) as page,
        httpx.Client(base_url=page.url, trust_env=False, timeout=30) as client,
    ):
        yield Watched(page, client, folder / "looked-up")


def test_the_watch_sees_a_look_up(tmp_path: Path) -> None:
    program = "from streamlit.net_util import get_external_ip as ask; print(ask())"
    env = clean_environment(**watch(tmp_path))
    subprocess.run([sys.executable, "-c", program], env=env, check=True, capture_output=True)
    assert "amazonaws.com" in (tmp_path / "looked-up").read_text()


FOREIGN = {
    "another site": {"Origin": "http://evil.example"},
    "a name that somebody else made": {"host": "evil.example", "Origin": "http://evil.example"},
    "another server of this machine": {"Origin": "http://127.0.0.1:3000"},
    "a sandboxed frame": {"Origin": "null"},
}


@pytest.mark.parametrize("who", FOREIGN)
def test_no_websocket_and_no_look_up(watched: Watched, who: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        watched.handshake(**FOREIGN[who])
    assert refused.value.response.status_code == 403
    assert not watched.looked_up.exists(), watched.looked_up.read_text()


def test_the_page_itself_has_its_websocket(watched: Watched) -> None:
    watched.handshake(Origin=watched.page.url)
    watched.handshake(**{"Origin": watched.page.url, "Sec-Fetch-Site": "same-origin"})
    assert not watched.looked_up.exists(), watched.looked_up.read_text()


@pytest.mark.parametrize("path", ["/", "/files/episodes/talk/thumbnail", "/_stcore/host-config"])
def test_a_name_that_somebody_else_made_reads_nothing(watched: Watched, path: str) -> None:
    origin = {"host": "evil.example", "origin": "http://evil.example"}
    for headers in (origin, {"host": "evil.example"}):
        answer = watched.client.get(path, headers=headers)
        assert answer.status_code == 421
        assert answer.headers["content-type"] == "application/problem+json"
    assert watched.client.get(path).status_code != 421


def test_uploads_of_other_sites_are_refused(watched: Watched) -> None:
    rebound = {"host": "evil.example", "origin": "http://evil.example"}
    assert watched.client.post("/files/uploads", headers=rebound).status_code == 421
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert watched.client.post("/files/uploads", headers=headers).status_code == 403
        assert watched.client.put("/_stcore/upload_file/a/b", headers=headers).status_code == 403
        assert watched.client.delete("/_stcore/upload_file/a/b", headers=headers).status_code == 403


def test_other_sites_may_not_frame_the_page(watched: Watched) -> None:
    for path in ("/", "/files/episodes/talk/thumbnail"):
        headers = watched.client.get(path).headers
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert headers["content-security-policy"] == "frame-ancestors 'self'"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_its_health_may_be_asked_by_any_name(watched: Watched) -> None:
    assert watched.client.get("/_stcore/health", headers={"host": "10.1.2.3"}).status_code == 200


@pytest.mark.parametrize(
    "command",
    [["-m", "apps.ui"], ["-m", "streamlit", "run", "apps/ui/app.py"]],
    ids=["ours", "plain"],
)
def test_only_this_machine_reaches_it_unless_it_is_told_otherwise(
    tmp_path: Path, command: list[str]
) -> None:
    log = tmp_path / "page.log"
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, "--server.port", str(port)],
            cwd=CHECKOUT,
            env=clean_environment(),
            stdout=output,
            stderr=output,
        )
    try:
        listening = wait_for(lambda: _listening(process.pid), 60, "the page to listen")
    finally:
        process.terminate()
        exit_code(process)
    assert listening == {("127.0.0.1", port)}


def _listening(pid: int) -> set[tuple[str, int]]:
    connections = psutil.Process(pid).net_connections("inet")
    return {tuple(one.laddr) for one in connections if one.status == psutil.CONN_LISTEN}


def test_on_all_addresses_it_asks_nobody_for_its_own(tmp_path: Path) -> None:
    """As in the image; here in a network of its own, where nobody else is."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare for a network of its own")
    options = ["--server.address", "0.0.0.0", "--server.port", "8501", "--server.headless", "true"]
    command = ["unshare", "-n", sys.executable, "-m", "apps.ui", *options]
    log = tmp_path / "page.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=clean_environment(**watch(tmp_path)),
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: b"http://localhost:8501" in log.read_bytes(), 60, "the page to start")
    finally:
        process.terminate()
        exit_code(process)
    assert not (tmp_path / "looked-up").exists(), (tmp_path / "looked-up").read_text()


def test_an_api_that_is_away_is_a_sentence(watched: Watched) -> None:
    answer = watched.client.get("/files/episodes/talk/thumbnail")
    assert answer.status_code == 502
    assert answer.json()["detail"] == "The server does not answer."
