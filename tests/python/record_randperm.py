"""Prints what torch.randperm returns for many seeds and lengths, for code that must compute the same.

One entry a generator: {seed, draws: [{n, first, sha256_int64_le}]}, the draws one after the other from it. Seeds
are as samplefs has them, 0 to 2^64 - 1.
"""

import argparse
import json

import torch

from digests import sha256_le

SEEDS = [0, 1, 42, 2**32 + 42, 2**63 - 2, 2**63, 2**64 - 1]
# 624 words are one state of the Mersenne twister: lengths around it cross from one state into the next.
DRAWS = [[0], [1], [2], [10], [624], [625], [1000], [100000], [10, 1000], [1, 0, 2], [625, 624], [100000, 7]]


def draw(generator, n):
    order = torch.randperm(n, generator=generator)
    return {"n": n, "first": order[:10].tolist(), "sha256_int64_le": sha256_le(order)}


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    vectors = []
    for seed in SEEDS:
        # torch takes a negative seed for the unsigned one of the same bits.
        assert torch.Generator().manual_seed(-1).initial_seed() == torch.Generator().manual_seed(2**64 - 1).initial_seed()
        for lengths in DRAWS:
            generator = torch.Generator().manual_seed(seed)
            vectors.append({"seed": seed, "draws": [draw(generator, n) for n in lengths]})
    print("[\n" + ",\n".join(json.dumps(vector) for vector in vectors) + "\n]")


if __name__ == "__main__":
    main()
