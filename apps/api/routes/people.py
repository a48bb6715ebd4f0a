"""Who is in an episode, and what people correct of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from apps.api.deps import ServicesDep
from apps.api.file_responses import run_file
from apps.api.problems import DOCUMENTED_PARTS, Documented, documented
from apps.api.removal import forget_of_all, forget_of_episode
from apps.api.streaming import NDJSON, wants_stream
from apps.common.errors import InvalidInput
from apps.common.names import EpisodeId, RunIdOrLatest
from apps.common.people_schemas import (
    CorrectedRows,
    CorrectionRequest,
    Corrections,
    ForgetEverywhereQuery,
    ForgetQuery,
    Forgotten,
    PeopleQuery,
    PeopleRows,
    Suggestions,
)
from apps.people.correct import correct
from apps.people.corrected import ASK_FOR_PEOPLE, NO_PEOPLE, corrected_people
from apps.people.log import read_log
from apps.results.files import result_file, sendable_rows
from apps.runs.episodes import check_episode
from apps.runs.store import read_completed

router = APIRouter(tags=["people"])

_CACHE = "private, no-cache"  # they may be corrected at any time
_LATER = documented({409: "A later version has written the log of corrections."})
_REFUSED = {
    409: "A run is on, or a later version has written the log of corrections.",
    507: "The disk refuses it.",
}
_AS_LINES: Documented = {
    200: {"description": "A page; or all of them, a line each.", "content": {NDJSON: {}}},
    **DOCUMENTED_PARTS,
    **_LATER,
}


@router.get(
    "/episodes/{ep_id}/runs/{run_id}/people", response_model=PeopleRows, responses=_AS_LINES
)
def people(
    ep_id: EpisodeId,
    run_id: RunIdOrLatest,
    services: ServicesDep,
    request: Request,
    response: Response,
    query: Annotated[PeopleQuery, Query()],
) -> PeopleRows | Response:
    """People (`people_v1`) as they were corrected, a page at a time; as NDJSON, all of them.

    With `original`, as the run wrote them.
    """
    layout = services.layout
    if query.original:
        run = read_completed(layout, ep_id, run_id).run_id
        path = result_file(layout, layout.run(ep_id, run).people, NO_PEOPLE, hint=ASK_FOR_PEOPLE)
        if wants_stream(request):
            return run_file(layout, path, NDJSON, NO_PEOPLE)
        rows, revision, unmatched, damaged = list(sendable_rows(layout, path)), None, [], 0
    else:
        found = corrected_people(layout, ep_id, run_id, services.people)
        if wants_stream(request):
            lines = "".join(row.line() for row in found.rows)
            return Response(lines, media_type=NDJSON, headers={"cache-control": _CACHE})
        rows = [row.model_dump() for row in found.rows]
        revision, unmatched, damaged = found.revision, found.unmatched, found.damaged_lines
    response.headers["cache-control"] = _CACHE
    return PeopleRows(
        items=rows[query.offset : query.offset + query.limit],
        total=len(rows),
        offset=query.offset,
        revision=revision,
        unmatched=unmatched,
        damaged_lines=damaged,
    )


@router.get("/episodes/{ep_id}/runs/{run_id}/people/suggestions", responses=_LATER)
def suggest(
    ep_id: EpisodeId, run_id: RunIdOrLatest, services: ServicesDep, response: Response
) -> Suggestions:
    """Names for who has none, from other episodes of the show; each is to be confirmed.

    To confirm one, name the person so, or merge it into `into`; to decline one, correct by
    `decline`.
    """
    from apps.people.suggestions import suggestions  # with NumPy

    response.headers["cache-control"] = _CACHE
    return suggestions(services.layout, ep_id, run_id, services.people)


@router.post(
    "/episodes/{ep_id}/runs/{run_id}/people/corrections",
    responses=documented(
        {
            409: "Somebody else has corrected the people meanwhile (`changed` tells what), or a "
            "later version has written the log.",
            507: "The disk refuses it.",
        }
    ),
)
def add_correction(
    ep_id: EpisodeId, run_id: RunIdOrLatest, body: CorrectionRequest, services: ServicesDep
) -> CorrectedRows:
    """Corrects people of a run: names, merges, moves tracks, hides, shows, declines, undoes.

    It is written to the episode's log, and holds for its later runs as well.
    """
    found = correct(services.layout, ep_id, run_id, body, services.people)
    return CorrectedRows(
        revision=found.revision,
        items=found.rows,
        unmatched=found.unmatched,
        damaged_lines=found.damaged_lines,
    )


@router.get("/episodes/{ep_id}/people/corrections", responses=_LATER)
def corrections(ep_id: EpisodeId, services: ServicesDep, response: Response) -> Corrections:
    """The log of corrections, the oldest first."""
    check_episode(services.layout, ep_id)
    log = read_log(services.layout, ep_id)
    response.headers["cache-control"] = _CACHE
    return Corrections(items=log.told(), revision=log.revision, damaged_lines=log.damaged_lines)


@router.delete("/episodes/{ep_id}/people", responses=documented(_REFUSED))
async def forget_episode(
    ep_id: EpisodeId, services: ServicesDep, query: Annotated[ForgetQuery, Query()]
) -> Forgotten:
    """Removes embeddings, people and corrections of an episode for good, from the trash as well.

    With `name`, only of whoever is called so.
    """
    return await forget_of_episode(services, ep_id, query.name)


@router.delete("/people", responses=documented(_REFUSED))
async def forget_all(
    services: ServicesDep, query: Annotated[ForgetEverywhereQuery, Query()]
) -> Forgotten:
    """The same of all episodes: of whoever is called `name`, or of `everybody`.

    Episodes that stay as they are are named: `busy`, since a run is on, `unreadable`, since their
    log of corrections cannot be read.
    """
    if (query.name is None) != query.everybody:
        raise InvalidInput(
            "Of whom? A name, or everybody=true.", hint="Give one of the two parameters."
        )
    return await forget_of_all(services, query.name)
