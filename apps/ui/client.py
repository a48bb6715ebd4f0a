"""A typed client of the web service. Everything that the page knows, it knows from here.

Errors:
    ApiProblem              an answer that is a problem (RFC 9457), or that cannot be read
    └── ServerUnreachable   no answer
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from apps.common.certificates import certificates
from apps.common.contracts.events import Event, PreviewEvent
from apps.common.contracts.manifest import RunManifest
from apps.common.heartbeat import with_heartbeat
from apps.common.library_schemas import RunNamed, TrashEntry
from apps.common.live import EpisodeStates
from apps.common.schemas import (
    ActiveRun,
    ActiveRuns,
    ComparisonEvent,
    ComparisonList,
    ComparisonRequest,
    DetectTrackRequest,
    Diagnosis,
    EpisodeDetail,
    EpisodeList,
    JobAccepted,
    JobStatus,
    PlanRequest,
    Ready,
    ResolvedPlan,
    RunCharts,
    RunList,
    RunOptionsOffer,
    Version,
)
from apps.ui.numbers import significant
from apps.ui.settings import PageSettings

NDJSON = "application/x-ndjson"
TICK_SECONDS = 0.5
_TIMEOUT = httpx.Timeout(30, connect=3)
_STREAM_TIMEOUT = httpx.Timeout(None, connect=3)  # a run may wait for its turn
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_PREVIEW_EVENT: TypeAdapter[PreviewEvent] = TypeAdapter(PreviewEvent)
_COMPARISON_EVENT: TypeAdapter[ComparisonEvent] = TypeAdapter(ComparisonEvent)
_END: dict[str, Any] = {}  # in place of a line
M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class ApiProblem(Exception):
    """What the server refused or failed at, as sentences.

    Args:
        detail: what is wrong.
        hint: what to do about it.
        status: HTTP status, 0 where there was no answer.
    """

    def __init__(self, detail: str, hint: str = "", status: int = 0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.status = status

    @classmethod
    def of(cls, body: object, status: int) -> ApiProblem:
        """From an answer's body, which may be anything."""
        if isinstance(body, dict) and isinstance(body.get("detail"), str):
            return cls(body["detail"], str(body.get("hint") or ""), status)
        return _not_understood(status)


class ServerUnreachable(ApiProblem):
    """The server does not answer."""


@dataclass(frozen=True)
class Bounds:
    """What the server accepts for a field of a run.

    Args:
        above: whether the minimum itself is too little.
    """

    minimum: float | None
    maximum: float | None
    description: str
    above: bool = False

    def problem(self, number: float | None) -> str | None:
        """A sentence where the server would refuse the number."""
        if number is None:
            return None
        if self.minimum is not None and self.above and number <= self.minimum:
            return f"More than {significant(self.minimum)}, please."
        if self.minimum is not None and number < self.minimum:
            return f"{significant(self.minimum)} at least, please."
        if self.maximum is not None and number > self.maximum:
            return f"{significant(self.maximum, 12)} at most, please."
        return None


class Client:
    """Safe to share between threads and sessions.

    Args:
        settings: where the server is, and its key.
    """

    def __init__(self, settings: PageSettings) -> None:
        self._settings = settings
        self._http = httpx.Client(
            base_url=settings.base_url,
            headers=settings.headers,
            timeout=_TIMEOUT,
            trust_env=False,
            verify=certificates(),
        )

    @property
    def base_url(self) -> str:
        return self._settings.base_url

    def close(self) -> None:
        self._http.close()

    # What there is.

    def episodes(self, wanted: str = "", *, limit: int = 1000) -> EpisodeList:
        return self._get("/episodes", EpisodeList, q=wanted, limit=limit)

    def episode(self, ep_id: str) -> EpisodeDetail:
        return self._get(f"/episodes/{ep_id}", EpisodeDetail)

    def runs(self, ep_id: str) -> RunList:
        return self._get(f"/episodes/{ep_id}/runs", RunList)

    def run(self, ep_id: str, run_id: str) -> RunManifest:
        return self._get(f"/episodes/{ep_id}/runs/{run_id}", RunManifest)

    def diagnosis(self, ep_id: str, run_id: str) -> Diagnosis:
        return self._get(f"/episodes/{ep_id}/runs/{run_id}/diagnosis", Diagnosis)

    def charts(self, ep_id: str, run_id: str) -> RunCharts:
        return self._get(f"/episodes/{ep_id}/runs/{run_id}/charts", RunCharts)

    def log(self, ep_id: str, run_id: str) -> str:
        return self._send("GET", f"/episodes/{ep_id}/runs/{run_id}/log").text

    # What a run would do.

    def offer(self) -> RunOptionsOffer:
        return self._get("/options", RunOptionsOffer)

    def plan(self, request: PlanRequest) -> ResolvedPlan:
        body = request.model_dump(exclude_none=True)
        return _parsed(self._send("POST", "/options/resolve", json=body), ResolvedPlan)

    def bounds(self) -> dict[str, Bounds]:
        """Bounds of the fields of a run, from the server's OpenAPI document."""
        document: Any = _json(self._send("GET", "/openapi.json").content)
        try:
            fields = document["components"]["schemas"][DetectTrackRequest.__name__]["properties"]
            return {name: _bounds(field) for name, field in fields.items()}
        except (KeyError, TypeError, AttributeError):
            raise _not_understood(200) from None

    # Running.

    def run_local(self, request: DetectTrackRequest) -> Generator[Event | None]:
        """The run, which lives as long as this iterator: close it and the server kills the run.

        Yields:
            Its events; the last one is a result or an error. None where there was nothing new for
            half a second.

        Raises:
            ApiProblem: the server refused it.
        """
        body = request.model_dump(mode="json", exclude_none=True)
        for line in self._lines("POST", "/celery_jobs/detect_track", body):
            yield None if line is None else _event(line, _EVENT)

    def run_comparison(
        self, ep_id: str, request: ComparisonRequest
    ) -> Generator[ComparisonEvent | None]:
        """A comparison, which lives as long as this iterator. As `run_local`."""
        body = request.model_dump(mode="json", exclude_none=True)
        for line in self._lines("POST", f"/episodes/{ep_id}/comparisons", body):
            yield None if line is None else _event(line, _COMPARISON_EVENT)

    def make_preview(self, ep_id: str, run_id: str) -> Generator[PreviewEvent | None]:
        """Renders a run's preview for as long as this iterator lives. As `run_local`."""
        for line in self._lines("POST", f"/episodes/{ep_id}/runs/{run_id}/preview", None):
            yield None if line is None else _event(line, _PREVIEW_EVENT)

    def submit(self, request: DetectTrackRequest) -> JobAccepted:
        body = request.model_dump(mode="json", exclude_none=True)
        return _parsed(self._send("POST", "/celery_jobs/detect_track", json=body), JobAccepted)

    def job(self, job_id: str) -> JobStatus:
        return self._get(f"/celery_jobs/{job_id}", JobStatus)

    def cancel_job(self, job_id: str) -> JobStatus:
        return _parsed(self._send("POST", f"/celery_jobs/{job_id}/cancel"), JobStatus)

    def cancel_run(self, ep_id: str, run_id: str) -> RunManifest:
        return _parsed(self._send("POST", f"/episodes/{ep_id}/runs/{run_id}/cancel"), RunManifest)

    def name_run(self, ep_id: str, run_id: str, title: str) -> RunNamed:
        path = f"/episodes/{ep_id}/runs/{run_id}"
        return _parsed(self._send("PATCH", path, json={"title": title}), RunNamed)

    def delete_run(self, ep_id: str, run_id: str) -> TrashEntry:
        return _parsed(self._send("DELETE", f"/episodes/{ep_id}/runs/{run_id}"), TrashEntry)

    def restore(self, trash_id: str) -> TrashEntry:
        return _parsed(self._send("POST", f"/trash/{trash_id}/restore"), TrashEntry)

    def stop(self, run: ActiveRun) -> None:
        """Ends a run, whether it is a job or not."""
        if run.job_id is not None:
            self.cancel_job(run.job_id)
        else:
            self.cancel_run(run.ep_id, run.run_id)

    def active(self, ep_id: str | None = None) -> ActiveRuns:
        wanted = {} if ep_id is None else {"ep_id": ep_id}
        return self._get("/celery_jobs", ActiveRuns, **wanted)

    def states(self, ep_id: str | None = None) -> EpisodeStates:
        """Of all episodes, or of one, with what is known of the server itself."""
        wanted = {} if ep_id is None else {"ep_id": ep_id}
        return self._get("/states", EpisodeStates, **wanted)

    def comparisons(self, ep_id: str) -> ComparisonList:
        return self._get(f"/episodes/{ep_id}/comparisons", ComparisonList)

    # The server.

    def version(self) -> Version:
        return self._get("/version", Version)

    def ready(self) -> Ready:
        """Each dependency; an answer as well where one of them is not ready (503)."""
        answer = self._send("GET", "/health/ready", allowed=(503,))
        return _parsed(answer, Ready)

    def _get(self, path: str, model: type[M], **query: Any) -> M:
        return _parsed(self._send("GET", path, params=query), model)

    def _send(
        self, method: str, path: str, *, allowed: tuple[int, ...] = (), **arguments: Any
    ) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **arguments)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None
        if answer.is_error and answer.status_code not in allowed:
            raise ApiProblem.of(_json(answer.content), answer.status_code)
        return answer

    def _lines(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> Generator[dict[str, Any] | None]:
        """Lines of a streamed answer as they come, and None in between.

        The caller gets control back every half second, whatever the server does, so that a page
        that was left can be stopped. The connection is closed when the iterator is.
        """
        with asyncio.Runner() as runner:
            source = self._line_source(method, path, body)
            lines = with_heartbeat(source, lambda: TICK_SECONDS)
            try:
                while (line := runner.run(anext(lines, _END))) is not _END:
                    yield line
            finally:
                runner.run(lines.aclose())

    async def _line_source(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> AsyncGenerator[dict[str, Any]]:
        headers = {**self._settings.headers, "Accept": NDJSON}
        ended = False
        try:
            async with (
                httpx.AsyncClient(
                    base_url=self.base_url,
                    headers=headers,
                    timeout=_STREAM_TIMEOUT,
                    trust_env=False,
                    verify=certificates(),
                ) as http,
                http.stream(method, path, json=body) as answer,
            ):
                if answer.is_error:
                    raise ApiProblem.of(_json(await answer.aread()), answer.status_code)
                async for text in answer.aiter_lines():
                    line = _json(text)
                    if isinstance(line, dict):
                        ended = ended or line.get("type") in ("result", "error")
                        yield line
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None
        if not ended:
            raise ServerUnreachable(
                "The server broke off its answer.",
                hint="It was stopped or killed, and the run with it. Start it, then run again.",
            )

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        if isinstance(error, httpx.ReadTimeout):
            return ServerUnreachable(
                "The server did not answer in time.", hint="It may be very busy; try again."
            )
        return ServerUnreachable(
            f"The server at {self.base_url} does not answer.",
            hint="Start it with `make up`, or set SCREENALYTICS_API_URL to where it runs.",
        )


def _event(line: object, kind: TypeAdapter[T]) -> T:
    try:
        return kind.validate_python(line)
    except ValidationError:
        raise _not_understood(200) from None


def _parsed(answer: httpx.Response, model: type[M]) -> M:
    return _valid(_json(answer.content), model)


def _valid(body: object, model: type[M]) -> M:
    try:
        return model.model_validate(body)
    except ValidationError:
        raise _not_understood(200) from None


def _json(content: bytes | str) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _not_understood(status: int) -> ApiProblem:
    return ApiProblem(
        "The server's answer was not understood.",
        hint="Page and server may be of different versions: restart both.",
        status=status,
    )


def _bounds(field: dict[str, Any]) -> Bounds:
    kinds = [field, *field.get("anyOf", [])]

    def first(*names: str) -> float | None:
        return next((kind[n] for kind in kinds for n in names if n in kind), None)

    return Bounds(
        minimum=first("minimum", "exclusiveMinimum"),
        maximum=first("maximum", "exclusiveMaximum"),
        description=field.get("description", ""),
        above=first("minimum") is None and first("exclusiveMinimum") is not None,
    )
