"""One large field through a mount, cold, beside its two floors: decoding alone, and FUSE alone."""

import json
import subprocess

import zarr

import data
from measure import summary, table
from mounts import mounted, read, seconds, zeros

SAMPLE, FIELD = "run_0", "volume_velocity"


def decode_floor(store, threads, runs):
    command = ["decode_floor", str(store), SAMPLE, FIELD, str(threads), str(runs)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def compare(dtype, chunk, runs=7):
    store, legacy = data.field_store(dtype, chunk), data.field_tree()
    # One after the other, so that all meet the same machine; the first of each is not counted.
    cold, again, fuse, floors, python, local = [], [], [], {1: [], 2: []}, [], []
    for _ in range(runs + 1):
        with mounted(store) as point:
            path = point / SAMPLE / "volume_U.pt"
            cold.append(seconds(lambda: read(path)))
            again.append(seconds(lambda: read(path)))
            size = path.stat().st_size
        with zeros() as point:
            fuse.append(seconds(lambda: read(point / str(size))))
        for threads, floor in floors.items():
            floor.append(min(decode_floor(store, threads, 3)))
        array = zarr.open_array(str(store / f"{SAMPLE}.zarr" / "volume" / "velocity"), mode="r")
        python.append(seconds(lambda: array[:].astype("float32", copy=False)))
        local.append(seconds(lambda: read(legacy / SAMPLE / "volume_U.pt")))
    measured = {"cold": cold, "again": again, "fuse_floor": fuse, "zarr_python": python, "local_pt": local}
    measured |= {f"decode_floor_{threads}": floor for threads, floor in floors.items()}
    return {key: summary(values[1:]) for key, values in measured.items()}


def run():
    figures, rows = {}, []
    for dtype in ["float32", "float16"]:
        for chunk in [16_384, 4_096]:
            found = figures[f"{dtype}, chunk {chunk}"] = compare(dtype, chunk)
            median = lambda key: found[key]["median"]
            floor = max(median("decode_floor_2"), median("fuse_floor"))
            found["beside_the_floor"] = median("cold") / floor
            milliseconds = lambda key: f"{median(key) * 1e3:.1f} ms"
            keys = ["cold", "again", "decode_floor_1", "decode_floor_2", "fuse_floor", "zarr_python", "local_pt"]
            rows.append([f"{dtype}, chunk {chunk}", f"{median('cold') / floor:.2f} ×", *map(milliseconds, keys)])
    columns = ["(1.6 M, 3)", "cold beside the larger floor", "mount, cold", "mount, again", "decode, 1 thread"]
    columns += ["decode, 2 threads", "null FUSE", "zarr-python", ".pt, local disk"]
    table("read(2) of one field; the store in the page cache", columns, rows)
    return figures
