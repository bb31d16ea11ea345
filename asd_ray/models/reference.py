"""Loads weights of the published TASTgram code under our names."""

import re
from collections.abc import Mapping

from torch import Tensor

from asd_ray.errors import InputError
from asd_ray.models.classifier import Classifier

# Pattern of a published name -> our name; the first match counts. The published code spells it `conv_extrctor`.
_NAMES = (
    (r"arcface\.weight", "head.weight_CE"),
    (r"tgramnet\.conv_extrctor\.(.+)", r"network.tgram.extract.\1"),
    (r"tgramnet\.conv_encoder\.(.+)", r"network.tgram.encode.\1"),
    (r"mobilefacenet\.blocks\.(\d+)\.conv\.0\.(.+)", r"network.backbone.blocks.\1.expand.conv.\2"),
    (r"mobilefacenet\.blocks\.(\d+)\.conv\.1\.(.+)", r"network.backbone.blocks.\1.expand.norm.\2"),
    (r"mobilefacenet\.blocks\.(\d+)\.conv\.2\.(.+)", r"network.backbone.blocks.\1.expand.activation.\2"),
    (r"mobilefacenet\.blocks\.(\d+)\.conv\.3\.(.+)", r"network.backbone.blocks.\1.depthwise.conv.\2"),
    (r"mobilefacenet\.blocks\.(\d+)\.conv\.4\.(.+)", r"network.backbone.blocks.\1.depthwise.norm.\2"),
    (r"mobilefacenet\.blocks\.(\d+)\.conv\.5\.(.+)", r"network.backbone.blocks.\1.depthwise.activation.\2"),
    (r"mobilefacenet\.blocks\.(\d+)\.conv\.6\.(.+)", r"network.backbone.blocks.\1.project.conv.\2"),
    (r"mobilefacenet\.blocks\.(\d+)\.conv\.7\.(.+)", r"network.backbone.blocks.\1.project.norm.\2"),
)
_LAYERS = {
    "conv1": "stem",
    "dw_conv1": "stem_depthwise",
    "conv2": "last",
    "linear7": "pool",
    "linear1": "embed",
}
_PARTS = {"conv": "conv", "bn": "norm", "prelu": "activation"}
_UNUSED = re.compile(r"mobilefacenet\.fc_out\.(weight|bias)")  # a second classifier that no loss reaches


def our_name(published: str) -> str | None:
    """Our name of a published tensor; None where there is none.

    >>> our_name("mobilefacenet.linear7.bn.running_var")
    'network.backbone.pool.norm.running_var'
    """
    for pattern, ours in _NAMES:
        if match := re.fullmatch(pattern, published):
            return match.expand(ours)
    match = re.fullmatch(r"mobilefacenet\.(\w+)\.(\w+)\.(\w+)", published)
    if match is None or match[1] not in _LAYERS or match[2] not in _PARTS:
        return None
    return f"network.backbone.{_LAYERS[match[1]]}.{_PARTS[match[2]]}.{match[3]}"


def load_reference_state_dict(classifier: Classifier, state: Mapping[str, Tensor]) -> None:
    """Copy the `state_dict` of the published TASTgramMFN into a `tastgram` classifier of width 1.

    Raises InputError, naming the tensors, where one is missing, has another shape or has no counterpart; then the
    classifier stays unchanged.
    """
    wanted = classifier.state_dict()
    renamed: dict[str, Tensor] = {}
    published_name: dict[str, str] = {}
    faults: list[str] = []
    for published, tensor in state.items():
        if _UNUSED.fullmatch(published):
            continue
        ours = our_name(published)
        if ours is None or ours not in wanted:
            faults.append(f"{published} has no place in this network")
            continue
        published_name[ours] = published
        renamed[ours] = tensor
    for name, tensor in wanted.items():
        if name not in renamed:
            faults.append(f"{name} is missing")
        elif renamed[name].shape != tensor.shape:
            found, expected = tuple(renamed[name].shape), tuple(tensor.shape)
            faults.append(f"{published_name[name]} has shape {found}, here it is {expected}")
    if faults:
        shown = "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise InputError(
            f"published weights: {shown}; use a state_dict of TASTgramMFN with as many classes, width 1.0"
        )
    classifier.load_state_dict(renamed)
