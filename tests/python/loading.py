"""Every way in which torch and numpy load a file, and what they must agree on."""

import inspect
import io
from pathlib import Path

import numpy as np
import torch

from digests import dtype_name, sha256_le


def pt_modes():
    """Mode -> loader of a .pt file; mmap where this torch has it."""
    modes = {
        "path": lambda path: torch.load(path, weights_only=False),
        "weights_only": lambda path: torch.load(path, weights_only=True),
        "bytes": lambda path: torch.load(io.BytesIO(Path(path).read_bytes()), weights_only=True),
    }
    if "mmap" in inspect.signature(torch.load).parameters:
        modes["mmap"] = lambda path: torch.load(path, weights_only=True, mmap=True)
    return modes


def npy_modes():
    """Mode -> loader of a .npy file."""
    return {
        "plain": lambda path: np.load(path),
        "bytes": lambda path: np.load(io.BytesIO(Path(path).read_bytes())),
        "mmap_r": lambda path: np.load(path, mmap_mode="r"),
        "mmap_c": lambda path: np.load(path, mmap_mode="c"),
    }


def modes(path):
    """The loaders that suit the file's name."""
    return npy_modes() if str(path).endswith(".npy") else pt_modes()


def describe(path):
    """{shape, dtype, sha256} of the file's values; raises when a mode fails or two disagree."""
    seen = {}
    for mode, load in modes(path).items():
        try:
            values = load(str(path))
        except Exception as error:
            raise AssertionError(f"{path}: {mode}: {type(error).__name__}: {error}") from error
        seen[mode] = {"shape": list(values.shape), "dtype": dtype_name(values), "sha256": sha256_le(values)}
    first = next(iter(seen.values()))
    if any(other != first for other in seen.values()):
        raise AssertionError(f"{path}: the modes disagree: {seen}")
    return first


def tensor_files(root):
    """All .pt and .npy files below a directory, sorted."""
    return sorted(path for path in Path(root).rglob("*") if path.suffix in (".pt", ".npy"))
