"""What the documents name exists, and what exists is documented."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from apps.cli.arguments import EPILOG
from apps.cli.main import COMMANDS, PROGRAM
from apps.common.contracts.manifest import Progress, TrackEnd
from apps.common.errors import error_types
from apps.common.options import RunRequest
from apps.common.settings import Settings
from lab import schemas
from lab.paths import CHECKOUT
from tests.pipeline.artifacts.test_artifacts import METRIC_KEYS, TRACK_KEYS

README = (CHECKOUT / "README.md").read_text()
CONTRACT = (CHECKOUT / "docs" / "contract.md").read_text()
MAX_WORDS = 900  # of README
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
PATH = re.compile(r"`((?:apps|tools|lab|config|tests|docs|examples)/[A-Za-z0-9_./-]+)`")
MODULE = re.compile(r"python -m ((?:apps|lab)[a-z_.]*)")
DOCUMENTS = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for path in (*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md"))
    if path.name != "CHANGELOG.md"  # tells of what was, too
)


def text_of(name: str) -> str:
    return (CHECKOUT / name).read_text()


def test_the_readme_is_short() -> None:
    assert len(README.split()) < MAX_WORDS


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_documented(field: str) -> None:
    assert f"SCREENALYTICS_{field.upper()}" in text_of("docs/settings.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_and_paths_lead_somewhere(name: str) -> None:
    text = text_of(name)
    for link in LINK.findall(text):
        assert ((CHECKOUT / name).parent / link).exists(), link
    for path in PATH.findall(text):
        assert (CHECKOUT / path).exists(), path
    for module in MODULE.findall(text):
        path = CHECKOUT / module.rstrip(".").replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_every_document_is_linked_from_the_readme_and_every_other_file_from_a_document() -> None:
    read_on = {(CHECKOUT / link).resolve() for link in LINK.findall(README)}
    linked = {
        ((CHECKOUT / name).parent / link).resolve()
        for name in DOCUMENTS
        for link in LINK.findall(text_of(name))
    }
    for path in (CHECKOUT / "docs").rglob("*"):
        if path.is_file():
            assert path.resolve() in (read_on if path.suffix == ".md" else linked), path


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_that_are_named_exist(name: str) -> None:
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", text_of(name), re.DOTALL))
    assert set(re.findall(rf"(?<![\w.-]){PROGRAM} ([a-z][a-z-]*)", code)) <= set(COMMANDS)
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", code)) <= targets


def test_every_command_is_documented() -> None:
    text = text_of("docs/command-line.md")
    for name in COMMANDS:
        assert f"| `{PROGRAM} {name}` |" in text, name
    for code in re.findall(r"\b(\d+) [a-z]", EPILOG):
        assert re.search(rf"^\| [^|]*\b{code}\b[^|]* \|", text, re.MULTILINE), code


def test_every_field_is_documented() -> None:
    documented = [
        METRIC_KEYS,
        TRACK_KEYS,
        RunRequest.model_fields,
        get_args(TrackEnd),
        Progress.model_fields,
        get_args(Progress.model_fields["phase"].annotation),
    ]
    for field in (name for names in documented for name in names):
        assert f"`{field}`" in CONTRACT, field


def test_every_problem_is_documented() -> None:
    for slug, error in error_types().items():
        assert f"| `{slug}` | {error.status} | {error.exit_code} |" in CONTRACT, slug


def test_every_route_is_documented() -> None:
    from apps.api.main import create_app

    paths = create_app(Settings()).openapi()["paths"]
    assert len(paths) > 20
    for path, methods in paths.items():
        for method in methods:
            if method != "head":
                assert f"`{method.upper()} {path}`" in CONTRACT, f"{method} {path}"


@pytest.mark.parametrize("path", schemas.documents(), ids=lambda path: path.name)
def test_schemas_are_those_of_the_models(path: Path) -> None:
    assert path.read_text() == schemas.documents()[path], "run `python -m lab.schemas`"


def test_examples_of_rows_fit_their_schemas() -> None:
    rows = [json.loads(row) for row in re.findall(r"^```json\n(.+)\n```", CONTRACT, re.MULTILINE)]
    assert [row["schema_version"] for row in rows] == ["det_v1", "track_v1"]
    for row in rows:
        schemas.MODELS[row["schema_version"]].model_validate_json(json.dumps(row))


FILE_TESTS = ["tests/pipeline/decode/test_files.py", "tests/pipeline/decode/test_recordings.py"]


def test_every_kind_of_file_has_a_test_that_exists() -> None:
    rows = [
        row
        for row in (CHECKOUT / "docs" / "files.md").read_text().splitlines()
        if row.startswith("| ") and not row.startswith("| kind")
    ]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", row.rsplit("|", 2)[1])
        assert named, row
        for file, test in named:
            texts = [text_of(source) for source in ([file] if file else FILE_TESTS)]
            assert any(f"def {test}(" in found for found in texts), test


def test_the_hooks_before_a_commit_are_what_make_check_runs() -> None:
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", text_of("Makefile"), re.MULTILINE)
    assert recipe is not None
    checks = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    hooks = re.findall(r"^ +entry: (.*)$", text_of(".pre-commit-config.yaml"), re.MULTILINE)
    assert hooks == checks


def test_the_licence_is_named_once_and_there() -> None:
    assert tomllib.loads(text_of("pyproject.toml"))["project"]["license"] == "MIT"
    assert text_of("LICENSE").startswith("MIT License")


def test_no_address_of_a_package_index_and_no_path_of_a_machine() -> None:
    for path in CHECKOUT.glob("requirements*.txt"):
        assert "://" not in path.read_text()
        assert " @ " not in path.read_text()
