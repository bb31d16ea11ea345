"""From a network's outputs to a decision: scores, thresholds, metrics, intervals, protocols, detectors.

It may import `models` and what stands above it; it knows nothing of training loops, Ray or studies.
Start with `scores`, the ways to read a network, then read `protocol`, which says what each label may be used for.
"""
