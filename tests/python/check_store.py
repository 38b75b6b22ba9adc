"""Reads a store with zarr-python and compares every value with the source, shuffled and cast by
torch and numpy, and every recorded checksum with zlib's.

Usage: check_store.py SOURCE STORE
"""

import hashlib
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
import zarr

source, store = map(Path, sys.argv[1:])
manifest = json.loads((store / "manifest.json").read_text())
checked = 0


def load(path):
    if not path.exists():
        return np.load(path.with_suffix(".npy"))
    tensor = torch.load(path, weights_only=True)
    return tensor.float().numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


for sample, entry in manifest["samples"].items():
    group = zarr.open_group(store / entry["relpath"], mode="r", use_consolidated=True)
    for domain, layout in manifest["domains"].items():
        grid = entry["domains"][domain]
        text = f"{manifest['shuffle_seed']}:{sample}:{domain}".encode()
        seed = int.from_bytes(hashlib.sha256(text).digest()[:8], "little") % (2**63 - 1)
        order = torch.randperm(grid["n_points"], generator=torch.Generator().manual_seed(seed)).numpy()
        for field, array in layout["arrays"].items():
            values = load(source / sample / manifest["filemap"][field])
            values = values.reshape(len(values), -1)[:, : array["dim"]]
            with np.errstate(invalid="ignore"):
                expected = values[order].astype(array["dtype"])
            stored = group[array["array_name"]]
            chunk = grid["chunk_points"]
            assert stored.shards == (grid["shard_points"], array["dim"]), (sample, field)
            assert stored.chunks == (chunk, array["dim"]), (sample, field)
            got = stored[:]
            assert got.dtype == expected.dtype and got.shape == expected.shape, (sample, field)
            assert got.tobytes() == expected.tobytes(), (sample, field)
            served = got.astype("<f4")
            crc32 = [zlib.crc32(served[at : at + chunk].tobytes()) for at in range(0, len(served), chunk)]
            own = json.loads((store / entry["relpath"] / array["array_name"] / "zarr.json").read_text())
            assert stored.attrs["samplefs"]["crc32"] == crc32, (sample, field)
            assert own["attributes"]["samplefs"]["crc32"] == crc32, (sample, field)
            checked += 1
sys.stdout.write(f"{checked}\n")
