"""On an NVIDIA GPU: wherever the clips are kept, the same training."""

from collections.abc import Callable

import pytest
import torch

from asd_ray.data.bank import place
from asd_ray.data.resident import Batch, Resident
from asd_ray.training.loop import Training, fit

MakeTraining = Callable[..., Training]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")


def test_a_batch_goes_to_a_device_and_stays_where_it_is(clips: Resident) -> None:
    batch = clips.gather(clips.labels.where(splits={"valid"}, machine_types={"fan"}))
    moved = batch.to(torch.device("meta"))
    assert isinstance(moved, Batch)
    assert {tensor.device.type for tensor in moved} == {"meta"}
    assert all(one is other for one, other in zip(batch, batch.to(torch.device("cpu")), strict=True))


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
