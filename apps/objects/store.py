"""One bucket, or a folder in its place. The only module that knows obstore.

What it cannot do becomes `StorageUnavailable`, in words of its own: the storage's answers may
name keys, and are not passed on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apps.common.errors import PackageMissing, ScreenalyticsError, StorageUnavailable
from apps.common.storage_url import StorageUrl
from apps.objects.credentials import profile_of
from apps.objects.refusals import code_of, explained

PART_BYTES = 16 << 20  # of a large object, a request; the longest object has 10,000
_AT_ONCE = 4  # parts: 64 MB of memory
_CONNECT_SECONDS = 4
_REQUEST_SECONDS = 60  # for a part: 270 kB/s
_RETRIES = 3  # of one request, with pauses of 0.1, 0.2 and 0.4 s or so
_RETRY_SECONDS = 20
_RESTS_SECONDS = 2.0  # who was asked in vain is not asked again for so long
_LISTED = 1000  # what one request for a list gives


class NoObject(LookupError):
    """There is none of that key."""


class ObjectExists(Exception):
    """There is one of that key already."""


class ObjectChanged(Exception):
    """It is no longer the one that was seen."""


@dataclass(frozen=True)
class StoredObject:
    """An object as a list shows it."""

    key: str
    size_bytes: int
    e_tag: str
    modified: datetime


class ObjectStore:
    """Safe to share between threads.

    Raises:
        PackageMissing: obstore is not installed.
        InvalidInput: AWS_PROFILE names no profile.
    """

    def __init__(self, url: StorageUrl) -> None:
        self._store = _open(url)
        self._rests_until = 0.0
        self._last: StorageUnavailable | None = None

    def put(self, key: str, body: bytes | Iterable[bytes], *, create: bool = False) -> str:
        """Stores an object as a whole; a large one in parts.

        Args:
            create: it must be new; then of one part only.

        Returns:
            Its ETag.

        Raises:
            ObjectExists: it is not new.
        """
        import obstore

        with self._asked():
            if isinstance(body, bytes):
                done = obstore.put(
                    self._store,
                    key,
                    body,
                    mode="create" if create else "overwrite",
                    use_multipart=False,
                )
            else:
                given = _Given(body)
                try:
                    done = obstore.put(
                        self._store,
                        key,
                        given,
                        use_multipart=True,
                        chunk_size=PART_BYTES,
                        max_concurrency=_AT_ONCE,
                    )
                except Exception:
                    if given.error is not None:
                        raise given.error from None
                    raise
            return str(done["e_tag"] or "")

    def replace(self, key: str, body: bytes, e_tag: str) -> str:
        """Stores an object in place of the one that was seen; its ETag.

        Raises:
            ObjectChanged: it is another one by now.
        """
        import obstore

        with self._asked():
            done = obstore.put(self._store, key, body, mode={"e_tag": e_tag}, use_multipart=False)
            return str(done["e_tag"] or "")

    def get(self, key: str) -> tuple[bytes, str]:
        """A small object, and its ETag.

        Raises:
            NoObject: there is none.
        """
        import obstore

        with self._asked():
            answer = obstore.get(self._store, key)
            return bytes(answer.bytes()), str(answer.meta["e_tag"] or "")

    def find(self, key: str) -> StoredObject:
        """An object by its key.

        Raises:
            NoObject: there is none.
        """
        import obstore

        with self._asked():
            one = obstore.head(self._store, key)
            return StoredObject(one["path"], one["size"], one["e_tag"] or "", one["last_modified"])

    def parts(self, found: StoredObject, begin: int = 0) -> Iterator[bytes]:
        """A large object from a byte on, a request a part.

        Raises:
            NoObject: it is gone.
            ObjectChanged: it is another one by now.
        """
        for start in range(begin, found.size_bytes, PART_BYTES):
            yield self.range(found, start, min(start + PART_BYTES, found.size_bytes))

    def range(self, found: StoredObject, start: int, end: int) -> bytes:
        """Some bytes of an object, by one request.

        Args:
            start, end: from one to the one before the other.

        Raises:
            NoObject: it is gone.
            ObjectChanged: it is another one by now.
        """
        import obstore

        with self._asked():
            options: Any = {"range": (start, end), "if_match": found.e_tag}
            answer = obstore.get(self._store, found.key, options=options)
            part = bytes(answer.bytes())
            facts = answer.meta
        if facts["e_tag"] != found.e_tag or facts["size"] != found.size_bytes:
            raise ObjectChanged
        if len(part) != end - start:
            raise StorageUnavailable(
                "The storage's answer breaks off.", hint="Try again; look at what lies between."
            )
        return part

    def below(self, prefix: str) -> Iterator[StoredObject]:
        """All objects below a prefix, in the order of their keys.

        Args:
            prefix: one or more whole names, ending with a slash.
        """
        import obstore

        with self._asked():
            for chunk in obstore.list(self._store, prefix, chunk_size=_LISTED):
                for one in chunk:
                    yield StoredObject(
                        one["path"], one["size"], one["e_tag"] or "", one["last_modified"]
                    )

    def delete(self, keys: list[str]) -> None:
        """Removes objects; one that is gone is no error."""
        import obstore

        for start in range(0, len(keys), _LISTED):
            with self._asked():
                try:
                    obstore.delete(self._store, keys[start : start + _LISTED])
                except FileNotFoundError as error:  # of a folder, not of a bucket
                    if code_of(error) == "NoSuchBucket":
                        raise

    def try_again(self) -> None:
        """For who has paused himself: the next request is sent, also where the last one failed."""
        self._rests_until = 0.0

    @contextmanager
    def _asked(self) -> Iterator[None]:
        from obstore import exceptions

        if self._last is not None and time.monotonic() < self._rests_until:
            raise self._last
        try:
            yield
            self._last = None
        except ScreenalyticsError:
            raise
        except FileNotFoundError as error:
            if code_of(error) != "NoSuchBucket":
                raise NoObject from None
            raise self._unavailable(error) from None
        except exceptions.AlreadyExistsError:
            raise ObjectExists from None
        except (exceptions.PreconditionError, exceptions.NotModifiedError):
            raise ObjectChanged from None
        except (exceptions.BaseError, OSError, ValueError) as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: Exception) -> StorageUnavailable:
        self._last = explained(error)
        self._rests_until = time.monotonic() + _RESTS_SECONDS
        return self._last


class _Given:
    """Parts that somebody makes while they are stored; what they raise is remembered."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self.error: Exception | None = None

    def __iter__(self) -> _Given:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise


def _open(url: StorageUrl) -> Any:
    try:
        from obstore.store import LocalStore, S3Store
    except ImportError:
        raise package_missing() from None
    if url.folder is not None:
        return LocalStore(prefix=url.folder, mkdir=True)
    profile, environ = profile_of(), os.environ
    endpoint = (
        environ.get("AWS_ENDPOINT_URL_S3")
        or environ.get("AWS_ENDPOINT_URL")
        or environ.get("AWS_ENDPOINT")
        or profile.endpoint
    )
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or profile.region
    config: Any = {} if endpoint is None else {"endpoint": endpoint}
    config |= {} if region is None else {"region": region}
    return S3Store(
        url.bucket,
        prefix=url.prefix or None,
        config=config,
        client_options={
            "allow_http": (endpoint or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
            "timeout": timedelta(seconds=_REQUEST_SECONDS),
        },
        retry_config={
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=2),
                "base": 2,
            },
        },
        credential_provider=profile if profile.has_keys else None,
    )


def package_missing() -> PackageMissing:
    return PackageMissing(
        "SCREENALYTICS_STORAGE is set, and obstore is not installed.",
        hint="Install it: pip install 'screenalytics-detect-track[storage]'",
    )
