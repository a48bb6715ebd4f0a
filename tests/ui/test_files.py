"""Files by way of the page's server: what passes, what does not, and who sees the key."""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from apps.ui.files import review_module_path
from lab.processes.service import Server, add_episode, serving
from tests.support.page import PageServer, page_server

KEY = "correct-horse-battery"


@dataclass
class Served:
    server: Server
    page: PageServer
    client: httpx.Client
    run_id: str

    def run_file(self, what: str) -> str:
        return f"/files/episodes/talk/runs/{self.run_id}/{what}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Iterator[Served]:
    """A page, of which the owner allows a name, before an API with a key; and a finished run."""
    folder = tmp_path_factory.mktemp("files")
    add_episode(folder / "data", "talk", test_data / "videos" / "carphone_pristine.mp4")
    keys = {"SCREENALYTICS_API_KEY": KEY}
    names = {"SCREENALYTICS_ALLOWED_HOSTS": "faces.example"}
    with (
        serving(folder / "data", SCREENALYTICS_REDIS_URL="redis://127.0.0.1:1/0", **keys) as server,
        page_server(server.url, folder, **keys, **names) as page,
        httpx.Client(base_url=page.url, trust_env=False, timeout=30) as client,
    ):
        server.client.headers["x-api-key"] = KEY
        run = server.detect_track("talk", stride=48, save_preview=True, save_crops=True)
        assert run.status_code == 200, run.text
        yield Served(server, page, client, run.json()["run_id"])


def raw_get(page: PageServer, path: str) -> tuple[int, bytes]:
    """A path that no client library has tidied up."""
    address = httpx.URL(page.url)
    connection = http.client.HTTPConnection(address.host, address.port, timeout=10)
    connection.putrequest("GET", path)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_the_api_wants_its_key(served: Served) -> None:
    answer = httpx.get(f"{served.server.url}/episodes", trust_env=False)
    assert answer.status_code == 401


def test_a_video_passes_as_a_whole_and_in_parts(served: Served) -> None:
    whole = served.client.get(served.run_file("preview"))
    assert whole.status_code == 200
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["accept-ranges"] == "bytes"
    path = served.server.data_root / "manifests" / "talk" / "runs" / served.run_id / "preview.mp4"
    assert whole.content == path.read_bytes()

    head = served.client.head(served.run_file("preview"))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]

    part = served.client.get(served.run_file("preview"), headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert part.content == whole.content[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    behind = served.client.get(served.run_file("preview"), headers={"Range": "bytes=99999999-"})
    assert behind.status_code == 416


def test_a_face_passes_and_may_be_kept(served: Served) -> None:
    answer = served.client.get(served.run_file("tracks/track-00001/thumbnail"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]


def test_a_frame_of_the_episode_passes(served: Served) -> None:
    answer = served.client.get("/files/episodes/talk/thumbnail")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize(
    ("what", "save_as", "begin"),
    [
        ("tracks", "talk_r.tracks.jsonl", b'{"track_id"'),
        ("detections", "talk_r.detections.jsonl", b'{"ep_id"'),
        ("log", "talk_r.log", b""),
    ],
)
def test_rows_come_line_by_line_under_a_name(
    served: Served, what: str, save_as: str, begin: bytes
) -> None:
    answer = served.client.get(served.run_file(what), params={"save_as": save_as})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="{save_as}"'
    assert len(answer.content) > 20
    if what != "log":
        lines = answer.text.splitlines()
        assert all("track_id" in json.loads(line) for line in lines)


@pytest.mark.parametrize("kind", ["mot", "coco", "csv", "cvat"])
def test_exports_bring_the_names_of_the_api(served: Served, kind: str) -> None:
    answer = served.client.get(served.run_file("export"), params={"format": kind})
    assert answer.status_code == 200
    assert f"talk_{served.run_id}." in answer.headers["content-disposition"]


@pytest.mark.parametrize("name", ['a"b', "a\r\nX-Evil: 1", "../x", "ä"])
def test_a_name_to_save_as_that_is_none_is_left_out(served: Served, name: str) -> None:
    answer = served.client.get(served.run_file("log"), params={"save_as": name})
    assert answer.status_code == 200
    assert "content-disposition" not in answer.headers
    assert "x-evil" not in answer.headers


FOREIGN = [
    "/files/episodes",
    "/files/episodes/talk",
    "/files/version",
    "/files/metrics",
    "/files/openapi.json",
    "/files/celery_jobs",
    "/files/episodes/talk/runs",
    "/files/episodes/talk/runs/latest/progress",
    "/files/episodes/talk/runs/latest/log/",
    "/files/episodes/talk/runs/latest/crops/track-00001/../../../run.json",
    "/files/episodes/talk/runs/../../../version",
    "/files/episodes/../../etc/passwd",
    "/files/episodes/%2e%2e/%2e%2e/etc/passwd/thumbnail",
    "/files/episodes/..%2f..%2fversion",
    "/files/episodes/talk%2fruns/thumbnail",
    "/files/episodes/talk/runs/a%3fb/log",
    "/files//episodes/talk/thumbnail",
    "/files/http:%2f%2f127.0.0.1/thumbnail",
    "/files/episodes/talk/video/../../../version",
    "/files/episodes/talk/playable/other",
    "/files/episodes/talk/runs/latest/reviews",
    "/files/review/0/../../version",
]


@pytest.mark.parametrize("path", FOREIGN)
def test_other_paths_do_not_pass(served: Served, path: str) -> None:
    status, body = raw_get(served.page, path)
    assert status in (400, 404, 405)
    assert b"run_id" not in body
    assert b"root:" not in body


def test_the_modules_of_the_review_may_be_kept(served: Served) -> None:
    path = review_module_path()
    folder = path.rsplit("/", 1)[0]
    answer = served.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert "export default function" in answer.text
    wanted = re.findall(r'from "\./(\w+\.js)"', answer.text)
    assert len(wanted) > 5
    for name in wanted:
        assert served.client.get(f"{folder}/{name}").status_code == 200
    for other in (f"{folder}/review.html", "/files/modules/review/0123456789abcdef/review.js"):
        assert served.client.get(other).status_code == 404


def test_a_video_is_made_playable_from_the_page_only(served: Served) -> None:
    path = "/files/episodes/talk/playable"
    for origin in (None, "http://elsewhere.invalid", "null"):
        headers = {} if origin is None else {"Origin": origin}
        assert served.client.post(path, headers=headers).status_code == 403
    own = {"Origin": served.page.url}
    for name in ("..", "a..b", "-", "x" * 200, "nobody"):
        answer = served.client.post(f"/files/episodes/{name}/playable", headers=own)
        assert answer.status_code in (404, 405)


def test_only_reading_and_uploading_pass(served: Served) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = served.client.request(method, served.run_file("log"))
        assert answer.status_code in (404, 405)
    assert served.client.delete("/files/episodes").status_code in (404, 405)


def test_the_owner_may_allow_a_name(served: Served) -> None:
    """More of other sites is in test_other_sites.py."""
    for host, status in (("faces.example", 200), ("evil.example", 421)):
        assert served.client.get("/", headers={"host": host}).status_code == status


def test_the_key_stays_on_this_side(served: Served) -> None:
    for path in ("/", served.run_file("log"), served.run_file("preview"), "/files/nothing"):
        answer = served.client.get(path)
        assert KEY not in str(answer.headers)
        assert KEY.encode() not in answer.content
    assert KEY not in served.page.log.read_text()


def test_an_upload_passes_from_the_page_only(served: Served, test_data: Path) -> None:
    content = (test_data / "videos" / "carphone_pristine.mp4").read_bytes()
    path, tus = "/files/uploads", {"tus-resumable": "1.0.0"}
    values = {"ep_id": "other", "filename": "clip.mp4"}
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    begin = {
        **tus,
        "upload-length": str(len(content)),
        "upload-metadata": ",".join(f"{key} {value}" for key, value in coded.items()),
    }
    for origin in (None, "http://elsewhere.invalid", "null", f"{served.page.url}.invalid"):
        headers = {} if origin is None else {"Origin": origin}
        for method in ("POST", "PATCH", "DELETE"):
            address = path if method == "POST" else f"{path}/{'0' * 32}"
            answer = served.client.request(method, address, headers={**begin, **headers})
            assert answer.status_code == 403
    assert served.client.get(path).json()["items"] == []
    own = {"Origin": served.page.url}
    begun = served.client.post(path, headers={**begin, **own})
    assert begun.status_code == 201, begun.text
    one = begun.headers["location"]
    assert one.startswith("/files/uploads/")
    sending = {**tus, **own, "content-type": "application/offset+octet-stream"}
    half = len(content) // 2
    for part, offset in ((content[:half], 0), (content[half:], half)):
        assert served.client.head(one).headers["upload-offset"] == str(offset)
        answer = served.client.patch(
            one, content=part, headers={**sending, "upload-offset": str(offset)}
        )
        assert answer.status_code == 204, answer.text
    assert served.server.client.get("/episodes/other").json()["facts"]["frames"] == 120
    assert "other" in served.client.get(f"{path}/names").json()
    assert served.client.delete(one, headers={**tus, **own}).status_code == 409
    assert (
        "has a video already" in served.client.post(path, headers={**begin, **own}).json()["detail"]
    )
    for name in ("..", "%2e%2e", "x", "..%2f..%2fversion", "0" * 33):
        assert raw_get(served.page, f"{path}/{name}")[0] in (400, 404)
