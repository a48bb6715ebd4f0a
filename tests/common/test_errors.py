"""The error tree: as its page says, and able to cross a process boundary."""

from __future__ import annotations

import json
import re

import pytest

from apps.common import errors
from apps.common.contracts.events import ErrorEvent
from apps.common.errors import RunFailed, ScreenalyticsError, error_types, from_dict

DOCUMENTED = {
    name: (int(exit_code), int(status))
    for name, exit_code, status in re.findall(
        r"[├└]── (\w+)\s+exit (\d+)\s+(\d{3})", errors.__doc__ or ""
    )
}
TYPES = sorted(error_types().values(), key=lambda cls: cls.__name__)

# Contract, section 5.
EXIT_CODES = {
    "InvalidInput": 2,
    "EpisodeNotFound": 3,
    "VideoUnreadable": 3,
    "AcceleratorMissing": 4,
    "ModelUnavailable": 5,
    "EpisodeBusy": 6,
    "RunCancelled": 143,
}
# Contract, section 6.
STATUS_CODES = {
    "InvalidInput": 422,
    "EpisodeNotFound": 404,
    "EpisodeBusy": 409,
    "QueueUnavailable": 503,
    "RunTimedOut": 504,
    "RunFailed": 500,
}


def test_the_documented_tree_is_the_tree() -> None:
    assert (errors.__doc__ or "").count("── ") == len(DOCUMENTED)
    assert {cls.__name__: (cls.exit_code, cls.status) for cls in TYPES} == DOCUMENTED


def test_the_contract_holds() -> None:
    by_name = {cls.__name__: cls for cls in TYPES}

    assert {name: by_name[name].exit_code for name in EXIT_CODES} == EXIT_CODES
    assert {name: by_name[name].status for name in STATUS_CODES} == STATUS_CODES


def test_slugs_are_unique_and_plain() -> None:
    classes = [
        cls for cls in ScreenalyticsError.__subclasses__() if cls.__module__ == errors.__name__
    ]

    assert len({cls.slug for cls in classes}) == len({cls.title for cls in classes}) == len(classes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", cls.slug) for cls in classes)
    known = {(cls.slug, cls.status) for cls in classes}  # `error_types` sees one level
    assert {(sub.slug, sub.status) for cls in classes for sub in cls.__subclasses__()} <= known


@pytest.mark.parametrize("cls", TYPES)
@pytest.mark.parametrize("hint", [None, "Do this."])
@pytest.mark.parametrize("extra", [{}, {"allowed": ["a", "b"], "run_id": "r", "log": None}])
def test_round_trip(
    cls: type[ScreenalyticsError], hint: str | None, extra: dict[str, object]
) -> None:
    error = cls("What is wrong: Zoë.", hint=hint, **extra)

    body = json.loads(json.dumps(error.to_dict()))
    back = from_dict(body)

    assert type(back) is cls
    assert (back.detail, back.hint, back.extra) == (error.detail, hint, extra)
    assert str(back) == error.detail
    assert back.to_dict() == body
    assert (body["status"], body["exit_code"]) == (cls.status, cls.exit_code)
    assert ("hint" in body) == (hint is not None)


def test_extra_facts_do_not_hide_the_standard_members() -> None:
    body = RunFailed("d", type="x", status=200, title="fine").to_dict()

    assert (body["type"], body["status"]) == ("urn:screenalytics:problem:run-failed", 500)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "urn:screenalytics:problem:of-the-future", "detail": "d", "status": 418},
        {"type": "about:blank"},
        {"type": None, "hint": 3},
        {"type": ["run-failed"]},
        ScreenalyticsError("d").to_dict(),
    ],
)
def test_unknown_types_become_run_failed(body: dict[str, object]) -> None:
    error = from_dict(body)

    assert type(error) is RunFailed
    assert error.detail == body.get("detail", "Run failed")
    assert error.to_dict()["status"] == 500


@pytest.mark.parametrize("cls", TYPES)
def test_as_an_event(cls: type[ScreenalyticsError]) -> None:
    event = ErrorEvent.of(cls("d", hint="h", run_id="r"))

    line = ErrorEvent.model_validate_json(event.model_dump_json())
    assert (line.title, line.status, line.detail, line.hint) == (cls.title, cls.status, "d", "h")
    assert type(from_dict(line.problem)) is cls
