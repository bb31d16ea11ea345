"""Lanes: warm groups of Ray Train workers that hold the clips and train one trial after another.

It may import `training` and what stands above it; it knows nothing of studies.
Start with `opening` (lanes come up), then read `link` (the end that commands) and `serve` (the end that works).
"""
