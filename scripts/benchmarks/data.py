"""Legacy trees of plausible fields: smooth over space, a little rough, as solvers leave them."""

import os
import shutil
from pathlib import Path

import numpy as np
import torch

ROOT = Path(os.environ["SAMPLEFS_BENCH_DATA"])

# Points of each domain and the fields of each: file, width.
SHAPENET = {
    "filemap": "shapenet-car",
    "samples": 60,
    "chunk": 4096,
    "domains": {
        "surface": (3600, {"surface_points": 3, "surface_pressure": 1, "surface_normals": 3}),
        "volume": (29_000, {"volume_points": 3, "volume_velocity": 3, "volume_normals": 3, "volume_sdf": 1}),
    },
}
DRIVAERNET = {
    "filemap": "drivaernet",
    "samples": 8,
    "chunk": 16_384,
    "domains": {
        "surface": (200_000, {"surface_position": 3, "surface_p": 1, "surface_wallShearStress": 3}),
        "volume": (
            1_600_000,
            {"volume_position": 3, "volume_p": 1, "volume_U": 3, "volume_vorticity": 3, "volume_wallShearStress": 3},
        ),
    },
}
DATASETS = {"shapenet": SHAPENET, "drivaernet": DRIVAERNET}


def is_position(name):
    return name.endswith(("_position", "_points"))


def tree(name):
    """The directory of a dataset's .pt tree, made on first use."""
    dataset = DATASETS[name]
    done = ROOT / f"{name}-pt"
    if not done.exists():
        making = ROOT / f"{name}-pt.part"
        shutil.rmtree(making, ignore_errors=True)
        rng = np.random.default_rng(0)
        for index in range(dataset["samples"]):
            directory = making / f"run_{index}"
            directory.mkdir(parents=True)
            for points, fields in dataset["domains"].values():
                position = rng.uniform(-2, 2, (points, 3)).astype(np.float32)
                for field, width in fields.items():
                    values = position if is_position(field) else smooth(rng, position, width)
                    values = values[:, 0] if width == 1 else values
                    torch.save(torch.from_numpy(np.ascontiguousarray(values)), directory / f"{field}.pt")
        making.rename(done)
    return done


def smooth(rng, position, width):
    """A few waves across space, and noise at one part in a hundred."""
    waves = rng.normal(size=(6, 3)) * 2
    phases = np.sin(position @ waves.T + rng.uniform(0, 6, 6))
    values = phases @ rng.normal(size=(6, width)) * 10
    return (values + rng.normal(size=values.shape) * 0.1).astype(np.float32)


def source_bytes(name):
    return sum(path.stat().st_size for path in tree(name).rglob("*.pt"))


def store(name):
    """The directory of a dataset's store, converted on first use."""
    import subprocess

    done = ROOT / f"{name}-store"
    if not (done / "manifest.json").exists():
        dataset = DATASETS[name]
        arguments = ["--filemap", dataset["filemap"], "--chunk-points", str(dataset["chunk"])]
        subprocess.run(["samplefs", "convert", str(tree(name)), str(done), *arguments], check=True)
    return done
