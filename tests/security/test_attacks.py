"""Attacks on a live server: whatever comes, no 5xx, nothing from outside, and it goes on."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.errors import VideoUnreadable
from apps.common.layout import PART, Layout
from apps.pipeline.decode.video import open_video
from lab.processes.service import Server
from tests.pipeline.videos import MPEG4, write_numbered
from tests.security.tricks import (
    PROBLEM,
    QUICK,
    Findings,
    element,
    gif,
    is_documented_503,
    ivf,
    listening,
    measuring,
    patch_boxes,
    read_raw,
    send_raw,
    upload,
    vp8_key_frame,
    webm,
    with_coded_size,
    with_delta,
    with_literal,
    with_pixel_shape,
    with_reference,
    with_timescale,
    y4m,
)

SECRET = b"root-of-all-secrets-4711"
MEMORY_LIMIT = 1.5e9


def problems_of(server: Server, urls: list[str]) -> list[str]:
    """Those of the addresses that answer with a server error, or not at all."""
    bad = []
    for url in urls:
        status, answer = read_raw(server, url)
        text = answer.decode("utf-8", "replace")
        if (status is None or status >= 500) and not is_documented_503(status, url, text):
            bad.append(f"{url}: {status}")
    return bad


# The document of the API


def test_answers_to_fuzzed_requests(server: Server, run: dict, findings: Findings) -> None:
    """What starts a run names no existing episode: one for each example would take minutes."""
    # Half a second for every process that collects the tests, were it loaded with them.
    from tests.security.fuzzing import LEFT_OUT, fuzzed, operations_of, takes_any_text

    operations = operations_of(server)
    assert len(operations) >= 20
    known = {"ep_id": "talk", "run_id": run["run_id"]}
    bad: set[str] = set()
    without = []
    for operation in operations:
        bad |= fuzzed(operation, known, legal=True)
        if takes_any_text(operation):  # it would be looked for long, and in vain
            without.append(f"`{operation.method.upper()} {operation.path}`")
        else:
            bad |= fuzzed(operation, known, legal=False)
    findings.add(
        "fuzzed requests",
        f"{len(operations)} operations of the OpenAPI document, legal and illegal, existing and "
        "other names",
        f"no 5xx but the queue's 503 without Redis; {len(bad)} findings",
    )
    for name, reason in LEFT_OUT.items():
        findings.add("fuzzed requests", f"check `{name}` of schemathesis", f"left out: {reason}")
    findings.add(
        "fuzzed requests",
        "illegal requests, by the document, to " + ", ".join(without),
        "left out: they take any text; test_hostile_names attacks them",
    )
    assert not bad, "\n".join(sorted(bad))


def test_the_document_tells_what_refusals_look_like(server: Server, findings: Findings) -> None:
    paths = server.client.get("/openapi.json").json()["paths"]
    wrong = [
        f"{method.upper()} {path} {status}"
        for path, methods in paths.items()
        for method, operation in methods.items()
        for status, answer in operation["responses"].items()
        if status.startswith("4") and list(answer.get("content", {})) != [PROBLEM]
    ]
    findings.add(
        "document",
        "each 4xx of the OpenAPI document",
        "is application/problem+json" if not wrong else f"{len(wrong)} say another type",
    )
    assert not wrong


JSON = {"content-type": "application/json"}
REFUSED: list[tuple[str, str, dict[str, Any], int]] = [
    ("post", "/jobs/detect_track", {"content": b"[" * 100_000, "headers": JSON}, 400),
    ("post", "/episodes", {"headers": {"origin": "http://evil.example"}}, 403),
    ("get", "/version", {"headers": {"host": "evil.example"}}, 421),
    ("get", "/version", {"headers": [(f"x-{number}", "y") for number in range(200)]}, 431),
    ("post", "/options/resolve", {"content": b"x" * 1_100_000, "headers": JSON}, 413),
    ("post", "/celery_jobs/detect_track", {"json": {"ep_id": "talk", "run_id": "{run_id}",
     "execution_mode": "local"}}, 409),
    ("get", "/episodes/{ep_id}/runs/{run_id}/preview", {"headers": {"range": "bytes=0-1"}}, 206),
    ("get", "/episodes/{ep_id}/runs/{run_id}/log", {"headers": {"range": "bytes=9999999-"}}, 416),
    ("get", "/episodes/{ep_id}/runs/{run_id}/log", {"headers": {"range": "bytes=x"}}, 400),
    ("get", "/celery_jobs/{job_id}", {}, 503),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "sent", "status"), REFUSED)
def test_the_document_names_each_answer(
    server: Server, run: dict, method: str, path: str, sent: dict[str, Any], status: int
) -> None:
    names = {"ep_id": "talk", "run_id": run["run_id"], "job_id": "none"}
    if "json" in sent:
        sent = {"json": {**sent["json"], "run_id": run["run_id"]}}
    answer = server.client.request(method, path.format(**names), **sent)
    assert answer.status_code == status, answer.text
    operation = server.client.get("/openapi.json").json()["paths"][path][method]
    assert str(status) in operation["responses"]


def test_an_upload_of_what_is_there_is_documented(server: Server, small: bytes) -> None:
    assert upload(server, "talk", small).status_code == 409
    document = server.client.get("/openapi.json").json()
    assert "409" in document["paths"]["/episodes"]["post"]["responses"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"\\ud800": 1}',
        b'{"ep_id": "\\ud800"}',
        b'{"ep_id": "nobody", "run_id": "\\udfff"}',
        b'{"ep_id": "nobody", "stride": 1e999}',
        b'{"ep_id": "nobody", "fps": NaN}',
        b'{"ep_id": "nobody", "stride": ' + b"9" * 5000 + b"}",
        b'{"ep_id": ' + b"[" * 100_000 + b"}",
        b'{"ep_id": ' + b"[" * 400 + b"]" * 400 + b"}",
        b'{"ep_id": "nobody", "x": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
        b"\xff\xfe{}",
        b"\0",
        b"null",
        b'{"ep_id": "nobody", "device": "\\u0000"}',
    ],
    ids=[
        "surrogate field", "surrogate ep_id", "surrogate run_id", "infinite", "nan", "digits",
        "deep", "nested list", "nested object", "bytes", "NUL", "null", "NUL in text",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/celery_jobs/detect_track", "/jobs/detect_track"])
def test_hostile_json(server: Server, findings: Findings, path: str, body: bytes, request) -> None:
    answer = server.client.post(path, content=body, headers={"content-type": "application/json"})
    name = request.node.callspec.id.partition("-")[2] or request.node.callspec.id
    findings.add("hostile JSON", f"POST {path}: {name}", str(answer.status_code))
    assert 400 <= answer.status_code < 500, answer.text


# Names


NAMES = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.text(min_size=1, max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(
        st.sampled_from([b"..", b".", b"/", b"\\", b"\0", b"etc", b"passwd", b"talk", b"~", b"\n"]),
        min_size=1,
        max_size=12,
    ).map(b"".join),
    st.integers(100, 20_000).map(lambda size: b"a" * size),
)
ROUTES = [
    "/episodes/{}", "/episodes/{}/runs", "/episodes/{}/runs/latest", "/episodes/talk/runs/{}",
    "/episodes/talk/runs/{}/log", "/episodes/talk/runs/{}/tracks", "/jobs/{}", "/celery_jobs/{}",
    "/episodes/talk/runs/latest/crops/{}", "/celery_jobs?ep_id={}", "/celery_jobs/{}/events",
    "/episodes/talk/runs/latest/export?format={}", "/episodes/talk/runs/{}/diagnosis",
    "/episodes/talk/runs/{}/preview", "/episodes/talk/runs/latest/tracks?offset={}",
    "/episodes/{}/thumbnail", "/episodes/talk/runs/latest/tracks/{}/thumbnail",
]  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_hostile_names(server: Server, run: dict, findings: Findings, route: str) -> None:
    (server.data_root.parent / "secret.txt").write_bytes(SECRET)
    statuses = set()

    @QUICK
    @given(NAMES, st.booleans())
    def ask(name: bytes, encode_dots: bool) -> None:
        quoted = quote_from_bytes(name, safe="")
        if encode_dots:
            quoted = quoted.replace(".", "%2e")
        path = route.format(quoted)
        status, answer = read_raw(server, path)
        statuses.add(status)
        assert SECRET not in answer
        assert b"root:x:" not in answer
        text = answer.decode("utf-8", "replace")
        assert status is None or status < 500 or is_documented_503(status, path, text), path

    ask()
    up = "..%2f" * 6 + "secret.txt"
    for trick in (up, up.replace(".", "%2e"), "../" * 6 + "secret.txt", "%252e%252e%252fsecret"):
        status, answer = read_raw(server, route.format(trick))
        assert SECRET not in answer
        assert (status or 400) < 500 or is_documented_503(status, route, answer.decode())
    findings.add(
        "names",
        f"GET {route}: bytes, Unicode, NUL, dots, 20 kB",
        ", ".join(sorted(str(status) for status in statuses)),
    )


# Files of runs


DEEP = [f"{'[' * depth}{']' * depth}" for depth in (100, 300, 900, 100_000)]
LITERALS = st.one_of(
    st.sampled_from(
        [
            "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400, "9" * 5000, "null",
            "true", '""', "[]", "{}", '"\\ud800"', '"\\u0000"', "-1", "0", '"../../../etc"',
            "[[[]]]", "1.5", '{"\\ud800": 1}', '"x', "}", *DEEP,
        ]
    ),
    st.floats().map(json.dumps),
    st.integers().map(str),
)  # fmt: skip
FILES = ["run.json", "progress.json", "track_metrics.json", "tracks.jsonl", "detections.jsonl",
         "latest.json", "job", "holder"]  # fmt: skip
JOB = "job-forged"


@contextmanager
def restored(path: Path) -> Iterator[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_bytes() if path.exists() else None
    try:
        yield before or b""
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)


def forged_file(server: Server, run: dict, name: str) -> tuple[Path, Any]:
    """Where a file lies, and a legal content of it. A job's process is none that lives."""
    run_id = run["run_id"]
    folder = server.data_root / "manifests/talk"
    if name == "latest.json":
        return folder / name, {"run_id": run_id}
    if name == "job":
        process = {"pid": 2**31 - 2, "create_time": 1.0}
        record = {"job_id": JOB, "ep_id": "talk", "run_id": run_id, "profile": "low_power"}
        job = {**record, "process": process, "limiter": "none", "limiter_process": process}
        return server.data_root / f".jobs/{JOB}.json", job
    if name == "holder":
        holder = {"ep_id": "talk", "run_id": run_id, "execution_mode": "local", "pid": 1}
        path = server.data_root / ".locks/talk.json"
        return path, {**holder, "host": "h", "since": "2026-01-01T00:00:00Z"}
    path = folder / "runs" / run_id / name
    text = path.read_text()
    return path, json.loads(text.splitlines()[0] if name.endswith("l") else text)


def server_errors(bad: dict[str, bytes], run: dict) -> str:
    return f"server error of {', '.join(sorted(bad))}".replace(run["run_id"], "RUN")


def readers(run: dict) -> list[str]:
    base = f"/episodes/talk/runs/{run['run_id']}"
    parts = ["", "/diagnosis", "/progress", "/tracks", "/detections", "/metrics", "/log",
             "/export?format=csv", "/export?format=mot", "/export?format=coco", "/charts",
             "/export?format=cvat",
             "/tracks?sort=length&descending=true", "/tracks/track-00001/thumbnail",
             "/tracks/track-99999/thumbnail"]  # fmt: skip
    others = ["/episodes", "/episodes/talk", "/episodes/talk/runs", "/episodes/talk/runs/latest"]
    return [*others, *(base + part for part in parts), f"/jobs/{JOB}", "/celery_jobs"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["values", "bytes"])
def test_hostile_run_files(
    server: Server, run: dict, findings: Findings, name: str, how: str
) -> None:
    path, document = forged_file(server, run, name)
    bad: dict[str, bytes] = {}
    valid = json.dumps(document).encode()
    contents: st.SearchStrategy[bytes] = st.one_of(
        st.binary(max_size=200),
        st.integers(0, len(valid)).map(lambda end: valid[:end]),
        st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"1e999", b"NaN", b"\xff\xfe"]),
        st.sampled_from([b"{}\n" * 1000, valid * 2, b"\xef\xbb\xbf" + valid, b"\0" * 1000]),
    )
    if how == "values":
        contents = st.builds(with_literal, st.just(document), st.integers(0, 300), LITERALS)
        explicit = [with_literal(document, 0, literal) for literal in DEEP]
    else:
        explicit = []

    with restored(path), held(server) if name == "holder" else ExitStack():

        def check(content: bytes) -> None:
            path.write_bytes(content)
            for problem in problems_of(server, readers(run)):
                bad.setdefault(problem, content)

        @settings(QUICK, max_examples=8)
        @given(contents)
        def hypothesis_check(content: bytes) -> None:
            check(content)

        for content in explicit:
            check(content)
        hypothesis_check()
    findings.add(
        "files in the data root",
        f"{name}: {'wrong values, NaN, 1e999, deep nesting' if how == 'values' else 'cut, binary'}",
        "no server error" if not bad else server_errors(bad, run),
    )
    shown = [f"{problem} for {content[:200]!r}" for problem, content in sorted(bad.items())]
    assert not bad, "\n".join(shown)


@contextmanager
def held(server: Server) -> Iterator[None]:
    """The episode is held, as by a run."""
    layout = Layout(server.data_root)
    layout.locks.mkdir(exist_ok=True)
    with layout.lock("talk").open("w") as lock, layout.shown_lock("talk").open("w") as shown:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fcntl.flock(shown, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("value", ["NaN", '"\\ud800"', '{"a": 1e999}'])
def test_hostile_holder_of_a_busy_episode(
    server: Server, run: dict, findings: Findings, value: str
) -> None:
    path = server.data_root / ".locks/talk.json"
    with held(server), restored(path):
        text = f'{{"since": {value}, "run_id": {value}, "execution_mode": {value}}}'
        path.write_text(text)
        answer = server.detect_track("talk", stride=60)
    findings.add("files in the data root", f"holder says {value}", str(answer.status_code))
    assert answer.status_code == 409, answer.text


@pytest.mark.parametrize("what", ["folder", "loop"])
@pytest.mark.parametrize("name", [*FILES, "lock", "held"])
def test_something_else_than_a_file(
    server: Server, run: dict, findings: Findings, name: str, what: str
) -> None:
    path = (
        server.data_root / f".locks/talk.{name}"
        if name in {"lock", "held"}
        else forged_file(server, run, name)[0]
    )
    with restored(path):
        path.unlink(missing_ok=True)
        path.mkdir() if what == "folder" else path.symlink_to(path.name)
        try:
            bad = problems_of(server, readers(run))
        finally:
            path.rmdir() if what == "folder" else path.unlink()
    answer = "no server error" if not bad else f"server error: {', '.join(bad)}"
    findings.add("files in the data root", f"{name} is a {what}", answer)
    assert not bad


# Links


LINKED = [
    ("run.log", "/log"), ("tracks.jsonl", "/tracks"), ("detections.jsonl", "/detections"),
    ("preview.mp4", "/preview"), ("tracks.jsonl", "/tracks (rows)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "route"), LINKED)
def test_a_run_file_that_is_a_link_to_outside(
    server: Server, run: dict, findings: Findings, name: str, route: str
) -> None:
    outside = server.data_root.parent / "outside.txt"
    outside.write_bytes(json.dumps({"secret": SECRET.decode()}).encode() + b"\n")
    path = server.data_root / "manifests/talk/runs" / run["run_id"] / name
    rows = not route.endswith("(rows)")
    headers = {"accept": "application/x-ndjson"} if rows else {}
    with restored(path):
        path.unlink()
        path.symlink_to(outside)
        url = f"/episodes/talk/runs/{run['run_id']}{route.partition(' ')[0]}"
        answer = server.client.get(url, headers=headers)
        path.unlink()
    leaked = SECRET in answer.content
    findings.add(
        "links", f"{name} is a link out of the data root", "served" if leaked else "not served"
    )
    assert not leaked
    assert answer.status_code < 500


MARK = 424_242


@pytest.mark.parametrize(
    ("name", "route"), [("progress.json", "/progress"), ("track_metrics.json", "/metrics")]
)
def test_figures_of_a_run_that_are_a_link_to_outside(
    server: Server, run: dict, findings: Findings, name: str, route: str
) -> None:
    """What lies outside is well formed, so that it would be answered."""
    path = server.data_root / "manifests/talk/runs" / run["run_id"] / name
    outside = server.data_root.parent / name
    with restored(path):
        outside.write_text(json.dumps({**json.loads(path.read_text()), "frames_done": MARK}))
        path.unlink()
        path.symlink_to(outside)
        answer = server.client.get(f"/episodes/talk/runs/{run['run_id']}{route}")
        path.unlink()
    leaked = str(MARK) in answer.text
    findings.add(
        "links", f"{name} is a link out of the data root", "served" if leaked else "not served"
    )
    assert answer.status_code == 404


def test_the_name_of_the_newest_run_is_a_link_to_outside(
    server: Server, run: dict, findings: Findings
) -> None:
    path = Layout(server.data_root).latest("talk")
    outside = server.data_root.parent / "latest.json"
    with restored(path):
        outside.write_text(json.dumps({"run_id": run["run_id"]}))
        path.unlink()
        path.symlink_to(outside)
        answer = server.client.get("/episodes/talk/runs/latest")
        path.unlink()
    findings.add("links", "latest.json is a link out of the data root", f"{answer.status_code}")
    assert answer.status_code == 404


def test_a_hard_link_is_noted(server: Server, run: dict, findings: Findings) -> None:
    """It cannot be told from a file; only who may write to the data root can make one."""
    outside = server.data_root.parent / "hard.txt"
    outside.write_bytes(SECRET)
    path = server.data_root / "manifests/talk/runs" / run["run_id"] / "run.log"
    with restored(path):
        path.unlink()
        path.hardlink_to(outside)
        answer = server.client.get(f"/episodes/talk/runs/{run['run_id']}/log")
        path.unlink()
    outcome = "served, as the file that it is" if SECRET in answer.content else "not served"
    findings.add("links", "run.log is a hard link of a file outside", outcome)
    assert answer.status_code < 500


@pytest.mark.parametrize("what", ["crops", "track folder", "crop", "run folder"])
def test_a_folder_that_is_a_link_to_outside(
    server: Server, run: dict, findings: Findings, what: str
) -> None:
    crop = "track-00001/frame_000042.jpg"
    folder = server.data_root / "manifests/talk/runs" / run["run_id"]
    outside = server.data_root.parent / f"outside-{what.replace(' ', '-')}"
    (outside / "track-00001").mkdir(parents=True)
    (outside / crop).write_bytes(SECRET)
    (outside / "crops/track-00001").mkdir(parents=True)
    (outside / "crops" / crop).write_bytes(SECRET)
    (outside / "run.log").write_bytes(SECRET)
    (outside / "run.json").write_bytes((folder / "run.json").read_bytes())
    place, target = {
        "crops": (folder / "crops", outside),
        "track folder": (folder / "crops/track-00001", outside / "track-00001"),
        "crop": (folder / "crops" / crop, outside / crop),
        "run folder": (folder, outside),
    }[what]
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_name(place.name + ".aside")
    existed = place.exists()
    if existed:
        place.rename(aside)
    place.symlink_to(target)
    try:
        base = f"/episodes/talk/runs/{run['run_id']}"
        answers = [server.client.get(f"{base}/crops/{crop}"), server.client.get(f"{base}/log")]
    finally:
        place.unlink()
        if existed:
            aside.rename(place)
    leaked = any(SECRET in answer.content for answer in answers)
    findings.add(
        "links", f"the {what} is a link out of the data root", "served" if leaked else "not served"
    )
    assert not leaked
    assert all(answer.status_code < 500 for answer in answers)


@pytest.mark.parametrize("kind", ["symlink", "hard link", "linked folder"])
def test_a_linked_video_is_noted(
    server: Server, findings: Findings, test_data: Path, kind: str
) -> None:
    """An administrator may keep videos on another disk: what happens is noted, not judged."""
    ep_id = f"linked-{kind.replace(' ', '-')}"
    folder = server.data_root / "videos" / ep_id
    outside = server.data_root.parent / f"disk-{ep_id}"
    outside.mkdir()
    video = outside / "episode.mp4"
    video.write_bytes((test_data / "videos/carphone_pristine.mp4").read_bytes())
    if kind == "linked folder":
        folder.symlink_to(outside)
    else:
        folder.mkdir(parents=True)
        link = folder / "episode.mp4"
        link.symlink_to(video) if kind == "symlink" else link.hardlink_to(video)
    body = server.client.get(f"/episodes/{ep_id}").json()
    outcome = "accepted" if body["facts"] else "refused"
    findings.add("links", f"a video that is a {kind} to outside", f"{outcome} (left to the owner)")


def test_a_link_to_something_that_is_no_video(server: Server, findings: Findings) -> None:
    outside = server.data_root.parent / "outside.txt"
    outside.write_bytes(SECRET)
    folder = server.data_root / "videos/linked-text"
    folder.mkdir()
    (folder / "episode.mp4").symlink_to(outside)
    answer = server.client.get("/episodes/linked-text")
    run = server.detect_track("linked-text")
    findings.add("links", "a video that is a link to a text file", f"run: {run.status_code}")
    assert SECRET not in answer.content + run.content
    assert run.status_code == 422


# Videos that name other files


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("small") / "small.mp4"
    return write_numbered(path, 30, MPEG4).read_bytes()


def naming_files(port: int, other: str) -> dict[str, bytes]:
    url = f"http://127.0.0.1:{port}/a.ts"
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n"
    mpd = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
        f"<BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )
    ass = "[Script Info]\nScriptType: v4.00+\n[Events]\nFormat: Start, End, Text\n"
    smil = f'<smil><body><video src="{url}"/></body></smil>'
    texts = {
        "m3u8 of a URL": f"{head}{url}\n#EXT-X-ENDLIST\n",
        "m3u8 of a file": f"{head}file://{other}\n#EXT-X-ENDLIST\n",
        "m3u8 with concat": f"{head}concat:{url}|file:{other}\n#EXT-X-ENDLIST\n",
        "m3u8 with key": f'{head}#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n{other}\n',
        "ffconcat": f"ffconcat version 1.0\nfile '{other}'\n",
        "ffconcat of a URL": f"ffconcat version 1.0\nfile '{url}'\n",
        "dash": mpd,
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video {port} TCP 96\n",
        "vtt": f"WEBVTT\n\n00:00.000 --> 00:09.000\n<v {url}>{other}\n",
        "ass": f"{ass}Dialogue: 0:00:00.00,0:00:09.00,{{\\img({other})}}\n",
        "mpl2": f"[0][90]{other}\n[90][99]{url}\n",
        "lrc": f"[00:00.00]{other}\n[00:09.00]{url}\n",
        "url": url,
        "reference text": f"[Reference]\nRef1={url}\nRef2=file://{other}\n",
        "rtsp": f"rtsptext\nrtsp://127.0.0.1:{port}/x\n",
        "smil": smil,
        "imf": f'<?xml version="1.0"?><CompositionPlaylist>{url}</CompositionPlaylist>',
        "ffmetadata": f";FFMETADATA1\ntitle={url}\n",
    }
    return {name: text.encode() for name, text in texts.items()}


SUFFIXES = {"vtt": "vtt", "ass": "ass", "mpl2": "txt", "dash": "mpd"}


@pytest.mark.trap(41)
@pytest.mark.parametrize("name", list(naming_files(1, "/")))
def test_scripts_that_name_files(
    data_root: Path, findings: Findings, tmp_path: Path, name: str
) -> None:
    """Opened as every process of the service opens a video: as an upload and by its own name."""
    other = str(data_root / "videos/talk/episode.mp4")
    with listening() as (port, visitors):
        for suffix in (PART, f".{SUFFIXES.get(name, 'm3u8')}"):
            file = tmp_path / f"episode{suffix}"
            file.write_bytes(naming_files(port, other)[name])
            with pytest.raises(VideoUnreadable), open_video(file, threads=1):
                pass
        time.sleep(0.05)
    findings.add("files that name files", f"{name}, opened", "no video, nobody connected")
    assert not visitors


@pytest.mark.parametrize("name", ["m3u8 with concat", "dash", "vtt"])
def test_scripts_that_name_files_are_refused(server: Server, findings: Findings, name: str) -> None:
    other = str(server.data_root / "videos/talk/episode.mp4")
    with listening() as (port, visitors):
        content = naming_files(port, other)[name]
        answer = upload(server, "script", content)
        folder = server.data_root / "videos" / f"script-{name.replace(' ', '-')}"
        folder.mkdir()
        (folder / f"episode.{SUFFIXES.get(name, 'm3u8')}").write_bytes(content)
        detail = server.client.get(f"/episodes/{folder.name}")
        time.sleep(0.05)
    findings.add(
        "files that name files",
        f"{name}, uploaded and put into the data root",
        f"upload {answer.status_code}, no facts, nobody connected",
    )
    assert answer.status_code == 422, answer.text
    assert detail.status_code == 200
    assert detail.json()["facts"] is None
    assert not visitors


@pytest.mark.parametrize("target", ["url", "file"])
def test_media_that_lies_elsewhere(
    server: Server, findings: Findings, small: bytes, target: str
) -> None:
    with listening() as (port, visitors):
        url = f"http://127.0.0.1:{port}/media.mp4"
        if target == "file":
            url = f"file://{server.data_root}/videos/talk/episode.mp4"
        video = patch_boxes(small, {b"dref": with_reference(url)})
        ep_id = f"dref-{target}"
        answer = upload(server, ep_id, video)
        run = server.detect_track(ep_id, stride=10) if answer.status_code == 201 else None
        time.sleep(0.05)
    answers = f"upload {answer.status_code}" + (f", run {run.status_code}" if run else "")
    findings.add("files that name files", f"MP4 whose dref is a {target}", f"{answers}, no access")
    assert not visitors
    assert answer.status_code in (201, 422)
    assert run is None or run.status_code in (200, 422)


def test_attachments_stay_where_they_are(
    server: Server, findings: Findings, tmp_path: Path
) -> None:
    video = bytearray(write_numbered(tmp_path / "clip.mkv", 10).read_bytes())
    attached = element("466e", b"../../../../evil.sh") + element("4660", b"text/x-shellscript")
    attached += element("465c", SECRET) + element("46ae", b"\1")
    segment = video.index(bytes.fromhex("18538067"))
    # A segment of unknown size takes what follows.
    video[segment + 4 : segment + 12] = b"\x01" + b"\xff" * 7
    content = bytes(video) + element("1941a469", element("61a7", attached))
    answer = upload(server, "attached", content, "clip.mkv")
    findings.add("files that name files", "MKV with an attachment", f"{answer.status_code}")
    assert answer.status_code in (201, 422)
    assert not list(server.data_root.parent.rglob("evil.sh"))


# Bombs


def slow(delta: int, scale: int) -> Callable[[bytes], bytes]:
    edits = {b"stts": with_delta(delta), b"mdhd": with_timescale(scale)}
    # Without its edit list, which would cut the long ones short.
    return lambda small: patch_boxes(small, edits).replace(b"edts", b"free")


BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "MP4 says 65535x65535": lambda s: patch_boxes(s, {b"stsd": with_coded_size(65535, 65535)}),
    "WebM says 100000x100000": lambda _: webm(100_000, 100_000, b"V_VP8", vp8_key_frame(64, 64)),
    "WebM of 16383x16383": lambda _: webm(16383, 16383, b"V_VP8", vp8_key_frame(16383, 16383)),
    "Y4M says 100000x100000": lambda _: y4m(100_000, 100_000),
    "Y4M of 30000x30000 without data": lambda _: y4m(30_000, 30_000),
    "Y4M of 16000x16000, one byte": lambda _: y4m(16_000, 16_000, b"\0"),
    "IVF says 65535x65535": lambda _: ivf(65535, 65535, vp8_key_frame(64, 64)),
    "IVF of 16383x16383": lambda _: ivf(16383, 16383, vp8_key_frame(16383, 16383)),
    "GIF of 65535x65535": lambda _: gif(65535, 65535, 3),
    "GIF of 16000x16000": lambda _: gif(16_000, 16_000, 20),
    "10 hours in 30 frames": slow(1200 * 12_800, 12_800),
    "one frame in 68 years": slow(2**31 - 1, 1),
    "one frame in 68 years, all but one cut off": lambda s: patch_boxes(
        s, {b"stts": with_delta(2**31 - 1), b"mdhd": with_timescale(1)}
    ),
    "all frames at once": slow(0, 12_800),
    "timescale 0": slow(1, 0),
    "pixels 2000000000:1": lambda s: patch_boxes(s, {b"stsd": with_pixel_shape(2_000_000_000, 1)}),
    "pixels 1:2000000000": lambda s: patch_boxes(s, {b"stsd": with_pixel_shape(1, 2_000_000_000)}),
}


@pytest.mark.parametrize("name", list(BOMBS))
def test_bombs(server: Server, findings: Findings, small: bytes, name: str) -> None:
    ep_id = "bomb-" + "".join(c for c in name if c.isalnum() or c == "-")
    with measuring(server) as probing:
        answer = upload(server, ep_id, BOMBS[name](small))
    outcome, run, running = f"upload {answer.status_code}", None, None
    if answer.status_code == 201:
        with measuring(server) as running:
            run = server.detect_track(
                ep_id, timeout_s=8, stride=1, cpu_threads=2, save_crops=True, save_preview=True
            )
        outcome += f", run {run.status_code} ({running.rss / 1e6:.0f} MB, {running.seconds:.0f} s)"
    outcome += f"; probe {probing.rss / 1e6:.0f} MB, {probing.seconds:.1f} s"
    findings.add("bombs", name, outcome)
    print(name, outcome, answer.text[:300], run and run.text[:500])
    assert answer.status_code in (201, 422), answer.text
    assert probing.rss < MEMORY_LIMIT
    if run is not None and running is not None:
        assert run.status_code in (200, 422, 504), run.text
        assert running.rss < MEMORY_LIMIT


# Headers and forms


START = b"GET /episodes HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /jobs/detect_track HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
HEADERS = {
    "10000 headers": START + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)) + b"\r\n",
    "a header of 1 MB": START + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n",
    "a path of 1 MB": b"GET /" + b"y" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": CHUNKED + b"Content-Length: 2\r\n\r\n0\r\n\r\n",
    "length of 5000 digits": POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "negative length": POST + b"Content-Length: -1\r\n\r\n{}",
    "length in letters": POST + b"Content-Length: two\r\n\r\n{}",
    "length in other digits": POST + b"Content-Length: \xb2\r\n\r\n{}",
    "chunk size in letters": CHUNKED + b"\r\nzz\r\n{}\r\n0\r\n\r\n",
    "chunk size too large": CHUNKED + b"\r\n" + b"f" * 30 + b"\r\n{}\r\n0\r\n\r\n",
    "negative chunk size": CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n",
    "chunk without end": CHUNKED + b"\r\n2\r\n{}xx0\r\n\r\n",
    "unknown encoding": POST + b"Transfer-Encoding: zip\r\n\r\n{}",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "header without name": START + b": x\r\n\r\n",
    "header with NUL": START + b"X: a\0b\r\n\r\n",
    "folded header": START + b"X: a\r\n b\r\n\r\n",
    "line feeds only": START.replace(b"\r", b"") + b"\n",
    "no host": b"GET /episodes HTTP/1.1\r\n\r\n",
    "two hosts": START + b"Host: u\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    "noise": bytes(range(256)) * 10,
    "another server's address": b"GET http://example.org/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "method of 60 kB": b"A" * 60_000 + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "upgrade to websocket": START + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "expects what nobody knows": POST + b"Expect: 999\r\nContent-Length: 2\r\n\r\n{}",
}
MAY_PASS = {
    "folded header", "line feeds only", "expects what nobody knows", "upgrade to websocket",
    "length and chunks", "chunked twice", "another server's address", "two hosts",
    "no host",
}  # fmt: skip


@pytest.mark.parametrize("name", list(HEADERS))
def test_broken_requests(server: Server, findings: Findings, name: str) -> None:
    status = send_raw(server, HEADERS[name])
    findings.add("broken requests", name, "no answer" if status is None else str(status))
    assert status is None or status < 500
    if name not in MAY_PASS:
        assert status is None or status >= 400


@pytest.mark.parametrize("count", [1000, 6000])
def test_many_ranges(server: Server, run: dict, findings: Findings, count: int) -> None:
    ranges = ",".join(f"{2 * n}-{2 * n}" for n in range(count))[:60_000].rpartition(",")[0]
    before = server.cpu_seconds()
    url = f"/episodes/talk/runs/{run['run_id']}/preview"
    answer = server.client.get(url, headers={"range": f"bytes={ranges}"})
    findings.add("broken requests", f"{count} ranges of a file", str(answer.status_code))
    assert answer.status_code < 500
    assert server.cpu_seconds() - before < 2


B = b"--b\r\n"
DISPOSITION = b"Content-Disposition: form-data; "
FILE = B + DISPOSITION + b'name="file"; filename="%s"\r\n\r\nxxxx\r\n'
NAME = B + DISPOSITION + b'name="ep_id"\r\n\r\nform\r\n'
END = b"--b--\r\n"
FORMS = {
    "1000 parts": b"".join(B + DISPOSITION + b'name="f%d"\r\n\r\nx\r\n' % n for n in range(1000)),
    "100000 empty parts": b"".join(
        B + DISPOSITION + b'name="f%d"\r\n\r\n\r\n' % n for n in range(100_000)
    ),
    "nested": B + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n",
    "part header of 1 MB": B + DISPOSITION + b'name="' + b"x" * 1_000_000 + b'"\r\n\r\nx\r\n',
    "10000 headers of a part": B + b"X: y\r\n" * 10_000 + b"\r\nx\r\n",
    "name of a file that climbs": NAME + FILE % b"../../../../evil.mp4",
    "name of a file with NUL": NAME + FILE % b"a\0b.mp4",
    "name of a file of 100 kB": NAME + FILE % (b"a" * 100_000),
    "name of a file in no charset": NAME
    + B
    + DISPOSITION
    + b"name=\"file\"; filename*=utf-99''%ff\r\n\r\nx\r\n",
    "name in no charset": B + DISPOSITION + b"name*=x-none''%ff%00; filename*0*=a\r\n\r\nx\r\n",
    "name in a bad charset": B + DISPOSITION + b"name*=\0'\0'%zz\r\n\r\nx\r\n",
    "no colon": B + b"no header\r\n\r\nx\r\n",
    "header with bytes": B + b"\xff\xfe: \xff\r\n\r\nx\r\n",
    "ep_id with NUL": B + DISPOSITION + b'name="ep_id"\r\n\r\na\0b\r\n' + FILE % b"a.mp4",
    "ep_id that climbs": B + DISPOSITION + b'name="ep_id"\r\n\r\n../../x\r\n' + FILE % b"a.mp4",
    "transfer encoding": NAME + B + b"Content-Transfer-Encoding: gzip\r\n" + FILE[5:] % b"a.mp4",
}


@pytest.mark.parametrize("name", list(FORMS))
def test_broken_forms(server: Server, findings: Findings, name: str) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = server.client.post("/episodes", content=FORMS[name] + END, headers=headers)
    findings.add("broken forms", name, str(answer.status_code))
    assert 400 <= answer.status_code < 500, answer.text
    assert not list(server.data_root.parent.rglob("evil*"))
    assert list((server.data_root / ".uploads").glob("*")) == []


@pytest.mark.parametrize("kind", [
    "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"",
    "multipart/form-data; boundary=" + "x" * 5000, "multipart/form-data; boundary*=utf-99''%ff",
    "multipart/form-data; boundary=\xff", "multipart/mixed; boundary=b", "", ";;;=", "text/plain",
])  # fmt: skip
def test_broken_form_types(server: Server, findings: Findings, kind: str) -> None:
    answer = server.client.post(
        "/episodes", content=NAME + END, headers={"content-type": kind.encode("latin-1")}
    )
    findings.add("broken forms", f"content type `{kind[:60]}`", str(answer.status_code))
    assert 400 <= answer.status_code < 500, answer.text


@pytest.mark.parametrize("what", ["part header", "empty parts"])
def test_a_form_that_never_ends_is_not_kept_in_memory(
    server: Server, findings: Findings, what: str
) -> None:
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss

    def body() -> Iterator[bytes]:
        if what == "part header":
            yield B + DISPOSITION
            for _ in range(200):
                yield b"x" * 500_000
        else:
            for block in range(45):
                rows = (b"%d-%d" % (block, n) for n in range(10_000))
                yield b"".join(B + DISPOSITION + b'name="%s"\r\n\r\n\r\n' % row for row in rows)

    headers = {"content-type": "multipart/form-data; boundary=b"}
    status: int | None = None
    with suppress(Exception):  # it may hang up while we still send
        status = server.client.post("/episodes", content=body(), headers=headers).status_code
    grown = process.memory_info().rss - before
    findings.add("broken forms", f"endless {what}", f"{status}; {max(0, grown) / 1e6:.0f} MB kept")
    print(what, status, grown / 1e6)
    assert status is None or 400 <= status < 500
    assert grown < 50e6


# Slow clients


def test_slow_clients_do_not_stop_others(server: Server, findings: Findings) -> None:
    heads = [START, POST + b"Content-Length: 100\r\n\r\n", POST.replace(b"/jobs/detect_track",
             b"/episodes").replace(b"application/json", b"multipart/form-data; boundary=b")
             + b"Content-Length: 1000\r\n\r\n--b\r\n"]  # fmt: skip
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            for _ in range(20)
        ]
        for number, client in enumerate(clients):
            client.sendall(heads[number % 3])
        for _ in range(4):
            for client in clients:
                with suppress(OSError):
                    client.sendall(b"X")
            assert server.client.get("/health/live").status_code == 200
            assert server.client.get("/episodes").status_code == 200
            time.sleep(1)
    findings.add("slow clients", "20 that send a byte a second", "others are answered")


def test_clients_that_never_read(server: Server, run: dict, findings: Findings) -> None:
    path = f"/episodes/talk/runs/{run['run_id']}/preview"
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 50
    with ExitStack() as stack:
        for _ in range(20):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            stack.enter_context(client)
            client.sendall(request)
        assert server.client.get("/health/live").status_code == 200
        assert server.client.get("/episodes").status_code == 200
    findings.add("slow clients", "20 that ask 50 times and never read", "others are answered")


def test_a_pipe_instead_of_a_file(server: Server, run: dict, findings: Findings) -> None:
    """Nobody writes to it: a reader that opens it would wait for ever."""
    path, _ = forged_file(server, run, "progress.json")
    with restored(path):
        path.unlink()
        os.mkfifo(path)
        try:
            url = f"/episodes/talk/runs/{run['run_id']}/progress"
            try:
                status = str(server.client.get(url, timeout=30).status_code)
            except Exception:
                status = "no answer"
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))  # lets the reader go
        finally:
            path.unlink()
    findings.add("files in the data root", "progress.json is a named pipe", status)
    assert status != "no answer"
