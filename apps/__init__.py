"""Screenalytics Detect/Track. What is set here holds before any library is imported."""

import os

__version__ = "0.1.0"

# ONNX Runtime from 1.29 on reports its use over the network and keeps an id of the machine in the
# user's cache. It reads this when it is loaded; `disable_telemetry_events()` comes too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# A thread that OpenBLAS makes spins for a tenth of a second before it sleeps, and nothing here
# multiplies matrices that are worth a second one.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# For plugins, Pydantic would read what every installed package says of itself: at each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
