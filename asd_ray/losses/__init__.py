"""The losses that networks are trained with: angular margins, the loss cube, contrastive terms.

It may import `errors` alone: a loss sees tensors, and knows nothing of networks, clips or searches.
Start with `system_loss.SystemLoss`, the interface of every loss; `mixing.cube_loss` is the published one.
"""
