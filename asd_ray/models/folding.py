"""Networks for reading, not for training: each batch norm is folded into the convolution before it."""

import copy
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode, in which a convolution followed by a batch norm is one convolution.

    In evaluation, a batch norm multiplies by and adds constants, as a convolution does, so the result differs by
    rounding alone, and one pass over every feature is saved. The network itself stays unchanged.
    """
    copied = copy.deepcopy(network).eval()
    for block in copied.modules():
        if isinstance(block, nn.Sequential):
            _fold(block)
    return copied


def _fold(block: nn.Sequential) -> None:
    names = list(block._modules)
    for name, following in pairwise(names):
        conv, norm = block._modules[name], block._modules[following]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            block._modules[name] = fuse_conv_bn_eval(conv, norm)
            block._modules[following] = nn.Identity()
