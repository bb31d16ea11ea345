"""Every system in the table: what its module says, what it holds, and where it is."""

import pytest
import torch
from torch import Tensor, nn

from asd_ray.losses.mixing import CUBE
from asd_ray.models import SYSTEMS, build_module
from asd_ray.models.sgram import LogMel, MelSettings
from asd_ray.scoring.anomaly import SCORES

TYPES = ["fan"] * 4 + ["pump"] * 3


def heard(name: str, *, width: float = 0.125) -> tuple[nn.Module, Tensor, Tensor]:
    """A system's module, and what it says of three clips of noise."""
    torch.manual_seed(0)
    module = build_module(name, width=width, class_types=TYPES).eval()
    wave_BL = torch.randn(3, 160_000) * 0.1
    sgram_BFT = LogMel(SYSTEMS[name].mel)(wave_BL)
    with torch.inference_mode():
        embedding_BE, readout_BK = module(wave_BL, sgram_BFT, torch.tensor([0, 3, 5]))
    return module, embedding_BE, readout_BK


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_a_module_says_an_embedding_and_a_readout_of_every_clip(name: str) -> None:
    _, embedding_BE, readout_BK = heard(name)
    assert embedding_BE.shape[0] == readout_BK.shape[0] == 3
    assert embedding_BE.isfinite().all()
    assert readout_BK.isfinite().all()


@pytest.mark.parametrize("name", ["stgram", "tastgram"])
def test_a_classifier_says_128_numbers_and_a_cosine_per_class(name: str) -> None:
    _, embedding_BE, readout_BK = heard(name)
    assert embedding_BE.shape == (3, 128)
    assert readout_BK.shape == (3, len(TYPES))
    assert readout_BK.abs().max() <= 1 + 1e-6


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_what_the_table_names_exists(name: str) -> None:
    system = SYSTEMS[name]
    assert system.numbers <= CUBE
    assert system.score is None or system.score in SCORES
    assert (system.mel.num_mels, system.mel.num_frames) == (128, 313)  # what a bank keeps of each clip


def test_stgram_hears_another_log_mel_than_tastgram() -> None:
    """Liu et al.: n_fft 1024, torchaudio's default scale and norm."""
    mel = SYSTEMS["stgram"].mel
    assert (mel.n_fft, mel.hop, mel.mel_scale, mel.norm) == (1024, 512, "htk", None)
    assert SYSTEMS["tastgram"].mel == MelSettings()


def test_stgram_is_tastgram_less_one_channel() -> None:
    """280,406 weights of the tgram; of MobileFaceNet a third channel less in the first convolution, 64 * 3 * 3."""
    network = SYSTEMS["stgram"].network(width=1.0)
    assert sum(weight.numel() for weight in network.tgram.parameters()) == 280_406
    assert sum(weight.numel() for weight in network.backbone.parameters()) == 876_201 - 5_289 - 576


def test_the_channels_of_stgram_are_sgram_and_tgram() -> None:
    network, seen = SYSTEMS["stgram"].network(width=0.125).eval(), []
    network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    wave_BL, sgram_BFT = torch.randn(2, 160_000), torch.randn(2, 128, 313)
    network(wave_BL, sgram_BFT)
    sgram, tgram = seen[0].unbind(dim=1)
    torch.testing.assert_close(sgram, sgram_BFT)
    torch.testing.assert_close(tgram, network.tgram(wave_BL))
