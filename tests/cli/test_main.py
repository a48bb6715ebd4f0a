"""The command `screenalytics`: its list, its help, and what is loaded for them."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from apps.cli.main import COMMANDS, PROGRAM
from lab.processes.service import clean_environment

HEAVY = {"av", "celery", "cv2", "fastapi", "httpx", "numpy", "onnxruntime", "rich", "streamlit"}
OWN = [name for name, command in COMMANDS.items() if not command.checkout_only]
# uvicorn's own help, and Flower's, which is asked of Flower.
PASSED_ON = {"serve", "flower"}

_LOADED = """
import sys
from {module} import main
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def loaded_for(*arguments: str, module: str = "apps.cli.main") -> tuple[str, set[str]]:
    """What the command said, and the libraries that it loaded for that."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED.replace("{module}", module), *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, set(done.stderr.split())


def test_the_list_of_commands_loads_nothing() -> None:
    said, loaded = loaded_for("--help")
    assert all(f"  {name} " in said for name in COMMANDS)
    assert not loaded & {*HEAVY, "pydantic"}


@pytest.mark.parametrize("name", sorted(set(OWN) - PASSED_ON))
def test_help_of_a_command_loads_no_library(name: str) -> None:
    said, loaded = loaded_for(name, "--help")
    assert said.startswith(f"usage: {PROGRAM} {name}")
    assert not loaded & HEAVY


@pytest.mark.parametrize("module", ["lab.evaluate", "lab.bench"])
def test_help_of_a_tool_of_the_checkout_loads_no_library(module: str) -> None:
    said, loaded = loaded_for("--help", module=module)
    assert "--strides" in said
    assert not loaded & HEAVY


@pytest.mark.parametrize("name", OWN)
def test_every_command_has_a_module_with_a_main(name: str) -> None:
    assert callable(importlib.import_module(COMMANDS[name].module).main)


def test_an_unknown_command_is_an_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "apps.cli.main", "rnu"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "'run'" in done.stderr
    assert "Traceback" not in done.stderr
