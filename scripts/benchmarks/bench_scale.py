"""Stores of very many samples: how soon a mount answers, and how much memory it takes."""

import os
import re
import time
from pathlib import Path

import data
from measure import summary, table
from mounts import serving


def status(pid, key):
    """A line of /proc/PID/status, in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{key}:\s+(\d+) kB$", text, re.MULTILINE)[1]) * 1024


def processor_time(pid):
    """Seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(count):
    """Seconds until a file's size was told, processor time, and bytes of memory then and at the most."""
    store = data.listed_store({"all": count})
    start = time.perf_counter()
    with serving(["samplefs", "mount", str(store)]) as (point, pid):
        assert (point / "all" / f"sample_{count - 1:07}" / "volume_sdf.pt").stat().st_size > 0
        waited = time.perf_counter() - start
        return waited, processor_time(pid), status(pid, "VmRSS"), status(pid, "VmHWM")


def run(runs=5):
    figures, rows = {}, []
    for count in [100_000, 300_000, 1_000_000]:
        measured = [measure(count) for _ in range(runs + 1)][1:]
        seconds, cpu, resident, peak = zip(*measured)
        found = figures[str(count)] = {
            "seconds": summary(seconds),
            "cpu": summary(cpu),
            "resident": max(resident),
            "peak": max(peak),
            "manifest_bytes": (data.listed_store({"all": count}) / "manifest.json").stat().st_size,
        }
        wait, busy = found["seconds"]["median"], found["cpu"]["median"]
        memory = [f"{max(peak) / 2**20:.0f} MiB", f"{max(peak) / count:.0f} B"]
        time_taken = [f"{wait:.2f} s", f"{busy:.2f} s", f"{busy * 1e6 / count:.2f} µs"]
        rows.append([f"{count:,} samples", *time_taken, *memory, f"{found['manifest_bytes'] / 1e6:.0f} MB"])
    columns = ["two domains, seven fields", "until it answers", "processor time", "a sample", "peak memory", "a sample"]
    columns.append("manifest")
    table("Mounting stores of many samples", columns, rows)
    return figures
