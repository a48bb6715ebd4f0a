"""Settings from the environment: one variable each, or a file that a variable names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from apps.common.errors import InvalidInput
from apps.common.options import ENV_PREFIX

FILE_SUFFIX = "_FILE"


class EnvironmentSettings(BaseSettings):
    """Every field is `SCREENALYTICS_<NAME>`, or what the file `SCREENALYTICS_<NAME>_FILE` holds.

    The file wins: it is how orchestrators hand secrets to a container.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Files(settings_cls), env_settings

    @classmethod
    def read(cls, **given: Any) -> Self:
        """The settings.

        Args:
            given: values that win over the environment's; None where there is none.

        Raises:
            InvalidInput: a variable or its file holds no value of its setting.
        """
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            said = first["msg"].removeprefix("Value error, ")
            message = f"{ENV_PREFIX}{str(first['loc'][0]).upper()}: {said}."
        except SettingsError as error:
            message = str(error)
        raise InvalidInput(message, hint="Correct or unset it, then start again.")

    @classmethod
    def of_environment(cls) -> Self:
        """For a program that can do nothing without: a wrong value ends it with one line."""
        try:
            return cls.read()
        except InvalidInput as error:
            sys.exit(f"error: {error.message}")


class _Files(PydanticBaseSettingsSource):
    """Values of files that variables name."""

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002
        field_name: str,
    ) -> tuple[Any, str, bool]:
        variable = f"{ENV_PREFIX}{field_name.upper()}{FILE_SUFFIX}"
        path = os.environ.get(variable, "")
        if path == "":
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise SettingsError(f"{variable}: the file cannot be read: {reason}.") from None

    def __call__(self) -> dict[str, Any]:
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value is not None}
