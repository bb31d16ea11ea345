"""Ray-distributed hyperparameter search for anomalous sound detection."""

__version__ = "0.1.0"
