"""Lanes: warm groups of Ray Train workers that hold the clips and train one trial after another.

May import `training` and all above it; knows nothing of studies. Start with `opening`, then `link` and `serve`.
"""
