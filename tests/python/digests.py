"""Hashes of values, the same for torch, numpy and the Rust tests: SHA-256 of the bytes, little-endian, row by row."""

import hashlib

import numpy as np
import torch


def sha256_le(values):
    """The hash of a tensor or an array of any strides and byte order."""
    if isinstance(values, torch.Tensor):
        # numpy has no bfloat16; its bits travel as integers.
        values = values.detach()
        values = (values.view(torch.int16) if values.dtype == torch.bfloat16 else values).numpy()
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return hashlib.sha256(values.tobytes()).hexdigest()


def dtype_name(values):
    """float32 for torch.float32 and for numpy's float32 alike."""
    return str(values.dtype).removeprefix("torch.")
