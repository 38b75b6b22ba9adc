"""Mounts to measure: samplefs and, beside it, a file system that answers zeros, which shows what FUSE itself costs."""

import os
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(command):
    """A mount by that command and its process; fresh, so nothing is cached in it, nor by the kernel."""
    with tempfile.TemporaryDirectory(prefix="samplefs-bench-") as point:
        process = subprocess.Popen([*command, point], stderr=subprocess.DEVNULL)
        try:
            while not os.path.ismount(point):
                if process.poll() is not None:
                    raise RuntimeError(f"{command} ended with exit code {process.returncode}")
                time.sleep(0.001)
            yield Path(point), process.pid
        finally:
            subprocess.run(["umount", "--lazy", point], check=False)
            process.wait()


@contextmanager
def mounted(store):
    with serving(["samplefs", "mount", str(store)]) as (point, _):
        yield point


@contextmanager
def zeros():
    """Any decimal number is the name of a file of so many bytes there."""
    with serving(["null_mount"]) as (point, _):
        yield point


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def read(path, buffer=bytearray(1 << 20)):
    """read(2) of a whole file, 1 MiB at a time, into memory that is used again."""
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
