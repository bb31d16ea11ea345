"""Temporal attention on numbers worked by hand."""

import math

import torch

from asd_ray.models.tastgram import attend_time


def test_each_frame_is_weighted_by_the_sigmoid_of_its_maximum_plus_its_mean():
    sgram_BFT = torch.tensor([[[1.0, -2.0], [3.0, -4.0]]])  # frames (1, 3) and (-2, -4)
    loud, quiet = 1 / (1 + math.exp(-(3 + 2))), 1 / (1 + math.exp(-(-2 - 3)))
    expected = torch.tensor([[[1 * loud, -2 * quiet], [3 * loud, -4 * quiet]]])
    torch.testing.assert_close(attend_time(sgram_BFT), expected)


def test_a_loud_frame_passes_and_a_quiet_one_vanishes():
    sgram_BFT = torch.stack([torch.full((128,), 20.0), torch.full((128,), -60.0)], dim=1)[None]
    tagram_BFT = attend_time(sgram_BFT)
    torch.testing.assert_close(tagram_BFT[..., 0], sgram_BFT[..., 0])
    assert tagram_BFT[..., 1].abs().max() < 1e-6
