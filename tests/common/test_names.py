"""The grammar of `ep_id` and `run_id`: a legal name is a safe folder name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from apps.common.errors import InvalidInput
from apps.common.names import (
    LATEST,
    NAME_PATTERN,
    EpisodeId,
    IllegalName,
    JobId,
    RunId,
    RunIdOrLatest,
    TrackId,
    check_name,
    crop_name,
    is_crop_name,
    is_name,
    name_after,
    new_run_id,
    track_name,
    track_number,
)
from tests.support.names import NAMES_AFTER

LEGAL = "ABCXYZabcxyz0129._-"
texts = st.text() | st.text(alphabet=LEGAL + "/\\\n\0 é²", max_size=140)


@pytest.mark.parametrize("name", ["test-ep", "rhobh-s05e02", "a", "0", "A.b_c-d", "x" * 128])
def test_legal(name: str) -> None:
    assert is_name(name)
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../../etc/passwd",
        "a/b",
        "/a",
        "a\\b",
        "a..b",
        "..",
        ".",
        ".hidden",
        "-rf",
        "_x",
        "a b",
        "a\n",
        "a\r\n",
        "\na",
        "a\0",
        "a\0.mp4",
        "é",
        "a²",
        "x" * 129,
        "x" * 10_000,
        "\U0010ffff" * 10_000,
        "\n" * 10_000,
        "\ud800",
        "%2e%2e",
        "~",
        "$HOME",
        "C:",
    ],
)
@pytest.mark.parametrize("what", ["ep_id", "run_id"])
def test_illegal_names_are_refused_in_short(name: str, what: str) -> None:
    assert not is_name(name)
    with pytest.raises(InvalidInput) as caught:
        check_name(name, what)

    detail = caught.value.detail
    assert what in detail
    assert caught.value.extra["field"] == what
    assert len(detail) <= 40 * len(r"\U0010ffff") + 40  # at most 40 characters of it, escaped
    assert detail.isprintable()  # no line breaks or escapes of a stranger in the log


@given(texts)
@example("." * 300)
def test_a_name_after_any_file_is_legal(text: str) -> None:
    assert is_name(name_after(text))


@pytest.mark.parametrize(("stem", "name"), NAMES_AFTER.items())
def test_a_name_after_a_file_can_be_recognised(stem: str, name: str) -> None:
    assert name_after(stem) == name


@given(texts)
@example("a..b")
@example("a\n")
def test_what_is_legal_is_safe(text: str) -> None:
    if not is_name(text):
        return
    assert not set(text) & set("/\\\0\n\r: ")
    assert ".." not in text
    assert PurePosixPath(text).name == text
    assert PureWindowsPath(text).name == text
    assert 1 <= len(text.encode()) <= 128


@given(st.from_regex(NAME_PATTERN))
def test_the_published_pattern_differs_in_dots_and_newline_only(text: str) -> None:
    assert is_name(text) == (".." not in text and not text.endswith("\n"))


@given(st.from_regex(re.compile(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,127}\Z")))
def test_the_grammar_is_not_narrower(text: str) -> None:
    assert check_name(text) == text


def test_new_run_ids_are_legal_and_differ() -> None:
    names = [new_run_id() for _ in range(50)]

    assert all(is_name(name) for name in names)
    assert len(set(names)) == 50
    assert [name[:15] for name in names] == sorted(name[:15] for name in names)


@pytest.mark.parametrize(
    ("kind", "what"),
    [(EpisodeId, "ep_id"), (RunId, "run_id"), (RunIdOrLatest, "run_id"), (JobId, "job_id")],
)
def test_a_field_refuses_what_is_no_name(kind: object, what: str) -> None:
    field: TypeAdapter[str] = TypeAdapter(kind)
    assert field.validate_python("test-ep") == "test-ep"
    with pytest.raises(ValidationError) as caught:
        field.validate_python("a..b")
    [fault] = caught.value.errors()
    cause = fault["ctx"]["error"]
    assert isinstance(cause, IllegalName)
    assert (cause.extra["field"], cause.detail) == (what, f"'a..b' is not a valid {what}.")


def test_no_run_is_called_latest() -> None:
    assert TypeAdapter(RunIdOrLatest).validate_python(LATEST) == LATEST
    with pytest.raises(ValidationError, match="cannot be called 'latest'"):
        TypeAdapter(RunId).validate_python(LATEST)


@given(st.integers(1, 10**12 - 1), st.integers(0, 10**12 - 1))
def test_names_of_tracks_and_crops_are_recognised(number: int, frame: int) -> None:
    track_id = TypeAdapter(TrackId).validate_python(track_name(number))
    assert track_number(track_id) == number
    assert crop_name(number, frame).startswith(f"{track_id}/")
    assert is_crop_name(crop_name(number, frame))


@pytest.mark.parametrize(
    "name", ["", "track-1/frame_000001.jpg", "track-00001/frame_1.jpg", "track-00001/x.jpg",
             "track-00001/frame_000001.jpg\n", "../frame_000001.jpg", "track-00001"]
)  # fmt: skip
def test_what_is_no_crop(name: str) -> None:
    assert not is_crop_name(name)
