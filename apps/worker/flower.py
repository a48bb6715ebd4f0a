"""Flower, a look into the queue that is never open: `python -m apps.worker.flower`.

Name and password are `FLOWER_BASIC_AUTH`, else `screenalytics` and the API's key. Further
arguments are Flower's.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec

from pydantic import SecretStr

from apps.common.settings import Settings

AUTH_VARIABLE = "FLOWER_BASIC_AUTH"
USER = "screenalytics"


def basic_auth(environ: Mapping[str, str], api_key: SecretStr | None) -> str:
    """Name and password, or an empty text where there is none to ask for.

    Args:
        environ: the environment.
        api_key: the API's; it is the password where FLOWER_BASIC_AUTH gives none.
    """
    given = environ.get(AUTH_VARIABLE, "")
    if given != "":
        return given
    key = "" if api_key is None else api_key.get_secret_value()
    return "" if key == "" or "," in key else f"{USER}:{key}"  # Flower takes a comma for two


def parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        usage="%(prog)s [options of Flower]",
        description="Serves a look into the queue. It needs the extra `flower`, and a password: "
        f"{AUTH_VARIABLE} (name:password), else that of `{USER}` is SCREENALYTICS_API_KEY.",
        allow_abbrev=False,
    )


def main() -> None:
    parser().parse_known_args()
    auth = basic_auth(os.environ, Settings.of_environment().api_key)
    if auth == "":
        sys.exit(
            f"error: Flower needs a password. Set {AUTH_VARIABLE} to name:password, or "
            "SCREENALYTICS_API_KEY to a key without a comma."
        )
    if find_spec("flower") is None:
        sys.exit("error: Flower is not installed. Install the extra `flower` (docs/install.md).")
    os.environ[AUTH_VARIABLE] = auth
    flower = ["celery", "-A", "apps.worker.celery_app", "flower"]
    os.execv(sys.executable, [sys.executable, "-m", *flower, *sys.argv[1:]])


if __name__ == "__main__":
    main()
