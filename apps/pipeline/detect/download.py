"""Downloads the weights of a detector, verifies them, and puts them where they are kept."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import BinaryIO

import httpx

from apps.common.certificates import certificates
from apps.common.config import DetectorConfig
from apps.common.errors import ModelUnavailable
from apps.common.files import replacing, storage_errors
from apps.pipeline.inference.callbacks import LoadCallbacks

_TIMEOUT = httpx.Timeout(30, connect=10)
_MAX_BYTES = 1_000_000_000
_MAX_REDIRECTS = 5
_SAY_SECONDS = 2.0  # between two lines on how far it is
_BY_HAND = (
    "Check the network and run again, or download {url} elsewhere and give the file with "
    "--detector-model or SCREENALYTICS_DETECTOR_MODEL."
)


def download(config: DetectorConfig, target: Path, callbacks: LoadCallbacks) -> None:
    """Writes the file if it is the right one; else nothing is left.

    Args:
        config: the detector's entry in `config/models.toml`; it has a download.
        target: where it is kept; the folder exists.
        callbacks: receive how far it is, and may stop it.

    Raises:
        ModelUnavailable: the network or the server failed, or what came is another file.
        StorageFailed: it cannot be written.
    """
    url = config.url or ""
    hint = _BY_HAND.format(url=url)
    callbacks.say(f"Downloading {config.file} from {httpx.URL(url).host}, once")
    try:
        with storage_errors(), replacing(target, durable=True) as stream:
            found = _Fetch(url, callbacks).into(stream)
            if found != config.sha256:
                raise ModelUnavailable(
                    f"What {httpx.URL(url).host} gave for {config.file} is another file: its "
                    f"SHA-256 begins with {found[:12]}, not with {(config.sha256 or '')[:12]}.",
                    hint=hint,
                )
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        raise ModelUnavailable(
            f"{config.file} could not be downloaded: {error.request.url.host} answered {code}.",
            hint=hint,
        ) from error
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise ModelUnavailable(
            f"{config.file} could not be downloaded: {reason}.", hint=hint
        ) from error
    callbacks.say(f"{config.file} is kept in {target.parent.name}/ of the cache")


class _Fetch:
    """One download, by the scheme of its address alone, whatever it redirects to."""

    def __init__(self, url: str, callbacks: LoadCallbacks) -> None:
        self._url = httpx.URL(url)
        self._callbacks = callbacks
        self._said_s = time.monotonic()

    def into(self, stream: BinaryIO) -> str:
        """Writes what comes; its SHA-256."""
        checksum, done = hashlib.sha256(), 0
        with (
            httpx.Client(
                timeout=_TIMEOUT,
                verify=certificates(),
                follow_redirects=True,
                max_redirects=_MAX_REDIRECTS,
                event_hooks={"request": [self._check_scheme]},
            ) as http,
            http.stream("GET", self._url, headers={"Accept-Encoding": "identity"}) as answer,
        ):
            answer.raise_for_status()
            announced = int(answer.headers.get("Content-Length", 0))
            for part in answer.iter_bytes(65_536):
                self._callbacks.check()
                done += len(part)
                if done > _MAX_BYTES:
                    raise httpx.StreamError("it does not end")
                checksum.update(part)
                stream.write(part)
                self._say(done, announced)
        return checksum.hexdigest()

    def _check_scheme(self, request: httpx.Request) -> None:
        if request.url.scheme != self._url.scheme:
            raise httpx.UnsupportedProtocol(
                f"it was redirected from {self._url.scheme} to {request.url.scheme}",
                request=request,
            )

    def _say(self, done: int, announced: int) -> None:
        if time.monotonic() - self._said_s < _SAY_SECONDS:
            return
        self._said_s = time.monotonic()
        of = f" of {announced / 1e6:.1f}" if announced else ""
        self._callbacks.say(f"Downloaded {done / 1e6:.1f}{of} MB")
