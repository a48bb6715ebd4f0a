"""What a worker is: its name, its settings, its code, and what a run is on its host."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from functools import cached_property

from apps.common.cpu_limits import host_thread_limit
from apps.common.layout import Layout
from apps.common.model_files import detectors_on_disk
from apps.common.resolve import cap_threads, with_detectors, with_warning
from apps.common.settings import Settings
from apps.common.version import source_fingerprint
from apps.jobs.store import JobRequest
from apps.objects.job_parts import JobParts
from apps.objects.mirror import Mirror
from apps.objects.open import layout_of
from apps.runs.spec import RunSpec, storage_plan


@dataclass(frozen=True)
class WorkerHere:
    """One worker.

    Args:
        name: that Celery knows it by.
        fingerprint: names the code that it has loaded.
    """

    name: str
    settings: Settings
    fingerprint: str
    host: str = field(default_factory=socket.gethostname)

    @cached_property
    def layout(self) -> Layout:
        return layout_of(self.settings, self.settings.data_root.resolve())

    @property
    def has_storage(self) -> bool:
        """Whether files go to other hosts through a storage."""
        return self.settings.storage is not None

    def stored_parts(self, job_id: str, token: str) -> JobParts | None:
        """Files of a divided run in the storage; None where none is set."""
        remote = self.layout.remote
        return JobParts(remote.store, job_id, token) if isinstance(remote, Mirror) else None

    def spec(self, request: JobRequest) -> RunSpec:
        """A job's run as it is on this host: its threads, its weights, its folder."""
        limit, source = host_thread_limit()
        resolution = cap_threads(request.spec.resolution, limit, source)
        weights = self.settings.given_weights
        on_disk = detectors_on_disk(weights, self.layout.cache)
        resolution = with_detectors(resolution, on_disk, weights.owner)
        if self.fingerprint != source_fingerprint():
            stale = "The worker runs older code than the one on disk. Restart it."
            resolution = with_warning(resolution, stale)
        if self.fingerprint != request.spec.launcher_fingerprint:
            other = "The worker runs another version of the code than the server."
            resolution = with_warning(resolution, other)
        return request.spec.model_copy(
            update={
                "data_root": str(self.layout.root),
                "detector_model": self.settings.detector_model,
                "retinaface_model": self.settings.retinaface_model,
                "recognition_model": self.settings.recognition_model,
                "resolution": resolution,
                "launcher_fingerprint": self.fingerprint,
                "replace_unfinished": True,
                "storage": storage_plan(self.settings),
            }
        )
