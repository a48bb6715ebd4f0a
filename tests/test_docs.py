"""What the documents name exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from apps.common.contracts.manifest import TrackEnd
from apps.common.options import RunRequest
from apps.common.settings import Settings
from tests.pipeline.test_artifacts import METRIC_KEYS, TRACK_KEYS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_documented(field: str) -> None:
    assert f"SCREENALYTICS_{field.upper()}" in README


PAGES = ("traps", "files", "cuts", "contract")
DOCUMENTS = ["README.md", "ARCHITECTURE.md", *(f"docs/{page}.md" for page in PAGES)]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_and_paths_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text()
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    paths = re.findall(r"`((?:apps|tools|config|tests|docs)/[A-Za-z0-9_./-]+)`", text)
    for link in links:
        assert ((ROOT / name).parent / link).exists(), link
    for path in paths:
        assert (ROOT / path).exists(), path


def test_every_field_is_documented() -> None:
    text = (ROOT / "docs" / "contract.md").read_text()
    documented = [METRIC_KEYS, TRACK_KEYS, RunRequest.model_fields, get_args(TrackEnd)]
    for field in (name for names in documented for name in names):
        assert f"`{field}`" in text, field


FILE_TESTS = ["tests/pipeline/test_files.py", "tests/pipeline/test_recordings.py"]


def test_every_kind_of_file_has_a_test_that_exists() -> None:
    rows = [
        row
        for row in (ROOT / "docs" / "files.md").read_text().splitlines()
        if row.startswith("| ") and not row.startswith("| kind")
    ]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", row.rsplit("|", 2)[1])
        assert named, row
        for file, test in named:
            sources = [file] if file else FILE_TESTS
            assert any(f"def {test}(" in (ROOT / source).read_text() for source in sources), test


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", README))
    assert named <= targets


def test_no_address_of_a_package_index_and_no_path_of_a_machine() -> None:
    for path in ROOT.glob("requirements*.txt"):
        assert "://" not in path.read_text()
        assert " @ " not in path.read_text()
