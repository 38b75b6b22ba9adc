"""Reads noether zarr stores with zarr-python and torch: what samplefs must agree with.

It follows the reference's rule for reading a sample and nothing else: no cache, no threads, as few lines as
the rule needs.

    reference_reader.py STORE SAMPLE [--points DOMAIN=N ...] [--seed S]    prints one read as JSON
    reference_reader.py STORE --check READS.json                           compares recorded reads

A recorded read is {sample_id, num_points: {domain: n} or null, seed, then_read_coords: [[domain, n], ...],
fields: {field: {shape, sha256_float32_le}}}; a whole read may carry {dtype, sha256_stored_le} as well.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import zarr

from digests import sha256_le


class Store:
    """A store below a local directory."""

    def __init__(self, root):
        self.root = Path(root)
        self.manifest = json.loads((self.root / "manifest.json").read_text())

    def read_sample(self, sample_id, num_points=None, generator=None, fields=None):
        """Field name -> float32 tensor, (T,) or (T, dim).

        num_points: domain -> rows; a domain that is not named is read whole.
        """
        result = {}
        for domain, layout in self.manifest["domains"].items():
            grid = self.manifest["samples"][sample_id]["domains"].get(domain)
            wanted = [a for name, a in layout["arrays"].items() if fields is None or name in fields]
            # Passed over before anything is drawn: the next domain's draw depends on it.
            if grid is None or not wanted:
                continue
            runs = select(grid, (num_points or {}).get(domain), generator)
            for array in wanted:
                result[array["field"]] = self._read(sample_id, array, runs)
        return result

    def read_coords(self, sample_id, domain, n, generator):
        """The position field of one domain, drawn anew from the continuing generator."""
        layout = self.manifest["domains"][domain]
        grid = self.manifest["samples"][sample_id]["domains"][domain]
        array = layout["arrays"][layout["position"]]
        return self._read(sample_id, array, select(grid, n, generator))

    def read_stored(self, sample_id, field):
        """All rows of a field as they are stored, little-endian: numpy (N,) or (N, dim)."""
        for domain in self.manifest["domains"].values():
            if field in domain["arrays"]:
                array = domain["arrays"][field]
                rows = self._open(sample_id, array)[:]
                rows = np.ascontiguousarray(rows, dtype=np.dtype(array["dtype"]).newbyteorder("<"))
                return rows[:, 0] if array["dim"] == 1 else rows
        raise KeyError(field)

    def _open(self, sample_id, array):
        relpath = self.manifest["samples"][sample_id]["relpath"]
        return zarr.open_group(self.root / relpath, mode="r")[array["array_name"]]

    def _read(self, sample_id, array, runs):
        stored = self._open(sample_id, array)
        rows = np.concatenate([stored[start:stop] for start, stop in runs])
        # float64 beyond float32 becomes infinite, as torch has it: no warning is due.
        with np.errstate(over="ignore"):
            values = torch.from_numpy(rows.astype("<f4"))
        return values[:, 0] if array["dim"] == 1 else values


def select(grid, n, generator):
    """The runs of rows, in order, that stand for n points of a domain."""
    n_points, chunk = grid["n_points"], grid["chunk_points"]
    if n is None or n >= n_points:
        return [(0, n_points)]
    runs, left = [], n
    for index in torch.randperm(grid["n_chunks"], generator=generator).tolist():
        start = index * chunk
        rows = min(chunk, n_points - start, left)
        runs.append((start, start + rows))
        left -= rows
        if left == 0:
            break
    return runs


def describe(values):
    """What a recorded read says of a field."""
    return {"shape": list(values.shape), "sha256_float32_le": sha256_le(values)}


def record(store, sample_id, num_points=None, seed=None, then_read_coords=()):
    """One read in the recorded form."""
    generator = torch.Generator().manual_seed(seed) if seed is not None else None
    fields = store.read_sample(sample_id, num_points, generator)
    for domain, n in then_read_coords:
        fields[f"coords_{domain}"] = store.read_coords(sample_id, domain, n, generator)
    return {
        "sample_id": sample_id,
        "num_points": num_points,
        "seed": seed,
        "then_read_coords": list(then_read_coords),
        "fields": {name: describe(values) for name, values in fields.items()},
    }


def check(store, reads):
    """The fields that differ from the recorded ones, as text."""
    different = []
    for read in reads:
        got = record(store, read["sample_id"], read["num_points"], read["seed"], read["then_read_coords"])["fields"]
        where = f"{read['sample_id']} {read['num_points']} seed {read['seed']}"
        if set(got) != set(read["fields"]):
            different.append(f"{where}: fields {sorted(got)}")
            continue
        for name, want in read["fields"].items():
            if "sha256_stored_le" in want:
                stored = store.read_stored(read["sample_id"], name)
                got[name] |= {"dtype": stored.dtype.name, "sha256_stored_le": sha256_le(stored)}
            if any(want[key] != value for key, value in got[name].items()):
                different.append(f"{where}: {name}")
    return different


def main():
    # Codecs around shards are slow, zarr-python warns; some odd stores have them.
    warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("sample", nargs="?")
    parser.add_argument("--points", action="append", default=[], metavar="DOMAIN=N")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--check", metavar="READS.json")
    args = parser.parse_args()

    store = Store(args.store)
    if args.check:
        reads = json.loads(Path(args.check).read_text())
        different = check(store, reads)
        print(json.dumps({"reads": len(reads), "different": different}, indent=1, ensure_ascii=False))
        sys.exit(bool(different))
    if args.sample is None:
        parser.error("SAMPLE or --check is needed")
    points = {domain: int(n) for domain, n in (p.split("=") for p in args.points)} or None
    print(json.dumps(record(store, args.sample, points, args.seed), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
