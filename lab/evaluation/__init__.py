"""Track quality as a measured thing: the parts of `lab/evaluate.py`."""

from lab import development

development.require("defusedxml", "scenedetect", "supervision", "trackers")
