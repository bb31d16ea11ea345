"""Anomaly scores, thresholds, metrics and which labels may be used for what."""
