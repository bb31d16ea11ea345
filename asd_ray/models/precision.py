"""The precision in which networks compute: float32, TF32 or bfloat16, as the config says. Without Ray."""

import torch

from asd_ray.config import TrainConfig


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for it (x86 since AVX-512); without, a step takes many times as long."""
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def set_precision(train: TrainConfig, device: torch.device) -> None:
    """Make GPUs multiply float32 in full, or as TF32 if the config says so. This affects the whole process."""
    if device.type == "cuda":
        precision = "tf32" if train.precision == "tf32" else "ieee"
        torch.backends.cuda.matmul.fp32_precision = precision
        torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]


def precision_of(train: TrainConfig, device: torch.device) -> torch.autocast:
    """The context in which a network computes; bfloat16, if set, is for the network only, not head and loss."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=train.precision == "bfloat16")
