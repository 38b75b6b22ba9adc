"""Writes a tree of samples whose fields come in every type and layout that a source may have.

Usage: make_tree.py DIR
"""

import sys
from pathlib import Path

import numpy as np
import torch

root = Path(sys.argv[1])
generator = torch.Generator().manual_seed(5)


def save(sample, name, tensor):
    path = root / sample / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".npy"):
        np.save(path, tensor.numpy())
    else:
        torch.save(tensor, path)


def sample(name, surface, volume, value, dtype=torch.float32, suffix=".pt"):
    save(name, "surface_points" + suffix, torch.randn(surface, 3, generator=generator, dtype=torch.float64))
    save(name, "surface_pressure" + suffix, value(surface, 1)[:, 0].to(dtype))
    save(name, "surface_normals" + suffix, value(surface, 3).to(dtype))
    save(name, "volume_points" + suffix, torch.randn(volume, 3, generator=generator))
    save(name, "volume_velocity" + suffix, value(volume, 5).to(dtype))
    save(name, "volume_normals" + suffix, value(3, volume).to(dtype).t())
    save(name, "volume_sdf" + suffix, value(2 * volume, 2).to(dtype)[::2, 1])


def spread(rows, columns):
    """Magnitudes from the subnormal float16 up to its largest, both signs and zeros among them."""
    exponent = torch.rand(rows, columns, generator=generator, dtype=torch.float64) * 42 - 27
    sign = torch.randint(-1, 2, (rows, columns), generator=generator)
    return (sign * 2**exponent).clamp(-65504, 65504)


def integers(rows, columns):
    return torch.randint(-100, 101, (rows, columns), generator=generator)


sample("float32", 1000, 3000, spread)
sample("float64", 257, 511, spread, torch.float64)
sample("float16", 10, 300, spread, torch.float16)
sample("bfloat16", 255, 256, lambda *shape: spread(*shape) / 2, torch.bfloat16)
for dtype in (torch.int64, torch.int32, torch.int16, torch.int8):
    sample(f"deep/er/{dtype}".replace("torch.", ""), 300, 600, integers, dtype)
sample("uint8", 300, 513, lambda *shape: integers(*shape).abs(), torch.uint8)
sample("bool", 300, 513, lambda *shape: integers(*shape) > 0, torch.bool)
sample("numpy", 300, 513, spread, torch.float64, ".npy")
sample("one_point", 1, 1, spread)
special = torch.tensor([0.0, -0.0, float("nan"), 1.0])
sample("special", 40, 2000, lambda rows, columns: special[torch.randint(0, 4, (rows, columns), generator=generator)])
sample("zeros", 40, 2000, lambda rows, columns: torch.zeros(rows, columns))
sample("minus_zeros", 40, 2000, lambda rows, columns: -torch.zeros(rows, columns))
