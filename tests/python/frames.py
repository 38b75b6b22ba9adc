"""Loads the named .pt and .npy files in every way that torch and numpy have.

Prints {file: {shape, dtype, sha256, sum}}; the sum is in float64, null when it is not finite. With --ends for files too
large to load whole: maps each and prints {file: {shape, dtype, first, last}} instead (.pt: torch 2.1 or newer).
Exits 1, with the reason on stderr, when a file does not load in some way or two ways disagree.
"""

import argparse
import json
import math
import sys

from digests import dtype_name
from loading import describe, modes


def with_sum(path):
    load = modes(path)["plain" if path.endswith(".npy") else "weights_only"]
    values = load(path)
    # As a list: neither torch nor numpy alone adds up all types that the other has.
    total = math.fsum(values.reshape(-1).tolist()) if all_finite(values) else None
    return {**describe(path), "sum": total}


def all_finite(values):
    return all(math.isfinite(value) for value in values.reshape(-1).tolist())


def ends(path):
    load = modes(path)["mmap_r" if path.endswith(".npy") else "mmap"]
    values = load(path)
    flat = values.reshape(-1)
    edge = {"first": flat[0].item(), "last": flat[-1].item()} if len(flat) else {"first": None, "last": None}
    return {"shape": list(values.shape), "dtype": dtype_name(values), **edge}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--ends", action="store_true")
    args = parser.parse_args()
    try:
        found = {path: ends(path) if args.ends else with_sum(path) for path in args.files}
    except AssertionError as error:
        sys.exit(str(error))
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
