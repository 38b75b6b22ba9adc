"""Directories through a mount beside the same tree on the local disk, with the kernel's names and inodes dropped."""

import subprocess
from pathlib import Path

import data
from measure import summary, table
from mounts import mounted, seconds

# 100,000 samples in one directory, 10,000 in the other.
WORK = {
    "ls, 100,000 samples": ["ls", "-U", "many"],
    "find -name, 100,000 samples": ["find", "many", "-name", "volume_sdf.pt"],
    "ls -l, 10,000 samples": ["ls", "-l", "some"],
}


def forget_names():
    """Needs root; without, what is called cold here is warm on the local disk."""
    try:
        Path("/proc/sys/vm/drop_caches").write_text("2")
    except PermissionError:
        return False
    return True


def timed(command, root):
    return seconds(lambda: subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL))


def run(runs=5):
    samples = {"many": 100_000, "some": 10_000}
    store, tree = data.listed_store(samples), data.listed_tree(samples)
    figures, rows = {"names_dropped": forget_names()}, []
    for label, command in WORK.items():
        measured = {"mount_cold": [], "mount_again": [], "local_cold": [], "local_again": []}
        for _ in range(runs):
            forget_names()
            measured["local_cold"].append(timed(command, tree))
            measured["local_again"].append(timed(command, tree))
            with mounted(store) as point:
                measured["mount_cold"].append(timed(command, point))
                measured["mount_again"].append(timed(command, point))
        found = figures[label] = {key: summary(values) for key, values in measured.items()}
        median = lambda key: found[key]["median"]
        cell = lambda key, base: f"{median(base) / median(key):.2f} × ({median(key) * 1e3:.0f} ms)"
        cold, again = cell("mount_cold", "local_cold"), cell("mount_again", "local_again")
        rows.append([label, cold, f"{median('local_cold') * 1e3:.0f} ms", again, f"{median('local_again') * 1e3:.0f} ms"])
    columns = ["speed beside the local disk", "mount, cold", "local, cold", "mount, again", "local, again"]
    table("Listings; cold: names and inodes dropped", columns, rows)
    return figures
