"""convert beside the same arrays written with zarr-python, and beside compression alone."""

import multiprocessing
import os
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import zarr
from numcodecs import blosc
from zarr.codecs import BloscCodec

import data
from measure import calls, command, table


def shuffled(directory, points, fields):
    """The arrays of one domain as they are stored: shuffled, cast, two-dimensional."""
    order = torch.randperm(points).numpy()
    for field in fields:
        values = torch.load(directory / f"{field}.pt").numpy()
        values = values.reshape(points, -1)[order]
        yield field, values.astype(np.float32 if data.is_position(field) else np.float16)


def write_sample(arguments):
    """One sample the way of zarr-python: one sharded array a field, metadata consolidated."""
    directory, target, name = arguments
    dataset = data.DATASETS[name]
    group = zarr.open_group(str(target), mode="w", zarr_format=3)
    codec = BloscCodec(cname="zstd", clevel=5, shuffle="shuffle")
    for domain, (points, fields) in dataset["domains"].items():
        chunk = min(dataset["chunk"], points)
        shard = -(-points // chunk) * chunk
        for field, values in shuffled(directory, points, fields):
            width = values.shape[1]
            array = group.create_array(
                f"{domain}/{field}",
                shape=values.shape,
                dtype=values.dtype,
                chunks=(chunk, width),
                shards=(shard, width),
                compressors=codec,
            )
            array[:] = values
    zarr.consolidate_metadata(group.store)


def zarr_python(name, pool):
    """The whole dataset, one sample after the other or one in each process of a pool."""
    with tempfile.TemporaryDirectory(dir=data.ROOT) as out:
        jobs = [(path, Path(out) / f"{path.name}.zarr", name) for path in sorted(data.tree(name).iterdir())]
        list(pool.map(write_sample, jobs) if pool else map(write_sample, jobs))


@contextmanager
def processes(count):
    """That many processes with torch and zarr loaded; none for one, which is this process."""
    if count == 1:
        yield None
        return
    # A forked child would inherit zarr's event loop without the thread that runs it.
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(time.sleep, [0.5] * count))
        yield pool


def compression(name):
    """Every chunk through c-blosc, on one thread; nothing is written."""
    dataset = data.DATASETS[name]
    encoded = []
    for directory in sorted(data.tree(name).iterdir()):
        for points, fields in dataset["domains"].values():
            for _, values in shuffled(directory, points, fields):
                encoded.append((values, min(dataset["chunk"], points)))
    blosc.set_nthreads(1)

    def compress():
        for values, chunk in encoded:
            for start in range(0, len(values), chunk):
                part = np.ascontiguousarray(values[start : start + chunk])
                blosc.compress(part, b"zstd", clevel=5, shuffle=blosc.SHUFFLE)

    return calls(compress)


def clean(target):
    """Removes a store, and lets the disk finish what others left to write: convert waits until its store is on disk."""
    shutil.rmtree(target, ignore_errors=True)
    os.sync()


def run():
    figures = {}
    for name, runs in [("shapenet", 5), ("drivaernet", 5)]:
        source, target = data.tree(name), data.ROOT / "converted"
        dataset = data.DATASETS[name]
        options = ["--filemap", dataset["filemap"], "--chunk-points", str(dataset["chunk"])]
        megabytes = data.source_bytes(name) / 1e6
        pure = compression(name)
        rows = [["compression alone, 1 thread", "", f"{megabytes / pure['median']:.0f}", "", ""]]
        figures[name] = {"source_mb": megabytes, "compression": pure}
        for workers in [1, 2]:
            clear = lambda: clean(target)
            convert = ["samplefs", "convert", str(source), str(target), *options, "--workers", str(workers)]
            ours = command(convert, clear, runs)
            with processes(workers) as pool:
                theirs = calls(lambda: zarr_python(name, pool), runs)
            clear()
            figures[name][f"workers_{workers}"] = {"samplefs": ours, "zarr_python": theirs}
            ratio = theirs["median"] / ours["median"]
            over = ours["cpu"]["median"] / pure["cpu"]["median"]
            speed, slow = megabytes / ours["median"], megabytes / theirs["median"]
            peak = f"{ours['peak_bytes'] / 1e6:.0f} MB"
            rows.append([f"samplefs, {workers} workers", f"{ratio:.1f} ×", f"{speed:.0f}", f"{over:.2f} ×", peak])
            rows.append([f"zarr-python, {workers} workers", "1", f"{slow:.0f}", "", ""])
        columns = ["convert", "beside zarr-python", "MB/s of source", "processor time beside compression", "peak memory"]
        table(f"{name}: {dataset['samples']} samples, {megabytes:.0f} MB of .pt", columns, rows)
    return figures
