"""Generated test episodes: moving views over real photos, with an exact ground truth.

``scene`` describes shots and knows the geometry, ``encode`` writes video and truth files.
Nothing in here is imported by the product; only the command lines in ``tools`` and tests use it.
"""
