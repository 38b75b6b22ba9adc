"""Cold samples over a link of 20 ms a request: a mount of the store beside whole .pt objects fetched one by one.

One GET a file over a connection that stays open is the least that a file system over objects can do for a loader that
reads one file after the other."""

import io
import subprocess
import tempfile
import time
from contextlib import contextmanager
from http.client import HTTPConnection

import torch

import data
from bench_read import load, stems
from measure import summary, table
from mounts import mounted, seconds

DELAY_MS = 20


@contextmanager
def served(directory):
    """The address of a server of that directory, and a list that gets its requests and bytes when it ends."""
    server = subprocess.Popen(["serve", str(directory), str(DELAY_MS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    told = []
    try:
        yield server.stdout.readline().strip(), told
    finally:
        server.stdin.close()
        told += [int(number) for number in server.stdout.readline().split()]
        server.wait()


def through_mount(store, sample, below, fields):
    """Seconds for all fields of one sample through a mount of its own; requests and bytes, the manifest's too."""
    with served(store) as (address, told), mounted(f"http://{address}") as mount:
        taken = seconds(lambda: load(mount / sample / below, fields))
    return taken, *told


def as_objects(tree, sample, fields):
    with served(tree) as (address, told):
        connection = HTTPConnection(address)
        start = time.perf_counter()
        for field in fields:
            connection.request("GET", f"/{sample}/{field}.pt")
            torch.load(io.BytesIO(connection.getresponse().read()))
        taken = time.perf_counter() - start
        connection.close()
    return taken, *told


def run(runs=6):
    figures, rows = {}, []
    for name, view in [("shapenet", None), ("shapenet", 4096), ("drivaernet", None), ("drivaernet", 16_384)]:
        store, tree, fields = data.store(name), data.tree(name), stems(name)
        samples = sorted(path.name for path in tree.iterdir())[:runs]
        below = f"subsample_{view}_7" if view else "."
        # The first of each warms up imports and the page cache.
        ours = [through_mount(store, sample, below, fields) for sample in samples][1:]
        objects = [as_objects(tree, sample, fields) for sample in samples][1:]
        label = f"{name}, {f'view of {view}' if view else 'whole'}"
        mount, plain = summary([taken for taken, *_ in ours]), summary([taken for taken, *_ in objects])
        served_bytes = sum((tree / samples[1] / f"{field}.pt").stat().st_size for field in fields)
        figures[label] = {"mount": mount, "objects": plain, "requests": ours[0][1], "bytes": ours[0][2]}
        rate = f"{served_bytes / mount['median'] / 1e6:.0f} MB/s" if view is None else ""
        rows.append([label, f"1 ({plain['median'] * 1e3:.0f} ms)",
                     f"{plain['median'] / mount['median']:.1f} × ({mount['median'] * 1e3:.0f} ms)", rate,
                     f"{objects[0][1]} / {objects[0][2] / 1e6:.1f} MB", f"{ours[0][1]} / {ours[0][2] / 1e6:.1f} MB"])
    columns = ["torch.load of all fields, cold", "whole .pt objects", "mount", "served", "objects: requests", "mount: requests"]
    table(f"{DELAY_MS} ms a request; the mount's manifest is among its requests", columns, rows)
    return figures
