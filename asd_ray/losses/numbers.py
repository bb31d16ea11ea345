"""Which numbers act on which loss. Without torch: what is searched is known before losses are imported."""

CUBE = frozenset({"margin", "scale", "mixup_alpha", "noise_prob", "mix_prob"})  # that span the loss cube
ONE_STAGE = CUBE | {"temperature"}
TWO_STAGES = frozenset({"margin", "scale", "temperature", "pretraining"})
