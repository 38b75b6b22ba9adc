"""Writes a noether store of values that are hard on statistics, and what numpy makes of them in float64.

    extreme_store.py DIR

Prints the flat statistics of the finite values as JSON, null where there are none.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import zarr

SPECIAL = [np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-45, -1e-45, 1.17549435e-38, 0.0, -0.0, 3.4028235e38]


def fields():
    rng = np.random.default_rng(0)
    special = np.array(SPECIAL, dtype=np.float32)
    return {
        "position": rng.normal(1e6, 1e-1, (1000, 3)).astype(np.float32),
        "special": rng.choice(special, (1000, 2)),
        "giants": (rng.choice([-1e30, 1e30], (1000, 1)) * rng.uniform(0.5, 1, (1000, 1))).astype(np.float32),
        "subnormal": (rng.integers(-1000, 1000, (1000, 1)) * 1.4e-45).astype(np.float32),
        "constant": np.full((1000, 1), 0.1, dtype=np.float32),
        "nothing": np.full((1000, 1), np.nan, dtype=np.float32),
        "alone": np.where(np.arange(1000) == 500, 7.25, np.nan).astype(np.float32)[:, None],
        "half": rng.normal(0, 1e4, (1000, 3)).astype(np.float16),
        "wide": rng.normal(1e-3, 1, (1000, 1)),
    }


def moments(column):
    finite = column[np.isfinite(column)].astype(np.float64)
    n = len(finite)
    log = np.sign(finite) * np.log1p(np.abs(finite))
    # Two passes in extended precision: numpy's own float64 would be the less exact of the two.
    extended = lambda x: x.astype(np.longdouble)
    mean = lambda x: float(extended(x).mean()) if n else None
    std = lambda x: float(extended(x).std(ddof=1)) if n > 1 else None
    low, high = (float(finite.min()), float(finite.max())) if n else (None, None)
    return mean(finite), std(finite), low, high, mean(log), std(log)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    root = parser.parse_args().dir
    data = fields()
    # Two samples cut from the same rows, so that sums over both are numpy's over all.
    cuts = {"a": slice(0, 300), "b": slice(300, 1000)}
    for sample, cut in cuts.items():
        group = zarr.create_group(root / f"{sample}.zarr", zarr_format=3)
        for name, values in data.items():
            values = values[cut]
            array = group.create_array(
                f"volume/{name}", shape=values.shape, dtype=values.dtype, chunks=(64, values.shape[1]), fill_value=0
            )
            array[:] = values
    arrays = {
        f"volume_{name}": {
            "array_name": f"volume/{name}",
            "field": f"volume_{name}",
            "dtype": str(values.dtype),
            "dim": values.shape[1],
        }
        for name, values in data.items()
    }
    grids = {sample: cut.stop - cut.start for sample, cut in cuts.items()}
    manifest = {
        "dataset_name": "Extreme",
        "format_version": 1,
        "shuffle_seed": 0,
        "domains": {"volume": {"position": "volume_position", "arrays": arrays}},
        "samples": {
            sample: {
                "relpath": f"{sample}.zarr",
                "domains": {
                    "volume": {
                        "n_points": n,
                        "chunk_points": 64,
                        "shard_points": 64,
                        "n_chunks": -(-n // 64),
                    }
                },
            }
            for sample, n in grids.items()
        },
    }
    (root / "manifest.json").write_text(json.dumps(manifest, indent=2))

    stats = {}
    for name in sorted(data):
        served = data[name].astype(np.float32)
        columns = zip(*[moments(column) for column in served.T])
        for key, numbers in zip(["mean", "std", "min", "max", "logscale_mean", "logscale_std"], columns):
            stats[f"volume_{name}_{key}"] = numbers
        stats[f"volume_{name}_count"] = len(served)
        if bad := int((~np.isfinite(served)).sum()):
            stats[f"volume_{name}_nonfinite_count"] = bad
    stats["raw_pos_min"] = [float(data["position"].min())]
    stats["raw_pos_max"] = [float(data["position"].max())]
    print(json.dumps(stats))


if __name__ == "__main__":
    main()
