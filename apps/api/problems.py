"""Errors become HTTP answers of the API here and nowhere else: RFC 9457."""

from __future__ import annotations

import http
from collections.abc import Mapping
from typing import Any, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from apps.common.errors import InvalidInput, RunFailed, ScreenalyticsError
from apps.common.names import IllegalName
from apps.web.problems import MEDIA_TYPE, problem_response

Documented = dict[int | str, dict[str, Any]]
_SHOWN_ERRORS = 20


def documented(texts: Mapping[int, str]) -> Documented:
    """Problems in the OpenAPI document, by status: `responses` of a route."""
    content = {MEDIA_TYPE: {"schema": {"type": "object"}}}
    return {status: {"description": text, "content": content} for status, text in texts.items()}


# Of every route; a route adds its own.
DOCUMENTED_PROBLEMS = documented(
    {
        400: "The request cannot be read.",
        401: "The API key is missing or wrong.",
        403: "A page of another site asks for a change.",
        404: "There is no such thing.",
        408: "The request did not come to its end in time.",
        413: "The body is too large.",
        421: "The server is asked by a name that is not its own.",
        422: "Bad input; `detail` names the field.",
        431: "Too many headers.",
        500: "The server failed; its log says more.",
    }
)
# Of a route that answers with a file.
DOCUMENTED_PARTS: Documented = {
    206: {"description": "The part that the header Range asks for."},
    **documented({416: "The file ends before the range."}),
}
# Of a route that asks the queue.
DOCUMENTED_QUEUE = documented({503: "The queue is not available."})


def install_problem_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ScreenalyticsError, _known)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _unknown)


def _known(_: Request, error: ScreenalyticsError) -> JSONResponse:
    return problem_response(error.to_dict())


def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    # An illegal name has a problem of its own, which is the answer where nothing else is wrong.
    causes = [(entry.get("ctx", {}).get("error"), entry) for entry in error.errors()]
    entries = [entry for cause, entry in causes if not isinstance(cause, IllegalName)]
    if causes and not entries:
        return problem_response(causes[0][0].to_dict())
    # The input is not echoed: it may be huge, or hold what JSON cannot (NaN).
    entries = entries[:_SHOWN_ERRORS]
    errors = [{"field": _field(entry["loc"]), "message": entry["msg"]} for entry in entries]
    unknown = next((entry for entry in entries if entry["type"] == "extra_forbidden"), None)
    first = errors[0] if errors else {"field": "body", "message": "cannot be read"}
    known = InvalidInput(
        f"{first['field']}: {first['message']}.",
        hint=(
            "See /docs for the fields and their ranges."
            if unknown is None
            else f"Allowed fields: {', '.join(_fields_beside(unknown['loc'], request))}."
        ),
        errors=errors,
    )
    return problem_response(known.to_dict())


def _fields_beside(location: tuple[str, ...], request: Request) -> list[str]:
    """Names of the fields that there are where an unknown one was found."""
    model = _model_in(request.scope["route"].body_field.field_info.annotation)
    for part in location[1:-1]:  # without "body", and the field itself
        model = _model_in(model.model_fields[part].annotation)
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel]:
    """A field's model, where it may be left out as well."""
    parts = (annotation, *get_args(annotation))
    return next(part for part in parts if isinstance(part, type) and issubclass(part, BaseModel))


def _field(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location[1:])[:100] or str(location[0])


def _http(_: Request, error: HTTPException) -> JSONResponse:
    title = http.HTTPStatus(error.status_code).phrase
    return problem_response(
        {
            "type": "about:blank",
            "title": title,
            "status": error.status_code,
            "detail": str(error.detail),
        },
        dict(error.headers or {}),
    )


def _unknown(_: Request, __: Exception) -> JSONResponse:
    known = RunFailed(
        "The server met an error that it does not know.",
        hint="The server's log has the details; please report them.",
    )
    return problem_response(known.to_dict())
