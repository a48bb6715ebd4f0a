"""Documents that are made from the models are as the models are, and leave nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apps.common.options import RUN_OPTIONS, Options
from apps.common.settings import Settings
from apps.ui.settings import PageSettings
from lab import documents
from lab.paths import CHECKOUT

MADE = documents.documents()
OPTIONS, SETTINGS = documents.options(), documents.settings()


def sources(folder: str) -> list[Path]:
    return sorted((CHECKOUT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.name)
def test_a_document_is_what_the_models_say(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == MADE[path], "run: python -m lab.documents"


def test_no_option_is_left_out() -> None:
    resolved_only = {"device_asked", "detector_asked"}
    assert set(RUN_OPTIONS) == set(Options.model_fields) - resolved_only
    for option in RUN_OPTIONS.values():
        assert f"| `{option.name}` |" in OPTIONS
        assert option.label != option.name, f"{option.name} has no title"
        assert option.help
        assert option.help in OPTIONS


def test_no_setting_is_left_out() -> None:
    for name, field in {**PageSettings.model_fields, **Settings.model_fields}.items():
        assert f"| `SCREENALYTICS_{name.upper()}` |" in SETTINGS
        assert field.description
        assert field.description in SETTINGS


def test_no_variable_that_is_read_anywhere_is_left_out() -> None:
    files = [*CHECKOUT.glob("*.yml"), *(p for d in ("apps", "lab", "tests") for p in sources(d))]
    found = [name for p in files for name in re.findall(r"SCREENALYTICS_[A-Z0-9_]+", p.read_text())]
    read = {name for name in found if not name.endswith(("_", "_FILE"))}
    assert len(read) > 20
    missing = {name for name in read if f"`{name}`" not in OPTIONS + SETTINGS}
    assert missing == set()


def test_no_variable_without_the_prefix_is_left_out() -> None:
    """Of the product's own code: literals in `os.environ`, and constants named `_VARIABLE`."""
    read = set()
    for path in sources("apps"):
        text = path.read_text(encoding="utf-8")
        read |= set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", text))
        read |= set(re.findall(r"_VARIABLE(?:, \w+)* = \"([A-Z_]+)\"", text))
    set_only = {"OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY", "PYTHONPATH"}  # for others
    assert {"INSIGHTFACE_HOME", "PORT"} <= read
    assert {name for name in read - set_only if f"`{name}`" not in SETTINGS} == set()
