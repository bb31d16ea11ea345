"""One training step, compiled if that pays: mix a batch, pass it through the module, take the loss. No ray.

Axes: B batch, E embedding, K columns of a readout.
"""

import functools
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asd_ray.config import RunConfig, TrainConfig
from asd_ray.data.resident import PCM_SCALE, Batch
from asd_ray.losses.mixing import LossTensors, Mix, mix_clips
from asd_ray.losses.system_loss import Said, SystemLoss
from asd_ray.models import find_system
from asd_ray.models.precision import precision_of

# SPARED_S: seconds that a compiled step saves per clip, for a network of width 1. On a CPU it saves 0.04 with AVX2
# and 0.1 with AVX-512; on a GPU it saves launches, some 0.1 ms per clip. COMPILE_S: seconds that compiling takes
# if its results are not in torch's cache yet. (Figures for 2 cores; docs/LOG.md.)
SPARED_S = {"cpu": 0.04, "cuda": 1e-4}
COMPILE_S = 60.0

# Compute a value again wherever it is used, even from many numbers: writing and reading it takes longer.
CPU_COMPILER: dict[str, Any] = {"realize_reads_threshold": 16, "realize_opcount_threshold": 60}

BatchLoss = Callable[..., Tensor]


def has_compiler(device: torch.device) -> bool:
    """Whether torch can compile. A CPU needs a C++ compiler and Python's headers; a GPU needs torch's Triton."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return device.type != "cpu" or (headers.exists() and any(map(shutil.which, ("g++", "clang++"))))


def compiles(config: RunConfig, *, clips: int, device: torch.device) -> bool:
    """Whether a trial with this many training clips compiles its steps.

    `auto` compiles if that saves a trial more than twice the time that compiling takes. This follows from the
    config and the corpus, so every lane, and every later call, decides alike.
    """
    train = config.train
    if train.compile != "auto":
        return train.compile == "always"
    spared = SPARED_S.get(device.type, 0.0) * config.model.width * train.epochs * clips
    return find_system(config.model.name).compiles and spared > 2 * COMPILE_S and has_compiler(device)


def batch_loss(
    trained: nn.Module,
    batch: Batch,
    mix: Mix,
    *,
    system_loss: SystemLoss,
    numbers: LossTensors,
    train: TrainConfig,
    part: slice,
) -> Tensor:
    """The mean loss of one worker's clips: the `part` of a batch; their partners may lie in other parts."""
    # Scale here, and not while gathering the batch: that would take one more pass over 40 MB.
    wave_BL = mix_clips(batch.pcm_BL, mix, gain=PCM_SCALE)[part]
    sgram_BFT = mix_clips(batch.sgram_BFT, mix)[part]
    with precision_of(train, wave_BL.device):
        embedding_BE, readout_BK = trained(wave_BL, sgram_BFT, batch.class_B[part])
    said = Said(embedding_BE, readout_BK, batch.class_B[part], batch.class_B[mix.partner_B][part], mix.lam_B[part])
    return system_loss.loss(said, numbers).mean()


@functools.cache
def compiled_batch_loss(device_type: str) -> BatchLoss:
    """`batch_loss` compiled, once per process: trials that differ only in weights and numbers share its graphs."""
    if device_type == "cuda":  # records a graph of all launches, and replays it as one
        return torch.compile(batch_loss, dynamic=False, mode="reduce-overhead")
    return torch.compile(batch_loss, dynamic=False, options=CPU_COMPILER)
