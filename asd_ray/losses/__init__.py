"""Angular-margin logits and the loss cube."""
