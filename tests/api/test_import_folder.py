"""New videos of a folder of the server become episodes, and are queued; nothing else is reached."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.api.idempotent import answered_once
from apps.api.import_files import staged
from apps.api.importing import import_folder
from apps.api.services import Services
from apps.cli import batch
from apps.cli.import_watch import line
from apps.common.batch_schemas import FolderImport, ImportProgress
from apps.common.errors import InvalidInput, ServiceStopping
from apps.common.layout import Layout
from apps.common.settings import Settings
from apps.common.webhooks import WebhookSettings
from apps.jobs.idempotency import Answer
from apps.jobs.store import JobStore
from apps.runs.new_videos import open_folder, videos_in
from lab.processes.queue import Redis
from lab.processes.service import Server, add_episode, serving
from tests.api.test_batches import PATH, ask, run
from tests.support.jobs import IDLER

OLD = time.time() - 3600
NO_REDIS = "redis://127.0.0.1:9/0"
_threads: dict[str, set[int]] | None = None  # which threads opened or linked what


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("open", "os.link") and _threads is not None:
        _threads.setdefault(str(arguments[0]), set()).add(threading.get_ident())


sys.addaudithook(_note)


@pytest.fixture
def threads() -> Iterator[dict[str, set[int]]]:
    global _threads
    _threads = {}
    yield _threads
    _threads = None


@pytest.fixture(scope="module")
def video(test_data: Path) -> Path:
    return test_data / "videos" / "carphone_pristine.mp4"


@pytest.fixture
def imports(tmp_path: Path) -> Path:
    folder = tmp_path / "imports"
    folder.mkdir()
    return folder


@pytest.fixture
def services(tmp_path: Path, imports: Path) -> Iterator[Services]:
    settings = Settings(data_root=tmp_path / "data", redis_url=NO_REDIS, import_folder=imports)
    made = Services.create(settings, WebhookSettings())
    yield made
    asyncio.run(made.close())


def put(path: Path, video: Path, *, mode: int = 0o644, tail: bytes = b"", age: float = 0) -> Path:
    """A copy of the video that was written an hour ago, with some bytes behind it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(video, path)
    with path.open("ab") as stream:
        stream.write(tail)
    path.chmod(mode)
    os.utime(path, (OLD - age, OLD - age))
    return path


def imported(services: Services, folder: str = "") -> tuple[FolderImport, list[str]]:
    return asyncio.run(import_folder(services, folder))


def outcomes(answer: FolderImport) -> dict[str, str]:
    return {one.file: one.outcome for one in answer.files}


def why(answer: FolderImport, file: str) -> str:
    [found] = [one for one in answer.files if one.file == file]
    return str(found.why)


def episode(services: Services, ep_id: str) -> Path:
    [found] = services.layout.episode(ep_id).glob("episode.*")
    return found


def test_what_becomes_of_each_file(services: Services, imports: Path, video: Path) -> None:
    root = services.layout.root
    put(imports / "New one S01E01.MKV", video)
    put(imports / "fixed.mp4", video, mode=0o444)
    put(imports / "other.mp4", video, tail=b"another")
    add_episode(root, "other", video)
    put(imports / "same.mp4", video)
    add_episode(root, "same", video)
    put(imports / "twice.mp4", video)
    put(imports / "twice .mp4", video)
    put(imports / ".hidden.mp4", video)
    put(imports / "words.srt", video)
    (imports / "broken.mp4").write_bytes(b"no video" * 1000)
    os.utime(imports / "broken.mp4", (OLD, OLD))
    (imports / "link.mp4").symlink_to(video)
    os.mkfifo(imports / "pipe.mp4")
    (imports / "folder.mp4").mkdir()

    answer, wanted = imported(services)
    assert outcomes(answer) == {
        "New one S01E01.MKV": "imported",
        "broken.mp4": "refused",
        "fixed.mp4": "imported",
        "other.mp4": "refused",
        "same.mp4": "already_there",
        "twice .mp4": "imported",
        "twice.mp4": "refused",
    }
    assert answer.counts == {"imported": 3, "refused": 3, "already_there": 1}
    assert sorted(wanted) == ["New-one-S01E01", "fixed", "same", "twice"]
    ways = {one.file: one.way for one in answer.files if one.way is not None}
    assert ways == {
        "New one S01E01.MKV": "copied",
        "fixed.mp4": "linked",
        "twice .mp4": "copied",
    }
    assert "another video" in why(answer, "other.mp4")
    assert "Another file here" in why(answer, "twice.mp4")
    linked, copied = episode(services, "fixed"), episode(services, "New-one-S01E01")
    assert linked.samefile(imports / "fixed.mp4")
    assert copied.suffix == ".mkv"
    assert copied.read_bytes() == video.read_bytes()
    assert not copied.samefile(imports / "New one S01E01.MKV")
    assert list(services.layout.uploads.iterdir()) == []

    # Again: nothing is imported twice, and what was never run is still to be queued.
    before = linked.stat().st_ino, copied.stat().st_ino
    again, still = imported(services)
    assert again.counts == {"already_there": 4, "refused": 3}
    assert still == sorted(wanted)
    assert (linked.stat().st_ino, copied.stat().st_ino) == before
    # What somebody has written to since is another video; the episode's own is as it was.
    put(imports / "New one S01E01.MKV", video, tail=b"more")
    assert outcomes(imported(services)[0])["New one S01E01.MKV"] == "refused"
    assert copied.read_bytes() == video.read_bytes()


def test_what_is_still_being_written_is_left_for_next_time(
    services: Services, imports: Path, video: Path
) -> None:
    path = put(imports / "fresh.mp4", video)
    os.utime(path, (time.time() + 60, time.time() + 60))  # by a clock that is ahead
    answer, wanted = imported(services)
    assert (outcomes(answer), wanted) == ({"fresh.mp4": "later"}, [])
    assert "being written" in why(answer, "fresh.mp4")
    os.utime(path, (OLD, OLD))
    assert imported(services)[1] == ["fresh"]


@pytest.mark.parametrize(
    "folder",
    ["..", "../imports", "a/../..", "/etc", "nowhere", "link", "a/link", "file.mp4", "a\0b"],
)
def test_nothing_leads_out_of_the_folder(
    services: Services, imports: Path, video: Path, tmp_path: Path, folder: str
) -> None:
    put(tmp_path / "outside" / "secret.mp4", video)
    put(imports / "file.mp4", video)
    (imports / "a").mkdir()
    (imports / "link").symlink_to(tmp_path / "outside")
    (imports / "a" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidInput):
        imported(services, folder)
    assert not services.layout.videos.exists()


def test_folders_below_and_the_folder_itself(
    services: Services, imports: Path, video: Path
) -> None:
    put(imports / "a" / "b" / "deep.mp4", video)
    put(imports / "top.mp4", video)
    assert imported(services, "a/b/")[1] == ["deep"]
    assert imported(services, ".")[1] == ["top"]
    assert imported(services, "a") == (FolderImport(folder="a", files=[], counts={}), [])


def test_no_folder_is_set(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        open_folder(None, "")
    assert "SCREENALYTICS_IMPORT_FOLDER" in str(refused.value.hint)
    with pytest.raises(InvalidInput, match="cannot be read"):
        open_folder(tmp_path / "nowhere", "")


def test_the_event_loop_reads_and_writes_nothing(
    services: Services, imports: Path, video: Path, threads: dict[str, set[int]]
) -> None:
    """So nobody waits for a copy, however large it is."""
    put(imports / "copied.mp4", video)
    put(imports / "linked.mp4", video, mode=0o444)
    threads.clear()
    assert sorted(imported(services)[1]) == ["copied", "linked"]
    assert {"copied.mp4", "linked.mp4"} <= threads.keys()
    in_loop = {name for name, found in threads.items() if threading.get_ident() in found}
    assert {name for name in in_loop if name.endswith((".mp4", ".part"))} == set()


def test_a_server_that_stops_leaves_no_half_file(
    services: Services, imports: Path, video: Path
) -> None:
    put(imports / "long.mp4", video)
    services.uploads.is_stopping = True
    with pytest.raises(ServiceStopping):
        imported(services)
    assert list(services.layout.uploads.iterdir()) == []
    assert not services.layout.episode("long").exists()


def test_a_file_that_changes_while_it_is_copied_waits_for_next_time(
    imports: Path, video: Path, tmp_path: Path
) -> None:
    path = put(imports / "grows.mp4", video)
    folder = open_folder(imports, "")
    try:
        [found] = videos_in(folder)

        def grow() -> bool:
            with path.open("ab") as stream:
                stream.write(b"more")
            return False

        with (
            pytest.raises(InvalidInput, match="changed"),
            staged(found, tmp_path / "up", grow, print),
        ):
            raise AssertionError("it was taken")
        put(imports / "next.mp4", video).replace(path)
        with (
            pytest.raises(InvalidInput, match="another file"),
            staged(found, tmp_path / "up", lambda: False, print),
        ):
            raise AssertionError("it was taken")
    finally:
        os.close(folder)
    assert list((tmp_path / "up").iterdir()) == []


def test_it_tells_how_far_it_is(services: Services, imports: Path, video: Path) -> None:
    put(imports / "a.mp4", video)
    put(imports / "b.mp4", video, tail=b"longer")
    put(imports / "linked.mp4", video, mode=0o444)
    size = video.stat().st_size

    async def told_meanwhile() -> list[ImportProgress]:
        importing = asyncio.create_task(import_folder(services, ""))
        told = []
        while not importing.done():
            if services.imports.running is not None:
                told.append(services.imports.running.told())
            await asyncio.sleep(0.005)
        await importing
        return told

    told = asyncio.run(told_meanwhile())
    assert services.imports.running is None
    assert {one.file for one in told} == {None, "a.mp4", "b.mp4", "linked.mp4"}
    last = told[-1]
    assert (last.files_total, last.bytes_total) == (3, 3 * size + 6)
    done = [(one.files_done, one.bytes_done) for one in told]
    assert done == sorted(done)
    # All of a file is copied before the decoder looks at it.
    assert {(0, size), (1, 2 * size + 6), (2, 2 * size + 6)} <= set(done)
    assert all((one.eta_sec is None) == (one.bytes_done == 0) for one in told)


def test_no_room_and_too_large(tmp_path: Path, imports: Path, video: Path) -> None:
    put(imports / "a.mp4", video)
    for wrong in ({"upload_max_mb": 0.1}, {"min_free_mb": 1e9}):
        settings = Settings(
            data_root=tmp_path / "data", redis_url=NO_REDIS, import_folder=imports, **wrong
        )
        services = Services.create(settings, WebhookSettings())
        answer, wanted = imported(services)
        assert (outcomes(answer), wanted) == ({"a.mp4": "refused"}, []), wrong
        assert list(services.layout.root.rglob("*.mp4")) == []


def test_with_a_storage_it_goes_there(tmp_path: Path, imports: Path, video: Path) -> None:
    """As an upload does; another host then knows it, and imports it no second time."""
    (tmp_path / "shared").mkdir()
    put(imports / "a.mp4", video)
    answers = []
    for host in ("one", "two"):
        settings = Settings(
            data_root=tmp_path / host,
            redis_url=NO_REDIS,
            import_folder=imports,
            storage=str(tmp_path / "shared"),
        )
        answers.append(outcomes(imported(Services.create(settings, WebhookSettings()))[0]))
    assert answers == [{"a.mp4": "imported"}, {"a.mp4": "already_there"}]
    assert [path.read_bytes() for path in (tmp_path / "shared").rglob("episode.mp4")] == [
        video.read_bytes()
    ]
    body = (imports / "a.mp4").read_bytes()
    (imports / "a.mp4").write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    os.utime(imports / "a.mp4", (OLD, OLD))
    again, _ = imported(Services.create(settings, WebhookSettings()))
    assert "has another video" in why(again, "a.mp4")


@pytest.fixture
def listening(broker: Redis) -> Iterator[JobStore]:
    """A queue to which somebody listens who takes nothing."""
    store = JobStore(broker.url, 30)
    store.announce(IDLER, 600)
    yield store
    store.sign_off(IDLER.name)
    store.close()


@pytest.fixture
def server(tmp_path: Path, imports: Path, broker: Redis) -> Iterator[Server]:
    settings = {"SCREENALYTICS_IMPORT_FOLDER": str(imports)}
    with serving(tmp_path / "data", SCREENALYTICS_REDIS_URL=broker.url, **settings) as running:
        yield running


def test_a_folder_is_imported_and_queued_in_one_request(
    server: Server, imports: Path, video: Path, listening: JobStore
) -> None:
    for name in ("import-a", "import-b"):
        put(imports / "week" / f"{name}.mp4", video)
    first = ask(server, "key-1", folder="week", stride=60)
    assert first.status_code == 202, first.text
    queued = first.json()
    assert [item["ep_id"] for item in queued["items"]] == ["import-a", "import-b"]
    assert {item["state"] for item in queued["items"]} == {"queued"}
    assert queued["imports"]["counts"] == {"imported": 2}
    again = ask(server, "key-1", folder="week", stride=60)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (queued, "true")
    assert ask(server, "key-1", folder="", stride=60).status_code == 422
    nothing = ask(server, "key-2", folder="week", stride=60)
    assert nothing.status_code == 200, nothing.text
    assert (nothing.json()["batch_id"], nothing.json()["items"]) == (None, [])
    assert nothing.json()["imports"]["counts"] == {"already_there": 2}
    assert server.client.get(f"{PATH}/{queued['batch_id']}").json()["total"] == 2

    put(imports / "import-c.mp4", video)
    done = run(server, "--server-folder", ".", "--no-wait", "--stride", "60")
    assert done.returncode == 0, done.stderr
    assert "1 imported" in done.stdout
    assert "1 queued" in done.stdout
    done = run(server, "--server-folder", ".")
    assert (done.returncode, "Nothing new." in done.stdout) == (0, True)
    broken = put(imports / "broken\x1b[2J\n.mp4", video)
    broken.write_bytes(b"no video" * 1000)
    os.utime(broken, (OLD, OLD))
    done = run(server, "--server-folder", ".")
    assert done.returncode == 1
    assert r"broken\x1b[2J\n.mp4: refused: " in done.stderr
    assert "\x1b" not in done.stderr
    for bad in ({"folder": "week", "episodes": ["a"]}, {"folder": ".."}, {"folder": "week/.."}):
        answer = ask(server, **bad)
        assert (answer.status_code, answer.json()["type"][-13:]) == (422, "invalid-input"), bad
    for job in listening.active():
        server.client.post(f"/celery_jobs/{job.request.job_id}/cancel")


def test_requests_at_once_queue_each_episode_once(
    server: Server, imports: Path, video: Path, listening: JobStore
) -> None:
    """Whoever waits for another import has nothing to queue, and is refused nothing."""
    for number in range(3):
        put(imports / f"at-once-{number}.mp4", video)

    def queued() -> tuple[int, dict[str, int] | None]:
        with server.another_client(60) as client:
            body = {"folder": ".", "stride": 60}
            answer = client.post("/celery_jobs/detect_track/batch", json=body)
        return answer.status_code, answer.json().get("counts")

    with ThreadPoolExecutor(3) as pool:
        answers = sorted(
            (future.result() for future in [pool.submit(queued) for _ in range(3)]),
            key=lambda answer: answer[0],
        )
    assert answers == [(200, None), (200, None), (202, {"queued": 3})]
    for job in listening.active():
        server.client.post(f"/celery_jobs/{job.request.job_id}/cancel")


def test_the_command_waits_however_long_it_takes_and_tells_how_far_it_is(
    server: Server,
    imports: Path,
    video: Path,
    listening: JobStore,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its request is given up by a client, or a proxy, long before a season is copied."""
    monkeypatch.setattr(batch, "_TRIES", 3)
    monkeypatch.setattr(batch, "_POLL_SECONDS", 0.05)
    for number in range(6):
        put(imports / f"long-{number}.mp4", video)
    arguments = batch.parser().parse_args(["--server-folder", ".", "--no-wait", "--stride", "60"])
    impatient = httpx.Timeout(10, read=1)
    with httpx.Client(base_url=server.url, timeout=impatient, trust_env=False) as client:
        assert client.get(f"{PATH}/imports").json() == {"running": None}
        assert batch.Queue(arguments, client).run() == 0
    said = capsys.readouterr()
    assert "6 imported" in said.out
    assert "6 queued" in said.out
    assert "Importing " in said.err
    assert " of 6: long-" in said.err
    for job in listening.active():
        server.client.post(f"/celery_jobs/{job.request.job_id}/cancel")


@pytest.mark.parametrize(
    ("done", "eta_s", "said"),
    [
        (0, None, "Importing 2 of 20: s01e02.mkv (0% of 41,200 MB)"),
        (10_300_000_000, 724.4, "Importing 2 of 20: s01e02.mkv (25% of 41,200 MB, 12:04 left)"),
    ],
)
def test_a_line_of_it(done: int, eta_s: float | None, said: str) -> None:
    running = ImportProgress(
        folder=".",
        file="s01e02.mkv",
        files_done=1,
        files_total=20,
        bytes_done=done,
        bytes_total=41_200_000_000,
        elapsed_sec=241.0,
        eta_sec=eta_s,
    )
    assert line(running) == said
    moving = running.model_copy(update={"file": "a\x1b[2J\r.mkv"})
    assert line(moving) == said.replace("s01e02.mkv", r"a\x1b[2J\r.mkv")


def test_nothing_is_copied_where_nobody_could_be_given_a_job(
    server: Server, imports: Path, video: Path
) -> None:
    put(imports / "import-d.mp4", video)
    assert ask(server, folder="").status_code == 503
    assert not Layout(imports.parent / "data").episode("import-d").exists()


def test_a_server_without_a_folder_says_what_to_set(
    tmp_path: Path, broker: Redis, listening: JobStore
) -> None:
    with serving(tmp_path / "data", SCREENALYTICS_REDIS_URL=broker.url) as plain:
        answer = ask(plain, folder="")
    assert answer.status_code == 422
    assert "SCREENALYTICS_IMPORT_FOLDER" in answer.json()["hint"]


def test_a_key_holds_as_long_as_its_request_takes(
    services: Services, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record would go after two minutes, and the same request begin a second time."""
    monkeypatch.setattr("apps.api.idempotent.HOLD_SECONDS", 0.01)
    store = JobStore(broker.url, 30)

    async def make() -> Answer:
        [record] = store.redis.keys("screenalytics:idempotency:*")
        store.redis.expire(record, 60)
        while store.redis.ttl(record) <= 60:
            await asyncio.sleep(0.01)
        return Answer(status=200, body={}, location="/")

    store.redis.delete(*store.redis.keys("screenalytics:idempotency:*") or ["none"])
    try:
        asyncio.run(answered_once(replace(services, jobs=store), "long", "request", make))
    finally:
        store.close()
