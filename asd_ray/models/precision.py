"""With how many bits networks compute: float32, TF32 or bfloat16, as the config has it. No ray."""

import torch

from asd_ray.config import TrainConfig


def has_bfloat16(device: torch.device) -> bool:
    """Whether a processor has instructions for it, x86 since AVX-512; without, a step takes many times as long."""
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def set_precision(train: TrainConfig, device: torch.device) -> None:
    """How a GPU multiplies float32: in full, unless the config asks for TF32. Holds for the whole process."""
    if device.type == "cuda":
        precision = "tf32" if train.precision == "tf32" else "ieee"
        torch.backends.cuda.matmul.fp32_precision = precision
        torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]


def precision_of(train: TrainConfig, device: torch.device) -> torch.autocast:
    """The context in which a network computes: bfloat16, if asked for, is for it alone, not for head and loss."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=train.precision == "bfloat16")
