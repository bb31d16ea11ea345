"""The learned spectrogram: its size, its published numbers (test_reference.py), and what it can see."""

import torch

from asd_ray.models.tgram import Tgram


def test_tgram_has_the_size_of_the_sgram_whatever_its_hidden_width():
    for hidden in (8, 128):
        tgram = Tgram(num_mels=128, num_frames=313, hop=512, hidden=hidden)
        assert tgram(torch.randn(2, 160_000)).shape == (2, 128, 313)


def test_published_number_of_weights():
    tgram = Tgram(num_mels=128, num_frames=313, hop=512, hidden=128)
    assert sum(weight.numel() for weight in tgram.parameters()) == 128 * 1024 + 3 * (128 * 128 * 3 + 2 * 313)


def test_the_learned_filters_see_1024_samples_around_their_frame():
    tgram = Tgram(num_mels=8, num_frames=11, hop=512, hidden=8)
    wave_BL = torch.zeros(1, 5120, requires_grad=True)
    tgram.extract(wave_BL.unsqueeze(1))[0, :, 4].sum().backward()
    seen = wave_BL.grad[0].nonzero().flatten()
    assert (int(seen[0]), int(seen[-1])) == (4 * 512 - 512, 4 * 512 + 511)
