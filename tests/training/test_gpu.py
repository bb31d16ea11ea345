"""On an NVIDIA GPU: wherever the clips are kept, the same training."""

from collections.abc import Callable

import pytest
import torch

from asd_ray.data.bank import place
from asd_ray.data.resident import Resident
from asd_ray.training.loop import Training, fit

MakeTraining = Callable[..., Training]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("resident", ["shared", "device"])
def test_a_gpu_trains_on_clips_in_host_memory_and_in_its_own(
    clips: Resident, make_training: MakeTraining, resident: str
) -> None:
    device = torch.device("cuda")
    on_cpu = [result.train_loss for result in fit(make_training(), score_at=())]
    kept = place(clips, resident, device)
    on_gpu = [result.train_loss for result in fit(make_training(clips=kept, device=device), score_at=())]
    assert on_gpu == pytest.approx(on_cpu, rel=0.02)
