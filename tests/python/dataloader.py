"""Reads all samples below DIR through a torch DataLoader, forked workers, shuffled, several epochs.

A sample is a directory that holds .pt files. Every tensor that a worker hands over is compared by hash with what the
main process loads itself. Prints {samples, tensors, epochs, workers}; exits 1, with the difference on stderr.
"""

import argparse
import json
import sys
import warnings

import torch
from torch.utils.data import DataLoader, Dataset

from digests import sha256_le
from loading import tensor_files


class Samples(Dataset):
    def __init__(self, root):
        self.directories = sorted({path.parent for path in tensor_files(root) if path.suffix == ".pt"})

    def __len__(self):
        return len(self.directories)

    def __getitem__(self, index):
        directory = self.directories[index]
        # Every other tensor by mmap: both ways at once is what training code does.
        files = sorted(directory.glob("*.pt"))
        return index, {f.name: torch.load(f, weights_only=True, mmap=i % 2 == 1) for i, f in enumerate(files)}


def hashes(tensors):
    return {name: sha256_le(tensor) for name, tensor in tensors.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()

    # More workers than processors are the point.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    samples = Samples(args.dir)
    if not len(samples):
        sys.exit(f"{args.dir}: no .pt files")
    loader = DataLoader(
        samples, batch_size=None, shuffle=True, num_workers=args.workers, multiprocessing_context="fork"
    )
    # The workers come first, so that they and not the main process find the caches cold.
    epochs = [{index: hashes(tensors) for index, tensors in loader} for _ in range(args.epochs)]
    expected = {index: hashes(samples[index][1]) for index in range(len(samples))}
    for number, epoch in enumerate(epochs):
        for index, directory in enumerate(samples.directories):
            if epoch.get(index) != expected[index]:
                sys.exit(f"epoch {number}: {directory}: {epoch.get(index)} instead of {expected[index]}")
    tensors = sum(len(names) for names in expected.values())
    print(json.dumps({"samples": len(samples), "tensors": tensors, "epochs": args.epochs, "workers": args.workers}))


if __name__ == "__main__":
    main()
