"""Which numbers act on which loss. Without torch, so that a search is defined before losses are imported."""

CUBE = frozenset({"margin", "scale", "mixup_alpha", "noise_prob", "mix_prob"})  # these span the loss cube
ONE_STAGE = CUBE | {"temperature"}
TWO_STAGES = frozenset({"margin", "scale", "temperature", "pretraining"})
