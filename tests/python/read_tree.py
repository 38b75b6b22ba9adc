"""Loads every .pt and .npy file below DIR in every way that torch and numpy have.

Prints {path below DIR: {shape, dtype, sha256}}, the hash of the values' little-endian bytes. Exits 1, with the reason
on stderr, when a file does not load in some way or two ways disagree, or when there is no file at all.
"""

import argparse
import json
import sys

from loading import describe, tensor_files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    root = parser.parse_args().dir
    try:
        found = {str(path.relative_to(root)): describe(path) for path in tensor_files(root)}
    except AssertionError as error:
        sys.exit(str(error))
    if not found:
        sys.exit(f"{root}: no .pt or .npy files")
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
