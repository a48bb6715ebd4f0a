"""Track quality as a measured thing: the parts of `tools/evaluate.py`."""
