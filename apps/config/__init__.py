"""Defaults of runs, the registry of models and thresholds of the pipeline, as TOML."""
