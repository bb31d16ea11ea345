"""A step: eager, compiled or in bfloat16, it is the same step."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.resident import Resident
from asd_ray.losses.mixing import LossPoint, Mix, draw_mix
from asd_ray.training.loop import Training
from asd_ray.training.step import BatchLoss, batch_loss, compiled_batch_loss, compiles, has_compiler

CPU = torch.device("cpu")
MakeTraining = Callable[..., Training]
NEEDS_COMPILER = pytest.mark.skipif(not has_compiler(CPU), reason="no C++ compiler, or no headers of Python, here")
TORCHS_OWN = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")


def mix_of(seed: int) -> Mix:
    return draw_mix(np.random.default_rng(seed), 8, mixup_alpha=0.5, mix_prob=1.0)


def loss_and_gradient(
    training: Training, loss_of: BatchLoss, *, part: slice = slice(None)
) -> tuple[float, Tensor]:
    """Of the first eight training clips; the gradient of all weights as one vector."""
    training.trained.train()
    training.optimizer.zero_grad(set_to_none=True)
    batch = training.clips.gather(training.train_index[:8])
    loss = loss_of(
        training.trained,
        batch,
        mix_of(0),
        system_loss=training.system.loss,
        numbers=training.loss.tensors(),
        train=training.config.train,
        part=part,
    )
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [weight.grad.flatten() for weight in training.module.parameters() if weight.grad is not None]
    return loss.item(), torch.cat(gradients)


def in_double_precision(training: Training) -> Tensor:
    """The gradient with the network in float64 (the head stays in float32)."""
    training.module.network.double()
    batch = training.clips.gather(training.train_index[:8])
    doubled = batch._replace(pcm_BL=batch.pcm_BL.double(), sgram_BFT=batch.sgram_BFT.double())
    training.clips.gather = lambda index_B: doubled  # type: ignore[method-assign]
    return loss_and_gradient(training, batch_loss)[1]


def distance(one: Tensor, other: Tensor) -> float:
    """Relative to the second."""
    return float(torch.linalg.vector_norm(one - other) / torch.linalg.vector_norm(other))


@pytest.mark.extra
@NEEDS_COMPILER
@TORCHS_OWN
def test_a_compiled_step_has_the_loss_and_the_gradient_of_the_eager_one(
    make_training: MakeTraining, clips: Resident
) -> None:
    """Rounding alone keeps two float32 gradients apart, and the eager one is farther from the exact one."""
    eager_distances, compiled_distances = [], []
    for seed in (1, 2, 3):
        settings = f"train.seed={seed}"
        loss, gradient = loss_and_gradient(make_training(settings), batch_loss)
        compiled, found = loss_and_gradient(make_training(settings), compiled_batch_loss("cpu"))
        exact = in_double_precision(make_training(settings, clips=copy.copy(clips)))
        assert compiled == pytest.approx(loss, rel=1e-5)
        eager_distances.append(distance(gradient, exact))
        compiled_distances.append(distance(found, exact))
    assert np.mean(eager_distances) < 0.01
    assert np.mean(compiled_distances) < np.mean(eager_distances)


@pytest.mark.extra
@NEEDS_COMPILER
@TORCHS_OWN
def test_trials_that_differ_in_their_numbers_share_the_compiled_step(make_training: MakeTraining) -> None:
    """One graph serves every point of the loss cube, and every network of the same shape."""
    loss_of = torch.compile(batch_loss, dynamic=False, backend="aot_eager")  # traced as ever, run as it is
    loss_and_gradient(make_training(), loss_of)
    with torch.compiler.set_stance("fail_on_recompile"):
        for settings in (("loss.margin=0.1", "loss.scale=8.0"), ("loss.noise_prob=0.3", "train.seed=7")):
            loss, _ = loss_and_gradient(make_training(*settings), batch_loss)
            compiled, _ = loss_and_gradient(make_training(*settings), loss_of)
            assert compiled == pytest.approx(loss, rel=1e-5)


def test_the_parts_of_two_workers_together_are_the_batch(make_training: MakeTraining) -> None:
    """The loss of each part, by a network without batch norm's statistics of the whole batch."""
    training = make_training()
    training.trained.forward = (
        lambda wave_BL, sgram_BFT, class_B: (  # type: ignore[method-assign]
            None,
            torch.nn.functional.normalize(sgram_BFT.mean(dim=2)[:, :4]).requires_grad_(),
        )
    )
    batch = training.clips.gather(training.train_index[:8])

    def loss(part: slice) -> float:
        arguments = {"numbers": training.loss.tensors(), "train": training.config.train, "part": part}
        return batch_loss(training.trained, batch, mix_of(0), system_loss=training.system.loss, **arguments).item()

    assert (loss(slice(0, None, 2)) + loss(slice(1, None, 2))) / 2 == pytest.approx(loss(slice(None)), rel=1e-6)


def test_bfloat16_rounds_the_network_and_not_the_loss(make_training: MakeTraining) -> None:
    loss, gradient = loss_and_gradient(make_training(), batch_loss)
    training = make_training("train.precision=bfloat16")
    rounded, found = loss_and_gradient(training, batch_loss)
    assert rounded != loss
    assert rounded == pytest.approx(loss, rel=0.02)
    assert torch.nn.functional.cosine_similarity(found, gradient, dim=0) > 0.8
    assert {weight.dtype for weight in training.module.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("settings", "clips", "expected"),
    [
        (["train.compile=always"], 1, True),
        (["train.compile=never"], 10**6, False),
        ([], 20_119, has_compiler(CPU)),  # the published training
        (["train.epochs=9", "model.width=0.125"], 216, False),  # `make tune`
    ],
)
def test_a_step_is_compiled_where_that_pays(settings: list[str], clips: int, *, expected: bool) -> None:
    assert compiles(replace_settings(RunConfig(), settings), clips=clips, device=CPU) is expected


def test_the_numbers_of_a_loss_are_tensors_in_a_step() -> None:
    """As constants they would each need a graph of their own."""
    point = LossPoint(margin=0.7, scale=30.0, mixup_alpha=0.5)
    assert all(isinstance(number, Tensor) and number.ndim == 0 for number in point.tensors())
