"""Glow-Aff: a flow that gives a window a high likelihood under its own machine id, and a lower one under others.

Axes: B clips, F mel bins, T frames, W windows of all clips, I ids of the machine type.
Source: Dohi et al., "Flow-based self-supervised density estimation for anomalous sound detection", ICASSP 2021, of
which only the abstract could be read; the flow is Kingma and Dhariwal's Glow with affine coupling, as normflows
has it. Assumptions: one flow per machine type with a Gaussian per id, windows of 32 frames, three levels of four
blocks, and the cross entropy of the id given the window, to make other ids unlikely. Its weight is assumed, too:
like the likelihood, it is divided by the numbers of a window, of which there are 4096, so it acts gently (its
gradient was 0.011 where that of the likelihood was 1.66). Undivided, it cost some twelve points of AUC in two
trainings of nine epochs on recorded fans.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_ray.models.mel import OF_BASELINES as MEL
from asd_ray.models.mobilefacenet import scaled
from asd_ray.models.sgram import standardised

WINDOW = 32  # frames
LEVELS, BLOCKS, HIDDEN = 3, 4, 64


class GlowAff(nn.Module):
    """The flow of one machine type. Width scales the hidden channels of its couplings; 1.0 is 64 of them.

    The scales after each block begin at 1. If the first batch set them, each worker of a lane would begin with its
    own.
    """

    def __init__(self, *, width: float, num_ids: int) -> None:
        import normflows as nf  # here: it takes seconds, and only this system needs it

        super().__init__()
        bases, flows, merges = [], [], []
        for level in range(LEVELS):  # from the innermost outwards
            halvings, channels = LEVELS - level, 2 ** (LEVELS + 1 - level)
            blocks = [nf.flows.GlowBlock(channels, scaled(HIDDEN, width), use_lu=False) for _ in range(BLOCKS)]
            flows.append([*blocks, nf.flows.Squeeze()])
            if level:
                merges.append(nf.flows.Merge())
            latent = channels // 2 if level else channels  # the outer levels pass half of their channels inwards
            shape = (latent, MEL.num_mels // 2**halvings, WINDOW // 2**halvings)
            bases.append(nf.distributions.ClassCondDiagGaussian(shape, num_ids))
        self.flow = nf.MultiscaleFlow(bases, flows, merges)
        for module in self.flow.modules():
            if isinstance(module, nf.flows.ActNorm):
                module.data_dep_init_done.fill_(1.0)
        self.num_ids = num_ids

    def forward(self, sgram_BFT: Tensor, id_B: Tensor) -> tuple[Tensor, Tensor]:
        """The log likelihood of each clip, as embedding_BE with E = 1, and readout_BK; per number of a window."""
        clips = len(sgram_BFT)
        window_WFT = standardised(sgram_BFT).unfold(2, WINDOW, WINDOW).transpose(1, 2).flatten(0, 1)
        likelihood_WI = self.log_likelihood(window_WFT)
        id_W = id_B.repeat_interleave(len(window_WFT) // clips)
        own_W = likelihood_WI.gather(1, id_W[:, None])[:, 0]
        telling_W = F.cross_entropy(likelihood_WI, id_W, reduction="none")
        parts_W3 = torch.stack([telling_W - own_W, -own_W, own_W], dim=1) / math.prod(window_WFT.shape[1:])
        parts_B3 = parts_W3.reshape(clips, -1, 3).mean(dim=1)
        return parts_B3[:, 2:], parts_B3[:, :2]

    def log_likelihood(self, window_WFT: Tensor) -> Tensor:
        """likelihood_WI: the log likelihood of each window under each id, in nats."""
        latents, log_det_W = self.flow.inverse_and_log_det(window_WFT[:, None])
        of_id_W = []
        for number in range(self.num_ids):
            id_W = torch.full((len(window_WFT),), number, device=window_WFT.device)
            of_id_W.append(sum(base.log_prob(z, id_W) for base, z in zip(self.flow.q0, latents, strict=True)))
        likelihood_WI: Tensor = torch.stack(of_id_W, dim=1) + log_det_W[:, None]
        return likelihood_WI
