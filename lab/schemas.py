"""JSON Schemas of a run's files, made from their models: `python -m lab.schemas` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from apps.common.contracts.corrections import CorrectionRow
from apps.common.contracts.events import Event
from apps.common.contracts.manifest import Progress, RunManifest, RunResult, TrackMetrics
from apps.common.contracts.rows import DetectionRow, PersonRow, TrackRow
from apps.common.webhooks import WebhookEvent
from lab.paths import CHECKOUT

FOLDER = CHECKOUT / "docs" / "schemas"
MODELS: dict[str, Any] = {
    "det_v1": DetectionRow,
    "track_v1": TrackRow,
    "people_v1": PersonRow,
    "people_correction_v2": CorrectionRow,
    "run": RunManifest,
    "track_metrics": TrackMetrics,
    "progress": Progress,
    "result": RunResult,
    "event": Event,
    "webhook": WebhookEvent,
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(CHECKOUT))


def documents() -> dict[Path, str]:
    """Each schema's text, by its file."""
    return {FOLDER / f"{name}.json": _schema(model) for name, model in MODELS.items()}


def _schema(model: Any) -> str:
    return json.dumps({"$schema": _DIALECT, **TypeAdapter(model).json_schema()}, indent=2) + "\n"


if __name__ == "__main__":
    main()
