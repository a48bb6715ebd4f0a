"""A problem as an answer: RFC 9457, `application/problem+json`."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


def problem_response(
    problem: dict[str, Any], headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(
        problem, status_code=int(problem["status"]), media_type=MEDIA_TYPE, headers=headers
    )
