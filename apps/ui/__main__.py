"""Starts the page as it is meant to run: `screenalytics page`, `python -m apps.ui`.

It is `streamlit run apps/ui/app.py` with its options, and with limits for slow clients.
"""

from __future__ import annotations

import sys
from pathlib import Path

from streamlit.web.cli import main as streamlit
from uvicorn.config import HTTP_PROTOCOLS

from apps.web.connections import CONNECTION


def main() -> None:
    HTTP_PROTOCOLS["auto"] = CONNECTION  # Streamlit has no option for it
    streamlit(["run", str(Path(__file__).with_name("app.py")), *sys.argv[1:]])


if __name__ == "__main__":
    main()
