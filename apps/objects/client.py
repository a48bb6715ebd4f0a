"""From an address to the library that asks the storage: obstore."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from apps.common.errors import PackageMissing
from apps.common.storage_url import StorageUrl
from apps.objects.credentials import profile_of

_CONNECT_SECONDS = 4
_REQUEST_SECONDS = 60  # for a part: 270 kB/s
_RETRIES = 3  # of one request, with pauses of 0.1, 0.2 and 0.4 s or so
_RETRY_SECONDS = 20


def opened(url: StorageUrl) -> Any:
    """The library's store; nothing is asked yet.

    Raises:
        PackageMissing: obstore is not installed.
        InvalidInput: AWS_PROFILE names no profile.
    """
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
    """What is told where obstore is not installed."""
    return PackageMissing(
        "SCREENALYTICS_STORAGE is set, and obstore is not installed.",
        hint="Install it: pip install 'screenalytics-detect-track[storage]'",
    )
