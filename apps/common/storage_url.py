"""Where objects are stored, as SCREENALYTICS_STORAGE says it: a bucket, or a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FORMS = "it must be like s3://bucket/prefix, or a folder by its whole path"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9._\-]+(/[A-Za-z0-9._\-]+)*")


@dataclass(frozen=True)
class StorageUrl:
    """A bucket of S3, or of what speaks like it, with a prefix; or a folder that hosts share.

    Attributes:
        bucket: its name; empty for a folder.
        prefix: under which all objects lie; empty for none.
        folder: by its whole path; None for a bucket.
    """

    bucket: str
    prefix: str
    folder: Path | None

    @classmethod
    def parse(cls, text: str) -> StorageUrl:
        """Reads the setting.

        Raises:
            ValueError: it names neither; says why, and shows none of it: there may be a key in it.
        """
        scheme, sign, rest = text.partition("://")
        if not sign or scheme == "file":
            folder = Path(rest if sign else text)
            if not folder.is_absolute():
                raise ValueError(f"is neither a bucket nor a whole path; {_FORMS}")
            return cls("", "", folder)
        if scheme != "s3":
            raise ValueError(f"is of a kind that is not known; {_FORMS}")
        bucket, _, prefix = rest.partition("/")
        prefix = prefix.strip("/")
        if _BUCKET.fullmatch(bucket) is None or "@" in rest or "?" in rest:
            raise ValueError(f"names no bucket, or more than that and a prefix; {_FORMS}")
        names_up = {".", ".."} & set(prefix.split("/"))
        if prefix and (_PREFIX.fullmatch(prefix) is None or names_up):
            raise ValueError(f"has a prefix of other characters than A-Z a-z 0-9 . _ - /; {_FORMS}")
        return cls(bucket, prefix, None)
