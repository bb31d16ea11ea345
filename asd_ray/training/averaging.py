"""The mean of a module's weights over the steps of its training, which is steadier than the last weights.

Source: OS-SCL's code averages with a decay of 0.9999, so half of the mean comes from the last 7,000 steps. A short
training would never forget its beginning, so here the decay rises to 0.9999 as (1 + step) / (10 + step), as in
TensorFlow's moving average.
"""

import copy
from typing import Any

import torch
from torch import nn

DECAY = 0.9999


class Mean:
    """A copy of a module that holds the mean of its weights and the latest values of its buffers.

    torch's AveragedModel would wait for the GPU in every step, to see whether the step is the first.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module, self.steps = copy.deepcopy(module), 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights; call it after each step of the optimizer."""
        self.steps += 1
        decay = min(DECAY, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - decay)
        for mean, now in zip(self.module.buffers(), module.buffers(), strict=True):
            mean.copy_(now)

    def state_dict(self) -> dict[str, Any]:
        return {"module": self.module.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.steps = state["steps"]
