"""Flower, a look into the queue that is never open: `python -m apps.worker.flower`.

Name and password are `FLOWER_BASIC_AUTH`, else `screenalytics` and the API's key. Further
arguments are Flower's.
"""

from __future__ import annotations

import os
import sys

from apps.common.settings import Settings

AUTH_VARIABLE = "FLOWER_BASIC_AUTH"
USER = "screenalytics"


def main() -> None:
    if os.environ.get(AUTH_VARIABLE, "") == "":
        key = Settings.of_environment().api_key
        if key is None or "," in key.get_secret_value():  # Flower would take that for two
            sys.exit(
                f"error: Flower needs a password. Set {AUTH_VARIABLE} to name:password, or "
                "SCREENALYTICS_API_KEY to a key without a comma."
            )
        os.environ[AUTH_VARIABLE] = f"{USER}:{key.get_secret_value()}"
    flower = ["celery", "-A", "apps.worker.celery_app", "flower"]
    os.execv(sys.executable, [sys.executable, "-m", *flower, *sys.argv[1:]])


if __name__ == "__main__":
    main()
