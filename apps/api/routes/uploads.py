"""Resumable uploads: tus 1.0.0 (https://tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import base64
import binascii
from email.utils import formatdate

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.api.deps import ServicesDep
from apps.api.problems import documented
from apps.api.resumable import Uploads
from apps.api.upload_files import GO_ON, Upload, Wanted, too_long
from apps.common.errors import InvalidInput, ServiceStopping
from apps.common.names import check_name
from apps.common.schemas import UploadList, UploadStatus

VERSION = "1.0.0"
CHUNK_TYPE = "application/offset+octet-stream"
_PATH = "/uploads"
_EXTENSIONS = "creation,termination,expiration"
_METADATA_LIMIT = 4000  # characters of the header
_NAME_LIMIT = 1000  # of a file's name; systems allow 255
_LENGTH_DIGITS = 16
_METADATA_HINT = "Send Upload-Metadata as pairs of a key and its value in base64: ep_id, filename."

router = APIRouter(prefix=_PATH, tags=["uploads"])

_OLD_VERSION = {412: f"Tus-Resumable is not {VERSION}."}
_CREATION = documented(
    {
        **_OLD_VERSION,
        409: "The episode has a video already, or becomes another one.",
        507: "The disk is full or not writable.",
    }
)
_SENDING = documented(
    {
        **_OLD_VERSION,
        409: "Another offset is due, or the episode has a video already.",
        415: f"The body is not {CHUNK_TYPE}.",
        423: "Another request is sending this upload.",
        503: "The service is stopping.",
        507: "The disk is full or not writable.",
    }
)
_ENDING = documented({**_OLD_VERSION, 409: "It has become an episode."})


class TusVersion:
    """ASGI middleware: every answer about uploads names the protocol's version."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(f"{_PATH}/"):
            await self._app(scope, receive, send)
            return

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["tus-resumable"] = VERSION
            await send(message)

        await self._app(scope, receive, named)


@router.get("")
def uploads(services: ServicesDep) -> UploadList:
    """Uploads that have not become episodes yet, the oldest first."""
    found = services.uploads.unfinished()
    return UploadList(items=[services.uploads.status(one) for one in found], total=len(found))


@router.options("", status_code=204)
@router.options("/{upload_id}", status_code=204, include_in_schema=False)
def abilities(services: ServicesDep) -> Response:
    """What the server knows of tus, in headers."""
    return Response(
        status_code=204,
        headers={
            "tus-version": VERSION,
            "tus-extension": _EXTENSIONS,
            "tus-max-size": str(services.uploads.limit),
        },
    )


@router.post("", status_code=201, responses=_CREATION)
async def create(request: Request, services: ServicesDep, response: Response) -> UploadStatus:
    """Begins an upload: headers `Upload-Length`, and `Upload-Metadata` with ep_id and filename.

    Where the same file (by `filename`, `modified` and length) is being sent as this episode
    already, the answer is that upload.
    """
    _check_version(request)
    wanted = _wanted(request)
    upload = await run_in_threadpool(services.uploads.create, wanted)
    response.headers["location"] = f"{_PATH}/{upload.upload_id}"
    response.headers.update(_headers(upload))
    return services.uploads.status(upload)


@router.get("/{upload_id}")
def look(upload_id: str, services: ServicesDep, response: Response) -> UploadStatus:
    """How far an upload is; `HEAD` tells it in headers. One that was refused answers with why."""
    upload = services.uploads.find(upload_id)
    response.headers.update(_headers(upload))
    response.headers["upload-metadata"] = upload.record.metadata
    response.headers["cache-control"] = "no-store"
    return services.uploads.status(upload)


@router.patch("/{upload_id}", status_code=204, responses=_SENDING)
async def send(upload_id: str, request: Request, services: ServicesDep) -> Response:
    """Takes bytes from `Upload-Offset` on. What arrives is kept, however the request ends.

    The last byte is answered when the decoder has looked at the video: it is an episode then, or
    it is refused and its bytes are gone.
    """
    _check_version(request)
    if request.headers.get("content-type", "") != CHUNK_TYPE:
        raise HTTPException(415, f"The body is not {CHUNK_TYPE}.")
    offset = _number(request, "Upload-Offset")
    upload = await run_in_threadpool(services.uploads.find, upload_id)
    if upload.is_unfinished and not upload.is_complete:
        await _take(request, services.uploads, upload, offset)
        upload = await run_in_threadpool(services.uploads.find, upload_id)
    await services.uploads.finish_where_complete(upload)
    upload = await run_in_threadpool(services.uploads.find, upload_id)
    return Response(status_code=204, headers=_headers(upload))


@router.delete("/{upload_id}", status_code=204, responses=_ENDING)
def end(upload_id: str, request: Request, services: ServicesDep) -> Response:
    """Ends an upload and frees what had arrived."""
    _check_version(request)
    services.uploads.remove(upload_id)
    return Response(status_code=204)


async def _take(request: Request, uploads: Uploads, upload: Upload, offset: int) -> None:
    told = request.headers.get("content-length", "0")
    if told.isascii() and told.isdigit() and offset + int(told) > upload.record.length:
        raise too_long(upload)
    writer = await run_in_threadpool(uploads.begin, upload, offset)
    try:
        async for chunk in request.stream():
            if uploads.is_stopping:
                raise ServiceStopping("The service is stopping.", hint="Go on when it is back.")
            await run_in_threadpool(writer.write, chunk)
    except ClientDisconnect:
        raise InvalidInput("The upload broke off.", hint=GO_ON) from None
    finally:
        await run_in_threadpool(writer.close)


def _headers(upload: Upload) -> dict[str, str]:
    offset = upload.offset
    headers = {
        "upload-offset": str(upload.record.length if offset is None else offset),
        "upload-length": str(upload.record.length),
    }
    if offset is not None:
        headers["upload-expires"] = formatdate(upload.expires, usegmt=True)
    return headers


def _check_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise HTTPException(
            412,
            f"The header Tus-Resumable is missing or not {VERSION}.",
            headers={"tus-version": VERSION},
        )


def _wanted(request: Request) -> Wanted:
    metadata = request.headers.get("upload-metadata", "")
    length = _number(request, "Upload-Length")
    if length == 0:
        raise InvalidInput("The file is empty.", hint="Choose another one.")
    values = _metadata(metadata)
    if "ep_id" not in values or "filename" not in values:
        raise InvalidInput("Upload-Metadata has no ep_id or no filename.", hint=_METADATA_HINT)
    if len(values["filename"]) > _NAME_LIMIT:
        raise InvalidInput("The filename is too long.", hint="Shorten it.")
    return Wanted(
        ep_id=check_name(values["ep_id"]),
        filename=values["filename"],
        modified=values.get("modified"),
        length=length,
        metadata=metadata,
    )


def _metadata(header: str) -> dict[str, str]:
    if len(header) > _METADATA_LIMIT:
        raise InvalidInput("Upload-Metadata is too long.", hint=_METADATA_HINT)
    values = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        key, _, coded = pair.partition(" ")
        try:
            values[key] = base64.b64decode(coded.strip(), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise InvalidInput(
                "Upload-Metadata is not in base64, or no UTF-8.", hint=_METADATA_HINT
            ) from None
    return values


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= _LENGTH_DIGITS):
        raise InvalidInput(f"The header {name} is missing or no number.", hint="Send it in bytes.")
    return int(text)
