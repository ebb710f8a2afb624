"""Tensors over arrays that may not be written to."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor


def borrow(array: np.ndarray) -> Tensor:
    """Return a tensor over an array, without a copy; nothing may write to it, for the array may be shared memory."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
