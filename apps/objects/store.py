"""One bucket, or a folder in its place. With `client` the only module that knows obstore.

What it cannot do becomes `StorageUnavailable`, in words of its own: the storage's answers may
name keys, and are not passed on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.common.errors import ScreenalyticsError, StorageUnavailable
from apps.common.storage_url import StorageUrl
from apps.objects.client import opened
from apps.objects.refusals import code_of, explained

PART_BYTES = 16 << 20  # of a large object, a request; the longest object has 10,000
_AT_ONCE = 4  # parts: 64 MB of memory
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
        self._store = opened(url)
        self._rests_until = 0.0
        self._last: StorageUnavailable | None = None

    def put(self, key: str, body: bytes | Iterable[bytes], *, create: bool = False) -> str:
        """Stores an object as a whole; a large one in parts.

        Args:
            create: it must be new; then of one part only.

        Returns:
            Its ETag; empty where the storage keeps it to itself, as Ceph does with that of parts.

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
            ObjectChanged: it is another one by now, or gone.
        """
        try:
            try:
                return self._replace(key, body, e_tag)
            except ObjectChanged:
                bare = e_tag.strip('"')
                if bare == e_tag or self.find(key).e_tag != e_tag:
                    raise
                return self._replace(key, body, bare)  # Ceph compares with it less its quotes
        except NoObject:
            raise ObjectChanged from None

    def _replace(self, key: str, body: bytes, e_tag: str) -> str:
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
