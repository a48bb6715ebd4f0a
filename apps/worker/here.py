"""What a worker is: its name, its settings, its code, and what a run is on its host."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from apps.common.cpu_limits import host_thread_limit
from apps.common.layout import Layout
from apps.common.model_files import detectors_on_disk
from apps.common.resolve import cap_threads, with_detectors, with_warning
from apps.common.settings import Settings
from apps.common.version import source_fingerprint
from apps.jobs.store import JobRequest
from apps.runs.spec import RunSpec


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

    @property
    def layout(self) -> Layout:
        return Layout(self.settings.data_root.resolve())

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
            }
        )
