"""JSON Schemas of a run's files, made from their models: `python -m lab.schemas` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from apps.common.contracts.events import Event
from apps.common.contracts.manifest import Progress, RunManifest, RunResult, TrackMetrics
from apps.common.contracts.rows import DetectionRow, TrackRow
from lab.paths import CHECKOUT

FOLDER = CHECKOUT / "docs" / "schemas"
MODELS: dict[str, Any] = {
    "det_v1": DetectionRow,
    "track_v1": TrackRow,
    "run": RunManifest,
    "track_metrics": TrackMetrics,
    "progress": Progress,
    "result": RunResult,
    "event": Event,
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def documents() -> dict[str, str]:
    """The text of each file, by its name."""
    return {
        f"{name}.json": json.dumps(
            {"$schema": _DIALECT, **TypeAdapter(model).json_schema()}, indent=2
        )
        + "\n"
        for name, model in MODELS.items()
    }


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text)
        print(folder / name)


if __name__ == "__main__":
    main()
