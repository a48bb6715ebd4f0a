"""Flower, a look into the queue that is never open: `python -m apps.worker.flower`.

Name and password are `FLOWER_BASIC_AUTH`, else `screenalytics` and the API's key. Further
arguments are Flower's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from pydantic import SecretStr

from apps.common.settings import Settings

AUTH_VARIABLE = "FLOWER_BASIC_AUTH"
USER = "screenalytics"


def basic_auth(environ: Mapping[str, str], api_key: SecretStr | None) -> str:
    """Name and password, or an empty text where there is none to ask for.

    Args:
        environ: the environment.
        api_key: of the API.
    """
    given = environ.get(AUTH_VARIABLE, "")
    if given != "":
        return given
    key = "" if api_key is None else api_key.get_secret_value()
    return "" if key == "" or "," in key else f"{USER}:{key}"  # Flower takes a comma for two


def main() -> None:
    auth = basic_auth(os.environ, Settings.of_environment().api_key)
    if auth == "":
        sys.exit(
            f"error: Flower needs a password. Set {AUTH_VARIABLE} to name:password, or "
            "SCREENALYTICS_API_KEY to a key without a comma."
        )
    os.environ[AUTH_VARIABLE] = auth
    flower = ["celery", "-A", "apps.worker.celery_app", "flower"]
    os.execv(sys.executable, [sys.executable, "-m", *flower, *sys.argv[1:]])


if __name__ == "__main__":
    main()
