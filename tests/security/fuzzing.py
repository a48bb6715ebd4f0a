"""Requests that the API's document allows and forbids, made up by schemathesis."""

from __future__ import annotations

from typing import Any

import requests
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok

from lab.processes.service import Server
from tests.security.tricks import PROBLEM, QUICK, is_documented_503

# Operations that are left out: one takes nothing, and long; the other is a stream of half a minute.
_LONG = {"/demo/episode", "/events"}

# Checks of schemathesis that are left out, and why.
LEFT_OUT = {
    "positive_data_acceptance": "the document cannot say which episodes and runs exist",
    "negative_data_rejection": "a query parameter that no route knows is passed over, as in HTTP",
    "use_after_free": "stateful; tests/api/test_library.py deletes, and asks again",
    "ensure_resource_availability": "stateful; a made resource is an upload that must decode",
    "object_level_authorization": "there is one key, not users",
    "ignored_auth": "the document names no security scheme; tests/api/test_gate.py has the key",
    "max_response_time": "set by no promise; slow ones fail by their timeout of 20 s",
    "not_a_server_error": "done here: knows the one documented 503 of the queue",
    "unsupported_method": "of its coverage phase, which this does not run",
    "missing_required_header": "no header is required",
    "allow_header_conformance": "of its coverage phase, which this does not run",
    "coverage_scenario": "of its coverage phase, which this does not run",
}


def operations_of(server: Server) -> list[Any]:
    """What the API's document says that one can ask."""
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    found = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    return [one for one in found if one.path not in _LONG]


def takes_any_text(operation: Any) -> bool:
    """Nothing is illegal to the document: names in the path at most, and any text is one."""
    names = [parameter.definition["schema"] for parameter in operation.path_parameters]
    return not (operation.query or operation.body or any("pattern" in name for name in names))


def fuzzed(operation: Any, known: dict[str, str], *, legal: bool) -> set[str]:
    """What is wrong with the answers to some requests of an operation."""
    mode = GenerationMode.POSITIVE if legal else GenerationMode.NEGATIVE
    checks = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name not in LEFT_OUT]
    label = f"{operation.method.upper()} {operation.path} ({mode.value})"
    bad: set[str] = set()
    session = requests.Session()
    session.trust_env = False

    @settings(QUICK, max_examples=6)
    @given(operation.as_strategy(generation_mode=mode), st.booleans())
    def ask(case: Any, existing: bool) -> None:
        spared = operation.method == "delete" or operation.path.endswith("/comparisons")
        if existing and case.path_parameters and not spared:
            case.path_parameters.update(
                {key: name for key, name in known.items() if key in case.path_parameters}
            )
        answer = case.call(session=session, timeout=20)
        status, kind = answer.status_code, answer.headers.get("content-type", [""])[0]
        if is_documented_503(status, operation.path, answer.content.decode("utf-8", "replace")):
            return
        if status >= 500:
            bad.add(f"{label}: {status} for {case.as_curl_command()[:300]}")
        elif status >= 400 and kind != PROBLEM:
            bad.add(f"{label}: {status} is {kind}")
        else:
            try:
                case.validate_response(answer, checks=checks)
            except FailureGroup as failures:
                bad.update(f"{label}: {str(failure)[:300]}" for failure in failures.exceptions)

    with session:
        ask()
    return bad
