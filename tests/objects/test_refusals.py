"""What a storage refuses is said in words of our own; keys are in none of them."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest

from apps.cli import storage as command
from apps.common.errors import InvalidInput, PackageMissing, StorageUnavailable
from apps.common.settings import Settings
from apps.common.storage_url import StorageUrl
from apps.objects import client, publish
from apps.objects.credentials import profile_of
from apps.objects.open import end_where_not_usable, mirror_of
from apps.objects.outbox import due
from apps.objects.publish import publish_now
from apps.worker.outbox import OutboxKeeper
from lab.processes.bucket import KEY, SECRET, is_slow, refuses
from lab.processes.ports import free_port
from tests.objects.conftest import Storage

REFUSALS = {
    "expired": (refuses(400, "ExpiredToken"), r"refuses the credentials \(ExpiredToken\)"),
    "forbidden": (refuses(403, "AccessDenied"), r"refuses the credentials \(AccessDenied\)"),
    "busy": (refuses(503, "SlowDown"), r"too much to do \(SlowDown\)"),
    "broken": (refuses(500, "InternalError"), r"answers with an error \(InternalError\)"),
    "slow": (is_slow(1.0), "does not answer"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_is_told_without_keys_and_not_asked_again_at_once(
    storage: Storage,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(client, "_REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(client, "_RETRIES", 1)
    fault, words = REFUSALS[name]
    host = storage.host("one")
    storage.faults.add("GET", storage.bucket, fault)
    with caplog.at_level(logging.DEBUG):
        host.index.turn()
        assert host.index.problem
        requests = len(storage.faults.seen)
        with pytest.raises(StorageUnavailable, match=words) as error:
            host.index.refresh()
    assert len(storage.faults.seen) == requests
    said = f"{error.value.to_dict()} {caplog.text} {host.mirror.store.__dict__}"
    assert KEY not in said
    assert SECRET not in said


def test_a_bucket_that_is_gone_or_nobody_there(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = storage.host("one")
    host.add_run("ep", "run")
    storage.s3.remove_bucket(storage.bucket)
    with pytest.raises(StorageUnavailable, match="bucket of SCREENALYTICS_STORAGE does not exist"):
        host.publish("ep", "run")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StorageUnavailable, match="does not answer"):
        storage.host("one").publish("ep", "run")
    assert due(host.layout) == [("ep", "run")]


def test_a_run_that_was_given_up_is_noted_with_the_reason_and_stored_by_a_command(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(publish, "PAUSES", (0.0, 0.0))  # seconds
    host = storage.host("one")
    host.add_run("ep", "run")
    storage.faults.add("PUT", "/published/", refuses(403, "AccessDenied"))
    problem = publish_now(host.layout, host.mirror.store, "ep", "run", lambda: None)
    assert problem is not None
    assert sum("PUT" in line and "/published/" in line for line in storage.faults.seen) == 3
    note = host.layout.unpublished("ep", "run").read_text()
    assert "AccessDenied" in note
    assert KEY not in note
    monkeypatch.setenv("SCREENALYTICS_STORAGE", f"s3://{storage.bucket}/shows")
    monkeypatch.setattr("sys.argv", ["storage", "--data-root", str(host.layout.root)])
    assert command.main() == 1
    assert "error: ep run is not stored" in capsys.readouterr().err
    storage.faults.rules.clear()
    assert command.main() == 0
    assert capsys.readouterr().out == "ep  run  stored\n"
    assert due(host.layout) == []


def test_a_worker_has_stored_what_waits_by_a_process_of_its_own(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host = storage.host("one")
    host.add_run("ep", "run")
    note = host.layout.unpublished("ep", "run")
    keeper = OutboxKeeper(host.layout)
    monkeypatch.setenv("SCREENALYTICS_STORAGE", f"s3://{storage.bucket}/shows")
    keeper.turn()
    assert note.exists()  # its own process may be about to store it
    os.utime(note, (0, 0))
    storage.s3.remove_bucket(storage.bucket)
    keeper.turn()
    assert "runs are not stored yet: error: ep run is not stored: The bucket" in caplog.text
    again = storage.s3.bucket()
    monkeypatch.setenv("SCREENALYTICS_STORAGE", f"s3://{again}/shows")
    OutboxKeeper(host.layout).turn()
    assert not note.exists()


def test_runs_of_before_are_stored_on_demand(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, other = storage.host("one"), storage.host("other")
    host.add_run("ep", "old")
    host.layout.unpublished("ep", "old").unlink()
    monkeypatch.setenv("SCREENALYTICS_STORAGE", f"s3://{storage.bucket}/shows")
    monkeypatch.setattr("sys.argv", ["storage", "--all", "--data-root", str(host.layout.root)])
    assert command.main() == 0
    other.index.refresh()
    assert other.layout.run("ep", "old").manifest.exists()


def test_keys_of_a_profile_are_read_from_the_files_of_aws(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    config.write_text(f"[profile shows]\nendpoint_url = {storage.url}\nregion = eu-central-1\n")
    credentials.write_text(
        f"[shows]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "shows")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    host = storage.host("one")
    host.add_run("ep", "run")
    assert host.publish("ep", "run")
    assert SECRET not in repr(profile_of())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the environment")
    assert not profile_of().has_keys
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InvalidInput, match="in no file"):
        storage.host("one")


@pytest.mark.parametrize(
    "text",
    [
        "shows",
        "gs://bucket/shows",
        "s3://",
        f"s3://{KEY}:{KEY}@bucket/shows",
        "s3://bucket/a b",
        "s3://bucket/../x",
        "s3://bucket/shows?versionId=1",
    ],
)
def test_what_names_no_storage_is_refused_without_being_repeated(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCREENALYTICS_STORAGE", text)
    with pytest.raises(InvalidInput, match="SCREENALYTICS_STORAGE") as error:
        Settings.read()
    assert KEY not in error.value.message


def test_a_folder_of_all_hosts_is_a_storage_too(tmp_path: Path) -> None:
    shared, root = tmp_path / "shared", tmp_path / "data"
    assert StorageUrl.parse(f"file://{shared}").folder == shared
    mirror = mirror_of(Settings.read(storage=str(shared), data_root=root))
    assert mirror is not None
    mirror.store.put("videos/talk/episode.mp4", b"video", create=True)
    found = mirror.find_video("talk")
    assert found is not None
    assert found.size_bytes == 5
    with pytest.raises(InvalidInput, match="lies in the data root"):
        mirror_of(Settings.read(storage=str(root / "videos"), data_root=root))


def test_without_the_package_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("obstore", "obstore.store"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PackageMissing, match="obstore is not installed") as error:
        mirror_of(Settings.read(storage="s3://bucket", data_root=tmp_path))
    assert "[storage]" in str(error.value.hint)
    with pytest.raises(SystemExit, match=r"error: .*obstore is not installed"):
        end_where_not_usable(Settings.read(storage="s3://bucket", data_root=tmp_path))
    assert mirror_of(Settings.read(data_root=tmp_path)) is None
