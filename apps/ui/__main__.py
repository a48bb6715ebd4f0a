"""Starts the page as it is meant to run: `screenalytics page`, `python -m apps.ui`.

It is `streamlit run apps/ui/app.py` with its options, and with limits for slow clients.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        usage="%(prog)s [options of Streamlit]",
        description="Serves the page, for the web service at SCREENALYTICS_API_URL.",
        epilog="Options are those of `streamlit run`, such as --server.port N and "
        "--server.address HOST; `streamlit run --help` lists them.",
        allow_abbrev=False,
    )


def main() -> None:
    _, rest = parser().parse_known_args()

    from streamlit.web.cli import main as streamlit
    from uvicorn.config import HTTP_PROTOCOLS

    from apps.web.connections import CONNECTION

    HTTP_PROTOCOLS["auto"] = CONNECTION  # Streamlit has no option for it
    streamlit(["run", str(Path(__file__).with_name("app.py")), *rest])


if __name__ == "__main__":
    main()
