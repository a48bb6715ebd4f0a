"""Settings come from the environment or from files, and a wrong one gives one line."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from apps.common.errors import InvalidInput
from apps.common.settings import Settings
from apps.ui.settings import PageSettings
from apps.worker.flower import basic_auth
from lab.paths import CHECKOUT
from lab.processes.service import clean_environment

PROGRAMS = {
    "api": ["-m", "uvicorn", "apps.api.main:app", "--port", "1"],
    "worker": ["-m", "celery", "-A", "apps.worker.celery_app", "worker"],
    "page": ["-m", "streamlit", "run", "apps/ui/app.py", "--server.headless", "true"],
    "flower": ["-m", "apps.worker.flower"],
    "up": ["-m", "apps.cli.main", "up"],
    "run": ["tools/episode_run.py", "--ep-id", "talk"],
    "diagnose": ["-m", "apps.cli.main", "diagnose", "--ep-id", "talk"],
    "export": ["-m", "apps.cli.main", "export", "--ep-id", "talk", "--format", "mot"],
    "compare": ["-m", "apps.cli.main", "compare", "--ep-id", "talk"],
}
CODES = {"run": 2, "diagnose": 2, "export": 2}  # of bad input; else 1


@pytest.mark.parametrize("kind", [Settings, PageSettings])
def test_a_file_holds_the_key(
    kind: type[Settings | PageSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("key-of-the-file\n")
    monkeypatch.setenv("SCREENALYTICS_API_KEY_FILE", str(file))
    monkeypatch.setenv("SCREENALYTICS_API_KEY", "")  # as Compose passes one that is not set
    settings = kind()
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "key-of-the-file"


def test_without_a_file_an_empty_key_is_no_key_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCREENALYTICS_API_KEY", "")
    with pytest.raises(ValidationError):
        Settings()


WRONG = {
    "short": {"SCREENALYTICS_API_KEY": "short"},
    "empty": {"SCREENALYTICS_API_KEY": ""},
    "no file": {"SCREENALYTICS_API_KEY_FILE": "nowhere"},
}


@pytest.mark.parametrize("kind", [Settings, PageSettings])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_key_is_reported_by_the_name_of_its_variable(
    kind: type[Settings | PageSettings], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in WRONG[wrong].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput) as caught:
        kind.read()
    assert caught.value.detail.startswith(next(iter(WRONG[wrong])))
    assert "short" not in caught.value.detail


# What is wrong they find out in one of the two ways above; each wrong key is given to three.
@pytest.mark.parametrize(
    ("program", "wrong"), list(zip(PROGRAMS, itertools.cycle(WRONG.values()), strict=False))
)
def test_a_wrong_key_ends_a_program_with_one_line(program: str, wrong: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, *PROGRAMS[program]],
        cwd=CHECKOUT,
        env=clean_environment(**wrong),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == CODES.get(program, 1)
    (line,) = done.stderr.splitlines()
    assert line.removeprefix("up | ").startswith(f"error: {next(iter(wrong))}")
    assert "short" not in line
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "error: Flower needs a password"),
        ({"SCREENALYTICS_API_KEY": "one,two,three"}, "error: Flower needs a password"),
    ],
    ids=["none", "comma"],
)
def test_flower_does_not_start_without_a_password(variables: dict[str, str], expected: str) -> None:
    done = subprocess.run(
        [sys.executable, *PROGRAMS["flower"]],
        cwd=CHECKOUT,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(expected)


@pytest.mark.parametrize(
    ("given", "key", "auth"),
    [
        (None, "a-long-key", "screenalytics:a-long-key"),
        ("", "a-long-key", "screenalytics:a-long-key"),
        ("me:mine", "a-long-key", "me:mine"),
        ("me:mine", None, "me:mine"),
        (None, None, ""),
        (None, "one,two,three", ""),
    ],
)
def test_the_password_of_flower(given: str | None, key: str | None, auth: str) -> None:
    environ = {} if given is None else {"FLOWER_BASIC_AUTH": given}
    assert basic_auth(environ, None if key is None else SecretStr(key)) == auth
