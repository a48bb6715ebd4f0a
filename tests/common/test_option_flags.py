"""Flags of the command line and options of a run are the same thing."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from apps.cli import arguments as run_arguments
from apps.common.option_flags import add_flags, as_arguments, given
from apps.common.options import RUN_OPTIONS, RunRequest
from apps.comparison import command
from lab.paths import CHECKOUT

VALUES: dict[str, Any] = {
    "profile": "balanced", "device": "cpu", "detector": "auto", "stride": 3, "fps": 12.5,
    "det_size": 320, "det_thresh": 0.25, "cpu_threads": 2, "max_cpu_percent": 150.0,
    "precision": "int8", "small_faces": "second_look", "decode": "fast",
    "decoder": "hardware", "reuse_still": True, "people": False,
    "video_stream": "2",
    "save_crops": True, "save_preview": False, "allow_cpu_fallback": False,
}  # fmt: skip


def read(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_flags(parser.add_argument_group())
    return given(parser.parse_args(arguments))


def test_every_option_has_a_flag() -> None:
    assert set(VALUES) == set(RunRequest.model_fields)
    assert read(as_arguments(VALUES)) == VALUES


@settings(deadline=None)
@for_all(st.sets(st.sampled_from(sorted(VALUES))))
def test_what_is_said_is_what_is_read(names: set[str]) -> None:
    said = {name: VALUES[name] for name in names}
    assert read(as_arguments(said)) == said


def test_a_switch_can_say_no() -> None:
    switches = [option.name for option in RUN_OPTIONS.values() if option.kind is bool]
    assert as_arguments({"save_crops": False}) == ["--no-save-crops"]
    for name in set(switches) & set(RunRequest.model_fields):
        for said in (True, False):
            assert RunRequest(**read(as_arguments({name: said}))).model_dump()[name] is said
        assert name not in read([])


@pytest.mark.parametrize(
    "parser", [run_arguments.parser(), command.parser()], ids=["run", "compare"]
)
def test_both_commands_have_all_of_them(parser: argparse.ArgumentParser) -> None:
    words = [*as_arguments(VALUES), "--ep-id", "talk"]
    assert given(parser.parse_args(words)) == VALUES
    help_ = " ".join(parser.format_help().split())
    for name in RunRequest.model_fields:
        assert RUN_OPTIONS[name].help[1:].rstrip(".") in help_


@pytest.mark.parametrize(
    "parser", [run_arguments.parser(), command.parser()], ids=["run", "compare"]
)
def test_a_niceness_has_bounds(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parser.parse_args(["--ep-id", "talk"]).nice == 0
    assert parser.parse_args(["--ep-id", "talk", "--nice", "19"]).nice == 19
    for wrong in ("-1", "20", "low"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--ep-id", "talk", f"--nice={wrong}"])
        assert "0 to 19" in capsys.readouterr().err


def test_help_loads_no_library_that_computes() -> None:
    code = (
        "import sys\n"
        "from apps.cli.main import main\n"
        "sys.argv = ['screenalytics', 'run', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit:\n"
        "    print('loaded:', [m for m in ('numpy', 'cv2', 'onnxruntime') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert "--no-save-crops" in done.stdout
    assert "loaded: []" in done.stdout
