"""Optuna's studies, one per machine type: the one truth about a search. Knows nothing of Ray.

May import `search.space`, `search.ranges` and what lies above `search`. Start with `studies.Studies`.
"""
