"""Optuna's studies, one per machine type: the one truth about a search, and all that it resumes from.

It may import `search.space`, `search.ranges` and what stands above `search`; it knows nothing of Ray.
Start with `studies.Studies`: `ask`, `report` and `tell` are its life.
"""
