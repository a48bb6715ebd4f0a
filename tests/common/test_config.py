"""Run defaults stand in `config/*.toml`, and there only (trap 11)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from apps.common.config import (
    _FORMER_NAMES,
    CONFIG_DIR_VARIABLE,
    DetectorConfig,
    Profile,
    model_registry,
    pipeline_config,
    run_defaults,
)
from apps.common.options import PROVIDER_OF_DEVICE
from apps.common.resolve import AUTO_DEVICE_ORDER
from lab.paths import CHECKOUT
from lab.processes.service import clean_environment

CONFIG = files("apps.config")
LOADERS: dict[str, Callable[[], BaseModel]] = {
    "profiles.toml": run_defaults,
    "models.toml": model_registry,
    "pipeline.toml": pipeline_config,
}


def test_every_file_has_a_loader() -> None:
    assert {file.name for file in CONFIG.iterdir() if file.name.endswith(".toml")} == set(LOADERS)


@pytest.mark.parametrize("name", LOADERS)
def test_every_table_and_value_is_loaded(name: str) -> None:
    raw = tomllib.loads((CONFIG / name).read_text(encoding="utf-8"))

    assert LOADERS[name]().model_dump(exclude_none=True) == raw


@pytest.mark.parametrize("name", LOADERS)
def test_configuration_is_frozen(name: str) -> None:
    config = LOADERS[name]()
    field = next(iter(type(config).model_fields))

    with pytest.raises(ValidationError):
        setattr(config, field, None)


@pytest.mark.parametrize(
    "change", [{"stride": 0}, {"fps": 0}, {"cpu_threads": 0}, {"strid": 6}, {"stride": None}]
)
def test_a_wrong_profile_does_not_load(change: dict[str, object]) -> None:
    good = run_defaults().profiles["balanced"].model_dump()

    with pytest.raises(ValidationError):
        Profile.model_validate({**good, **change})


def test_tables_refer_to_what_there_is() -> None:
    tables = run_defaults()

    assert set(tables.profile_for_device) == set(PROVIDER_OF_DEVICE) == set(AUTO_DEVICE_ORDER)
    assert set(tables.profile_for_device.values()) <= set(tables.profiles)
    assert set(tables.device_aliases.values()) <= set(PROVIDER_OF_DEVICE)
    assert not set(tables.device_aliases) & {"auto", *PROVIDER_OF_DEVICE}
    assert tables.defaults.device in {"auto", *PROVIDER_OF_DEVICE}
    assert tables.defaults.detector in {"auto", *model_registry().detectors}


@pytest.mark.parametrize("name", sorted(model_registry().detectors))
def test_every_detector_has_weights_and_a_licence(name: str) -> None:
    detector: DetectorConfig = model_registry().detectors[name]

    assert detector.licence
    assert 0 < detector.det_thresh < 1
    assert 0 < detector.nms_iou < 1


@pytest.mark.parametrize(
    ("sources", "reason"),
    [
        ({}, "one of package, pack, url and light"),
        ({"pack": "p", "package": "q", "file": "f"}, "one of package, pack, url and light"),
        ({"light": "a"}, "go together"),
        ({"package": "q"}, "file is missing"),
        ({"url": "https://a/b", "file": "f"}, "needs its sha256"),
        ({"url": "ftp://a/b", "file": "f", "sha256": "0" * 64}, "pattern"),
        ({"url": "https://a/b", "file": "f", "sha256": "0"}, "pattern"),
    ],
)
def test_a_detector_without_one_whole_source(sources: dict[str, str], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        DetectorConfig(summary="s", licence="MIT", det_thresh=0.5, nms_iou=0.3, **sources)


def test_research_weights_say_so() -> None:
    assert "non-commercial" in model_registry().detectors["retinaface"].licence


def names_in(source: str) -> Iterator[str]:
    """String literals that are nothing but a name, and names of variables, fields, arguments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.lower()
        elif isinstance(node, ast.Name):
            yield node.id.lower()
        elif isinstance(node, ast.Attribute):
            yield node.attr.lower()
        elif isinstance(node, ast.keyword | ast.arg) and node.arg is not None:
            yield node.arg.lower()


SOURCES = sorted(
    path for part in ("apps", "tools", "lab") for path in (CHECKOUT / part).rglob("*.py")
)


def test_the_search_finds_a_second_table() -> None:
    for table in ('{"low_power": 12}', "dict(low_power=12)", "LOW_POWER = 12", "x.low_power = 1"):
        assert "low_power" in set(names_in(table))
    assert "low_power" not in set(names_in('help("low_power, balanced or performance")'))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_no_code_knows_a_profile_by_name(path: Path) -> None:
    """Code that names no profile can hold no table of their numbers; sentences may name them."""
    profiles = set(run_defaults().profiles)

    assert profiles.isdisjoint(names_in(path.read_text(encoding="utf-8")))


def test_a_folder_of_ones_own_wins_file_by_file(tmp_path: Path) -> None:
    """Asked in a process of its own: what was read once is kept."""
    text = (CONFIG / "profiles.toml").read_text(encoding="utf-8")
    (tmp_path / "profiles.toml").write_text(text.replace("stride = 12", "stride = 11", 1))
    program = (
        "from apps.common.config import pipeline_config, run_defaults\n"
        "print(max(p.stride for p in run_defaults().profiles.values()), bool(pipeline_config()))"
    )
    environment = clean_environment(**{CONFIG_DIR_VARIABLE: str(tmp_path)})
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["11", "True"]


def test_former_names_are_read_with_a_warning(tmp_path: Path) -> None:
    """The file as it was before its keys had the field's names."""
    text = (CONFIG / "pipeline.toml").read_text(encoding="utf-8")
    for table, names in _FORMER_NAMES.items():
        head, mark, rest = text.partition(f"[{table}]\n")
        body, end, tail = rest.partition("\n[")
        for former, name in names.items():
            body, count = re.subn(rf"(?m)^{name} =", f"{former} =", body)
            assert count == 1, name
        text = head + mark + body + end + tail
    (tmp_path / "pipeline.toml").write_text(text)
    program = "from apps.common.config import *; print(pipeline_config().model_dump_json())"
    environment = clean_environment(**{CONFIG_DIR_VARIABLE: str(tmp_path)})
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == pipeline_config().model_dump_json()
    assert "track.reach is gate_distance now." in done.stderr
