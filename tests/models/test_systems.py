"""Every system in the table: what its module says, what it holds, and where it is."""

import pytest
import torch
from torch import Tensor, nn

from asd_ray.clip import NUM_FRAMES
from asd_ray.config import TUNABLE
from asd_ray.errors import InputError
from asd_ray.models import SYSTEMS, build_module, check_class_types, check_packages
from asd_ray.models.sgram import LogMel, MelSettings
from asd_ray.scoring.scores import SCORES
from tests.hidden import hidden

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


@pytest.mark.parametrize("name", sorted(name for name, system in SYSTEMS.items() if system.score is None))
def test_a_classifier_says_128_numbers_and_a_cosine_per_class(name: str) -> None:
    _, embedding_BE, readout_BK = heard(name)
    assert embedding_BE.shape == (3, 128)
    assert readout_BK.shape == (3, len(TYPES))
    assert readout_BK.abs().max() <= 1 + 1e-6


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_what_the_table_names_exists(name: str) -> None:
    system = SYSTEMS[name]
    assert all(TUNABLE[number][0] == "loss" for number in system.numbers)
    assert system.score is None or system.score in SCORES
    assert system.mel.num_frames == NUM_FRAMES  # log-mels of all systems are kept one above the other
    assert all(number in system.numbers for number in system.start)


def test_stgram_hears_another_log_mel_than_tastgram() -> None:
    """Liu et al.: n_fft 1024, torchaudio's default scale and norm."""
    mel = SYSTEMS["stgram"].mel
    assert (mel.n_fft, mel.hop, mel.mel_scale, mel.norm) == (1024, 512, "htk", None)
    assert SYSTEMS["tastgram"].mel == MelSettings()


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("ae", 267_928),  # of the baseline's 269,992 the moving statistics of batch norm are no parameters here
        ("idnn", 185_496),
        ("mobilenetv2", 692_804),  # torchvision's at width 0.5, four ids
    ],
)
def test_a_network_of_one_machine_type_has_the_published_size(name: str, published: int) -> None:
    network = SYSTEMS[name].network(width=1.0, num_ids=4)
    assert sum(weight.numel() for weight in network.parameters()) == published


@pytest.mark.parametrize(("name", "embedding"), [("ae", 8), ("idnn", 8), ("mobilenetv2", 1280), ("glow_aff", 1)])
def test_a_network_per_machine_type_says_its_error_and_its_evidence(name: str, embedding: int) -> None:
    module, embedding_BE, readout_BK = heard(name)
    assert embedding_BE.shape == (3, embedding)
    assert readout_BK.shape == (3, 2)
    assert len(module.networks) == 2


def test_every_clip_is_heard_by_the_network_of_its_machine_type_alone() -> None:
    """Clip 1 is of the other type than 0 and 2: its neighbours and its place do not change what is said of it."""
    torch.manual_seed(0)
    module = build_module("mobilenetv2", width=0.125, class_types=TYPES).eval()
    sgram_BFT, class_B = torch.randn(3, 128, 313) * 10 - 30, torch.tensor([0, 5, 2])
    with torch.inference_mode():
        _, whole_BK = module(sgram_BFT, sgram_BFT, class_B)
        alone = [
            module.networks[index](sgram_BFT[row][None], torch.tensor([number]))[1]
            for row, index, number in ((0, 0, 0), (1, 1, 1), (2, 0, 2))
        ]
    torch.testing.assert_close(whole_BK, torch.cat(alone), rtol=1e-4, atol=1e-4)
    error = whole_BK[:, 0].exp()  # 1 / p; the evidence is log((1 - p) / p), their means over patches are near
    torch.testing.assert_close(whole_BK[:, 1], (error - 1).log(), rtol=0, atol=0.05)


def test_a_type_without_clips_in_a_batch_has_a_gradient_of_zero() -> None:
    module = build_module("idnn", width=0.125, class_types=TYPES)
    _, readout_BK = module(torch.zeros(2, 1), torch.randn(2, 128, 313), torch.tensor([0, 1]))
    readout_BK[:, 0].mean().backward()
    assert all(weight.grad is not None for weight in module.parameters())
    fan, pump = (sum(weight.grad.abs().sum() for weight in network.parameters()) for network in module.networks)
    assert fan > 0
    assert pump == 0


def test_telling_ids_apart_needs_two_of_them() -> None:
    types = ["fan", "fan", "pump"]
    message = (
        "mobilenetv2: pump: one machine id, and this system learns by telling ids of one type apart; "
        "leave mobilenetv2 out of the search space, or pump out of the corpus"
    )
    with pytest.raises(InputError, match=message):
        build_module("mobilenetv2", width=0.125, class_types=types)
    with pytest.raises(InputError, match=message):
        check_class_types(SYSTEMS, types)
    check_class_types(set(SYSTEMS) - {"mobilenetv2"}, [*types, "", "valve"])


EXTRA = {
    "clp_scf": "pytorch-metric-learning",
    "glow_aff": "normflows",
    "mobilenetv2": "torchvision",
    "os_scl": "pytorch-metric-learning",
}


@pytest.mark.parametrize(("name", "package"), EXTRA.items())
def test_a_system_without_its_package_says_what_to_install(name: str, package: str) -> None:
    message = rf"^{name}: the package {package} is not installed; run: pip install 'asd-ray\[systems\]'$"
    with hidden(package.replace("-", "_")):
        with pytest.raises(InputError, match=message):
            check_packages(["tastgram", name])
        with pytest.raises(InputError, match=message):
            build_module(name, width=0.125, class_types=TYPES)


def test_a_package_for_another_torch_is_said_to_be_one() -> None:
    broken = RuntimeError("operator torchvision::nms\ndoes not exist")
    message = r"^mobilenetv2: torchvision cannot be loaded \(operator torchvision::nms does not exist\); install "
    with hidden("torchvision", error=broken), pytest.raises(InputError, match=message):
        check_packages(SYSTEMS)


def test_all_other_systems_need_none_of_these_packages() -> None:
    with hidden(*(package.replace("-", "_") for package in EXTRA.values())):
        for name in SYSTEMS.keys() - EXTRA:
            _, embedding_BE, _ = heard(name)
            assert embedding_BE.isfinite().all()


def test_idnn_guesses_the_centre_frame_and_never_sees_it() -> None:
    """One clip of five frames is one window; what its centre is changes the error, but not the guess."""
    network = SYSTEMS["idnn"].network(width=0.125, num_ids=1).eval()
    sgram_BFT = torch.randn(1, 128, 5)
    seen = []
    network.narrow.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    other_BFT = sgram_BFT.clone()
    other_BFT[:, :, 2] += 1.0
    errors = [network(clip_BFT, torch.tensor([0]))[1][0, 0].item() for clip_BFT in (sgram_BFT, other_BFT)]
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0].reshape(4, 128), ((sgram_BFT + 30) / 20)[0, :, [0, 1, 3, 4]].T)
    assert errors[0] != errors[1]


def test_the_autoencoder_retells_all_five_frames() -> None:
    """An output of zeros leaves the mean square of the window as the error."""
    network = SYSTEMS["ae"].network(width=0.125, num_ids=1).eval()
    torch.nn.init.zeros_(network.widen[-1].weight)
    torch.nn.init.zeros_(network.widen[-1].bias)
    sgram_BFT = torch.randn(2, 128, 5)
    _, readout_BK = network(sgram_BFT, torch.tensor([0, 0]))
    torch.testing.assert_close(readout_BK[:, 0], ((sgram_BFT + 30) / 20).square().mean(dim=(1, 2)))


def test_the_evidence_of_the_flow_is_the_library_s_likelihood_per_number_of_a_window() -> None:
    torch.manual_seed(0)
    network = SYSTEMS["glow_aff"].network(width=0.125, num_ids=2).eval()
    for base in network.flow.q0:
        torch.nn.init.normal_(base.loc)
    sgram_BFT = torch.randn(1, 128, 64) * 20 - 30
    windows_WKFT = ((sgram_BFT + 30) / 20).reshape(128, 2, 1, 32).permute(1, 2, 0, 3)
    with torch.inference_mode():
        likelihood_WI = torch.stack(
            [network.flow.log_prob(windows_WKFT, torch.tensor([number] * 2)) for number in (0, 1)], dim=1
        )
        for number in (0, 1):
            _, readout_BK = network(sgram_BFT, torch.tensor([number]))
            own_W = likelihood_WI[:, number]
            loss_W = likelihood_WI.logsumexp(dim=1) - 2 * own_W  # what is missing to certainty, and to likelihood
            expected = torch.stack([loss_W.mean(), -own_W.mean()]) / (128 * 32)
            torch.testing.assert_close(readout_BK[0], expected)


def test_stsasgram_has_attention_over_mel_bins_as_its_third_channel() -> None:
    """A token is a mel bin: without positions, bins in another order are retold in that order."""
    network, seen = SYSTEMS["stsasgram"].network(width=0.125).eval(), []
    network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    wave_BL, sgram_BFT = torch.randn(2, 160_000), torch.randn(2, 128, 313)
    network(wave_BL, sgram_BFT)
    torch.testing.assert_close(seen[0][:, 1], sgram_BFT)
    torch.testing.assert_close(seen[0][:, 2], network.attend(sgram_BFT))
    torch.nn.init.zeros_(network.attend.position_FT.weight)
    order = torch.randperm(128)
    torch.testing.assert_close(
        network.attend(sgram_BFT[:, order]), network.attend(sgram_BFT)[:, order], rtol=1e-4, atol=1e-4
    )
    attention = SYSTEMS["stsasgram"].network(width=1.0).attend
    layer = 4 * 256 * 256 + 4 * 256 + 2 * 256 * 64 + 256 + 64 + 4 * 256  # heads, feed-forward, two norms
    expected = 128 * 313 + (313 + 1) * 256 + 6 * layer + (256 + 1) * 313
    assert sum(weight.numel() for weight in attention.parameters()) == expected


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
