"""stats beside numpy on the same store: read with zarr-python, and on values already in memory."""

import numpy as np
import zarr

import data
from measure import calls, command, table


def moments(values):
    values = values.astype(np.float64)
    logs = np.sign(values) * np.log1p(np.abs(values))
    return [f(x, axis=0) for x in (values, logs) for f in (np.mean, np.var)] + [values.min(axis=0), values.max(axis=0)]


def arrays(name):
    for directory in sorted(data.store(name).glob("*.zarr")):
        group = zarr.open_group(str(directory), mode="r")
        for domain in group.group_keys():
            for _, array in sorted(group[domain].arrays()):
                yield array


def run():
    figures = {}
    for name, runs in [("shapenet", 5), ("drivaernet", 5)]:
        store = data.store(name)
        points = sum(array.shape[0] for array in arrays(name))
        in_memory = [array[:].astype(np.float32) for array in arrays(name)]
        theirs = calls(lambda: [moments(array[:].astype(np.float32)) for array in arrays(name)], runs)
        numpy_alone = calls(lambda: [moments(values) for values in in_memory], runs)
        decoding = calls(lambda: [array[:] for array in arrays(name)], runs)
        figures[name] = {"points": points, "zarr_python": theirs, "numpy": numpy_alone, "zarr_python_reading": decoding}
        rate = lambda figure: f"{points / figure['median'] / 1e6:.1f}"
        rows = [
            ["zarr-python and numpy", "1", rate(theirs)],
            ["zarr-python, reading alone", f"{theirs['median'] / decoding['median']:.1f} ×", rate(decoding)],
            ["numpy, values in memory", f"{theirs['median'] / numpy_alone['median']:.1f} ×", rate(numpy_alone)],
        ]
        for workers in [1, 2]:
            ours = command(["samplefs", "stats", str(store), "--json", "--workers", str(workers)], runs=runs)
            figures[name][f"workers_{workers}"] = ours
            rows.append([f"samplefs, {workers} workers", f"{theirs['median'] / ours['median']:.1f} ×", rate(ours)])
        table(f"{name}: {points / 1e6:.1f} million field points", ["stats", "speed", "million points/s"], rows)
    return figures
