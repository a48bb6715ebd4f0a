#!/usr/bin/env python3
"""`screenalytics run`."""

import sys

from apps.cli.episode_run import main

if __name__ == "__main__":
    sys.exit(main())
