"""The manifest of one run, from its start to its end, and the pointer to the newest one."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from datetime import UTC, datetime
from typing import Any

from apps import __version__
from apps.common.contracts.manifest import RunManifest, RunStatus
from apps.common.errors import RunCancelled, RunExists, ScreenalyticsError
from apps.common.files import read_json, storage_errors, sync, write_json
from apps.common.layout import Layout
from apps.common.names import is_comparison_run
from apps.common.version import git_sha, source_fingerprint
from apps.runs.spec import RunSpec


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def time_of(text: str) -> datetime:
    """What `now` has written.

    Raises:
        ValueError: it is no time.
    """
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def status_of(ending: ScreenalyticsError) -> RunStatus:
    """What a manifest says of a run that ended with an error."""
    return "cancelled" if isinstance(ending, RunCancelled) else "failed"


class RunRecord:
    """Writes `run.json` of a run that this process executes.

    Raises:
        RunExists: the run id is taken, and not by an unfinished run that may be replaced.
        StorageFailed: the data root is not writable.
    """

    def __init__(self, layout: Layout, spec: RunSpec, versions: dict[str, str]) -> None:
        self._layout = layout
        self.files = layout.run(spec.ep_id, spec.run_id)
        self._manifest = RunManifest(
            ep_id=spec.ep_id,
            run_id=spec.run_id,
            execution_mode=spec.execution_mode,
            status="running",
            started_at=now(),
            host=socket.gethostname(),
            pid=os.getpid(),
            options=spec.resolution.options,
            sources=spec.resolution.sources,
            versions={**code_versions(), **versions},
            launcher_fingerprint=spec.launcher_fingerprint,
            cpu_limit_percent=spec.resolution.options.max_cpu_percent,
            warnings=list(spec.resolution.warnings),
        )
        with storage_errors():
            self.files.folder.parent.mkdir(parents=True, exist_ok=True)
            if spec.replace_unfinished and self._is_unfinished():
                # What an earlier try left, whose process is gone.
                shutil.rmtree(self.files.folder, ignore_errors=True)
            try:
                self.files.folder.mkdir()
            except FileExistsError:
                raise RunExists(
                    f"Run {spec.run_id!r} of episode {spec.ep_id!r} exists already.",
                    hint="Choose another run_id, or leave it out to get a new one.",
                ) from None
            self._write()
            sync(self.files.folder.parent)

    @property
    def manifest(self) -> RunManifest:
        return self._manifest

    def update(self, **facts: Any) -> None:
        """Remembers facts; they are written with the next change of status."""
        self._manifest = self._manifest.model_copy(update=facts)

    def end(self, status: RunStatus, reason: str) -> None:
        """Writes the final manifest.

        Args:
            status: how it ended.
            reason: a sentence.
        """
        self.update(status=status, finished_at=now(), exit_reason=reason)
        with storage_errors():
            self._write()

    def point_latest(self) -> None:
        """Makes this run the episode's newest completed one, unless it is a comparison's."""
        if is_comparison_run(self._manifest.run_id):
            return
        with storage_errors():
            write_json(
                self._layout.latest(self._manifest.ep_id),
                {"run_id": self._manifest.run_id, "finished_at": self._manifest.finished_at},
                durable=True,
            )

    def _is_unfinished(self) -> bool:
        body = read_json(self.files.manifest)
        return body is None or body.get("status") != "completed"

    def _write(self) -> None:
        write_json(self.files.manifest, self._manifest.model_dump(mode="json"), durable=True)


def record_unbegun(layout: Layout, spec: RunSpec, reason: str) -> None:
    """Writes the manifest of a run that was cancelled before it could write one itself.

    Args:
        reason: a sentence.
    """
    if not layout.run(spec.ep_id, spec.run_id).manifest.exists():
        again = spec.model_copy(update={"replace_unfinished": True})
        RunRecord(layout, again, {}).end("cancelled", reason)


def code_versions() -> dict[str, str]:
    """Versions of the product itself and of Python."""
    return {
        "product": __version__,
        "git_sha": git_sha(),
        "source_fingerprint": source_fingerprint(),
        "python": platform.python_version(),
    }
