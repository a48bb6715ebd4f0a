"""Files of runs as answers: only from the data root, in ranges, and how long they may be kept."""

from __future__ import annotations

from pathlib import Path

from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable
from starlette.types import Receive, Scope, Send

from apps.api.problems import DOCUMENTED_PARTS, Documented
from apps.common.errors import EpisodeNotFound
from apps.common.files import open_regular
from apps.common.layout import Layout
from apps.common.names import LATEST
from apps.results.files import result_file
from apps.runs.playable import held

CACHE_OF_VIDEO = "private, no-cache"  # a video may be replaced; its ETag tells
VIDEO_FILE: Documented = {
    **DOCUMENTED_PARTS,
    200: {
        "description": "The file.",
        "content": {"video/*": {"schema": {"type": "string", "format": "binary"}}},
    },
}


class RunFile(FileResponse):
    """A file whose refused ranges are problems like every other error."""

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            raise HTTPException(400, "The Range header cannot be read.") from None
        except RangeNotSatisfiable:
            headers = {"content-range": f"bytes */{file_size}"}
            raise HTTPException(416, "The file ends before this range.", headers) from None


def run_file(
    layout: Layout,
    path: Path,
    media_type: str,
    missing: str,
    *,
    hint: str | None = None,
    cache: str | None = None,
) -> Response:
    """A file of a run as an answer.

    Args:
        missing: what is said where there is no such file in the data root.
        hint: what to do about it.
        cache: value of the header Cache-Control; None sends none.

    Raises:
        RunNotFound: there is none.
    """
    found = result_file(layout, path, missing, hint=hint)
    headers = {} if cache is None else {"cache-control": cache}
    return RunFile(found, media_type=media_type, headers=headers)


class HeldFile(RunFile):
    """A file that must not be removed while it is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            stream = await run_in_threadpool(open_regular, Path(self.path))
        except OSError:  # removed since it was found
            raise EpisodeNotFound("The file is gone.", hint="Ask again.") from None
        with stream, held(stream):
            await super().__call__(scope, receive, send)


def cache_of_result(run_id: str) -> str:
    """Results do not change once they are there, but `latest` names another run tomorrow.

    Args:
        run_id: as the request names it.
    """
    return "no-cache" if run_id == LATEST else "private, max-age=86400, immutable"
