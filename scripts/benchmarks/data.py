"""Legacy trees of plausible fields: smooth over space, a little rough, as solvers leave them."""

import json
import os
import shutil
import subprocess
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
    done = ROOT / f"{name}-store"
    if not (done / "manifest.json").exists():
        dataset = DATASETS[name]
        arguments = ["--filemap", dataset["filemap"], "--chunk-points", str(dataset["chunk"])]
        subprocess.run(["samplefs", "convert", str(tree(name)), str(done), *arguments], check=True)
    return done


def field_tree():
    """Positions and velocities alone of a few large samples, with the FileMap that names them."""
    done = ROOT / "field-pt"
    if not done.exists():
        making = ROOT / "field-pt.part"
        shutil.rmtree(making, ignore_errors=True)
        for index in range(2):
            directory = making / f"run_{index}"
            directory.mkdir(parents=True)
            for file in ["volume_position.pt", "volume_U.pt"]:
                os.link(tree("drivaernet") / directory.name / file, directory / file)
        names = {"volume_position": "volume_position.pt", "volume_velocity": "volume_U.pt"}
        (making / "filemap.json").write_text(json.dumps(names))
        making.rename(done)
    return done


def field_store(dtype, chunk):
    """Those with velocities of that type, in chunks of so many points."""
    done = ROOT / f"field-{dtype}-{chunk}"
    if not (done / "manifest.json").exists():
        source = field_tree()
        arguments = ["--filemap", str(source / "filemap.json"), "--chunk-points", str(chunk)]
        arguments += ["--field-dtype", f"volume_velocity={dtype}"]
        subprocess.run(["samplefs", "convert", str(source), str(done), *arguments], check=True)
    return done


def listed_samples(directories):
    """Ids: so many samples in each of these directories."""
    return (f"{directory}/sample_{i:07}" for directory, count in directories.items() for i in range(count))


def listed_store(directories):
    """A manifest without arrays, indented as the reference writes it: enough for everything but values."""
    done = ROOT / f"listed-{'-'.join(f'{name}-{count}' for name, count in directories.items())}"
    if not done.exists():
        making = done.with_suffix(".part")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        manifest = json.loads((store("shapenet") / "manifest.json").read_text())
        entry = next(iter(manifest["samples"].values()))
        ids = listed_samples(directories)
        manifest["samples"] = {sample: entry | {"relpath": f"{sample}.zarr"} for sample in ids}
        with (making / "manifest.json").open("w") as file:
            json.dump(manifest, file, indent=2)
        making.rename(done)
    return done


def listed_tree(directories):
    """The same names on the local disk, every file empty."""
    done = ROOT / f"listed-tree-{'-'.join(f'{name}-{count}' for name, count in directories.items())}"
    if not done.exists():
        making = done.with_suffix(".part")
        shutil.rmtree(making, ignore_errors=True)
        files = [f"{stem}.pt" for _, fields in SHAPENET["domains"].values() for stem in fields]
        for sample in listed_samples(directories):
            directory = making / sample
            directory.mkdir(parents=True)
            for file in files:
                (directory / file).touch()
        making.rename(done)
    return done
