"""What a storage refuses, in words of our own: its answers may name keys, and are not passed on."""

from __future__ import annotations

import re

from apps.common.errors import StorageUnavailable

_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_STATUS = re.compile(r"status code: ([0-9]{3})")
_REFUSALS = frozenset(
    {
        *("AccessDenied", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId"),
        *("InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired", "RequestTimeTooSkewed"),
    }
)
_BUSY = frozenset({"SlowDown", "ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded"})


def code_of(error: Exception) -> str | None:
    """The code that S3 gave; None where it gave none."""
    found = _CODE.search(str(error))
    return None if found is None else found[1]


def explained(error: Exception) -> StorageUnavailable:
    """What is told of an error of the library."""
    code, status = code_of(error), _STATUS.search(str(error))
    said = code or (None if status is None else f"status {status[1]}")
    if code == "NoSuchBucket":
        return StorageUnavailable(
            "The bucket of SCREENALYTICS_STORAGE does not exist.", hint="Make it, or correct that."
        )
    refused = {"PermissionDeniedError", "UnauthenticatedError"}
    if code in _REFUSALS or type(error).__name__ in refused:
        return StorageUnavailable(
            f"The storage refuses the credentials ({said or 'no reason given'}).",
            hint="Renew them, or give them the right to list, read, write and delete there.",
        )
    if code in _BUSY or (status is not None and status[1] in ("429", "503")):
        return StorageUnavailable(
            f"The storage has too much to do ({said}).", hint="Try again in a minute."
        )
    if said is not None:
        return StorageUnavailable(
            f"The storage answers with an error ({said}).", hint="Try again; look at its state."
        )
    if type(error).__name__ == "InvalidPathError":
        return StorageUnavailable(
            "The storage has an object whose key is no path, and cannot be listed.",
            hint="Remove what was put there by hand: a part of its key is empty, '.' or '..', or "
            "has a control character.",
        )
    return StorageUnavailable(
        "The storage does not answer, or no credentials for it are found.",
        hint="Look at its address, the network and the credentials, then try again.",
    )
