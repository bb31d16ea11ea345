"""Trackers, which copy the curves of a search to TensorBoard, MLflow or Weights & Biases.

It may import `report` and what stands above it. A tracker that fails never stops a search.
Start with `tracker.Tracker`, the interface of every tracker; `desk` runs each of them in its own thread.
"""
