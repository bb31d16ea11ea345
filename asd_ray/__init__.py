"""Ray-distributed hyperparameter search for anomalous sound detection.

`api` has the commands as functions. docs/architecture.md shows the packages and follows one trial through them.
Each package says in its first lines what lives there, what it may import and where to start reading; "what
stands above" refers to the list of layers in tests/test_layers.py.
"""

__version__ = "0.1.0"
