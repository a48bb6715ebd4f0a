from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from apps.common.layout import Layout
from apps.objects.index import Index
from apps.objects.mirror import Mirror
from apps.objects.open import open_mirror
from apps.objects.outbox import note_due
from apps.objects.publish import publish
from apps.runs.record import RunRecord
from apps.runs.spec import StoragePlan
from lab.processes.bucket import KEY, S3, SECRET, Faults, proxy, s3_server
from lab.specs import spec_of


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@dataclass
class Host:
    """One that shares nothing with others but the bucket."""

    layout: Layout
    mirror: Mirror
    index: Index = field(init=False)

    def __post_init__(self) -> None:
        self.layout = Layout(self.layout.root, remote=self.mirror)
        self.index = Index(self.layout, self.mirror)

    def add_run(self, ep_id: str, run_id: str, tracks: str = "{}\n") -> None:
        """A run that has just completed here."""
        spec = spec_of(self.layout.root, ep_id, run_id)
        record = RunRecord(self.layout, spec, {})
        files = record.files
        files.tracks.write_text(tracks)
        files.detections.write_text("{}\n" * 3)
        files.metrics.write_text("{}")
        files.log.write_text("done\n")
        (files.crops / "track-00001").mkdir(parents=True)
        for number in range(3):
            crop = files.crops / "track-00001" / f"frame_00000{number}.jpg"
            crop.write_bytes(bytes([number]) * 700)
        files.people.write_text("{}\n")
        files.embeddings.write_bytes(b"numbers of faces")
        note_due(self.layout, ep_id, run_id)
        record.end("completed", "All frames were processed.")
        record.point_latest()

    def publish(self, ep_id: str, run_id: str) -> bool:
        return publish(self.layout, self.mirror.store, ep_id, run_id)


@dataclass
class Storage:
    """A bucket behind a proxy, and hosts that use it."""

    s3: S3
    bucket: str
    url: str
    faults: Faults
    folder: Path

    def host(self, name: str, cache_mb: float = 100) -> Host:
        root = self.folder / name
        root.mkdir(exist_ok=True)
        plan = StoragePlan(url=f"s3://{self.bucket}/shows", cache_mb=cache_mb)
        return Host(Layout(root), open_mirror(plan, root, 0))

    def stored(self) -> list[str]:
        return [key.removeprefix("shows/") for key in self.s3.keys(self.bucket)]


@pytest.fixture
def storage(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with proxy(s3) as (url, faults):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield Storage(s3, s3.bucket(), url, faults, tmp_path)
