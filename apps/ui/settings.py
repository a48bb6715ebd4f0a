"""Where the page finds the API: the environment, read once."""

from __future__ import annotations

from pydantic import AnyHttpUrl, Field, field_validator

from apps.common.settings import HostSettings


class PageSettings(HostSettings):
    """Settings of the page."""

    api_url: str = Field("http://127.0.0.1:8000", description="Address of the API, for the page.")

    @field_validator("api_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        AnyHttpUrl(value)
        return value

    @property
    def base_url(self) -> str:
        return self.api_url.rstrip("/")

    @property
    def headers(self) -> dict[str, str]:
        """What every request to the API brings."""
        return {} if self.api_key is None else {"X-API-Key": self.api_key.get_secret_value()}
