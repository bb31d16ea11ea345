"""Optuna's studies, one per machine type: the one truth about a search, which resumes from them alone.

It may import `search.space`, `search.ranges` and what stands above `search`; it knows nothing of Ray.
Start with `studies.Studies`: `ask`, `report` and `tell` drive it.
"""
