"""All that a run has found, as bytes, for comparison with another run."""

from __future__ import annotations

import json
from pathlib import Path

from apps.common.layout import Layout

OF_TIME = ("elapsed_sec", "analyzed_fps")  # of track_metrics.json


def results(root: Path, run_id: str, ep_id: str = "show") -> dict[str, bytes]:
    """All files of a run's results, as far as they do not tell of time."""
    files = Layout(root).run(ep_id, run_id)
    found = {
        path.relative_to(files.folder).as_posix(): path.read_bytes()
        for path in sorted(files.folder.rglob("*"))
        if path.is_file() and path not in (files.manifest, files.progress, files.log)
    }
    metrics = json.loads(found.pop("track_metrics.json"))
    timeless = {name: value for name, value in metrics.items() if name not in OF_TIME}
    return {**found, "track_metrics.json": json.dumps(timeless).encode()}
