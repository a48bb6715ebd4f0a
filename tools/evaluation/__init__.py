"""Track quality as a measured thing: the parts of `tools/evaluate.py`."""

from tools import development

development.require("defusedxml", "scenedetect", "supervision", "trackers")
