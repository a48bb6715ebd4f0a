"""What the models of files and events share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Readable(BaseModel):
    """A file that an older or newer version may have written: unknown fields are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")
