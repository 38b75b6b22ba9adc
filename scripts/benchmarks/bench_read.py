"""Reading through a mount beside zarr-python reading the store as the reference does, and .pt files on the local disk."""

import sys
from pathlib import Path

import torch

import data
from measure import summary, table
from mounts import mounted, read, seconds, zeros

sys.path.append(str(Path(__file__).parents[2] / "tests" / "python"))
from reference_reader import Store  # noqa: E402


def load(directory, stems):
    return [torch.load(directory / f"{stem}.pt") for stem in stems]


def stems(name):
    return [stem for _, fields in data.DATASETS[name]["domains"].values() for stem in fields]


def compare(name, view, runs=7):
    """Cold and warm reads of all fields of one sample after the other, whole or through a view of n points."""
    store, legacy, fields = data.store(name), data.tree(name), stems(name)
    samples = sorted(path.name for path in legacy.iterdir())[: runs + 1]
    below = f"subsample_{view}_7" if view else "."
    cold, warm, fuse, reference, local = [], [], [], [], []
    with mounted(store) as mount:
        for sample in samples:
            cold.append(seconds(lambda: load(mount / sample / below, fields)))
            warm.append(seconds(lambda: load(mount / sample / below, fields)))
            sizes = [(mount / sample / below / f"{stem}.pt").stat().st_size for stem in fields]
    for _ in samples:
        with zeros() as mount:
            fuse.append(seconds(lambda: [read(mount / str(size)) for size in sizes]))
    reader = Store(store)
    points = {domain: view for domain in data.DATASETS[name]["domains"]} if view else {}
    for sample in samples:
        generator = torch.Generator().manual_seed(7)
        reference.append(seconds(lambda: reader.read_sample(sample, points, generator)))
        local.append(seconds(lambda: load(legacy / sample, fields)))
    # The first of each warms up imports, threads and the page cache.
    return {key: summary(values[1:]) for key, values in
            {"mount_cold": cold, "mount_warm": warm, "null_fuse": fuse, "reference": reference, "local_pt": local}.items()}


def run():
    figures, rows = {}, []
    for name, view in [("shapenet", None), ("shapenet", 4096), ("drivaernet", None), ("drivaernet", 16_384)]:
        label = f"{name}, {f'view of {view}' if view else 'whole'}"
        found = figures[label] = compare(name, view)
        base = found["reference"]["median"]
        cell = lambda key: f"{base / found[key]['median']:.1f} × ({found[key]['median'] * 1e3:.1f} ms)"
        rows.append([label, f"1 ({base * 1e3:.1f} ms)", cell("mount_cold"), cell("null_fuse"), cell("mount_warm"), cell("local_pt")])
    columns = ["all fields of a sample", "reference reader", "mount, cold", "null FUSE, read(2)", "mount, warm", "whole .pt, local disk"]
    table("torch.load of every field of a sample; store in the page cache", columns, rows)
    return figures
