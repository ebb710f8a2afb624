"""Adam: torch's own, without torch's compiler, which it would import to say that nothing is compiled."""

from __future__ import annotations

from inspect import unwrap

import torch

_STEP = unwrap(torch.optim.Adam.step)


class Adam(torch.optim.Adam):
    """Adam (Kingma and Ba 2015), bit for bit `torch.optim.Adam`.

    What torch wraps so that its compiler leaves it alone is unwrapped: the first call of a wrapper imports
    `torch._dynamo`, which takes one to two seconds of every process that trains.
    """

    state_dict = unwrap(torch.optim.Adam.state_dict)
    load_state_dict = unwrap(torch.optim.Adam.load_state_dict)
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
    add_param_group = unwrap(torch.optim.Adam.add_param_group)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take a step by the gradients that there are."""
        _STEP(self, closure)
