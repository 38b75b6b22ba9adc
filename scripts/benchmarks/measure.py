"""Timing: medians with their spread, of whole processes or of calls."""

import json
import statistics
import subprocess
import sys
import time


def summary(seconds):
    return {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds), "runs": len(seconds)}


def calls(function, runs=5):
    """Seconds that calls of a function take, and their processor time; what it returns is thrown away."""
    seconds, cpu = [], []
    for _ in range(runs):
        start, started = time.perf_counter(), time.process_time()
        function()
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - started)
    return summary(seconds) | {"cpu": summary(cpu)}


# A process starts with its parent's peak memory for its own, so one without torch starts the command.
LAUNCH = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
seconds = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
outcome = {"code": done.returncode, "said": done.stderr.decode(), "seconds": seconds}
json.dump(outcome | {"peak": used.ru_maxrss * 1024, "cpu": used.ru_utime + used.ru_stime}, sys.stdout)
"""


def command(arguments, prepare=lambda: None, runs=5):
    """Seconds that a command takes, its processor time in seconds and the most memory in bytes that it held."""
    seconds, cpu, peak = [], [], 0
    for _ in range(runs):
        prepare()
        launched = subprocess.run([sys.executable, "-S", "-c", LAUNCH, *arguments], check=True, capture_output=True)
        outcome = json.loads(launched.stdout)
        if outcome["code"] != 0:
            raise RuntimeError(f"{arguments}: exit {outcome['code']}: {outcome['said']}")
        seconds.append(outcome["seconds"])
        cpu.append(outcome["cpu"])
        peak = max(peak, outcome["peak"])
    return summary(seconds) | {"cpu": summary(cpu), "peak_bytes": peak}


def table(title, columns, rows):
    """Prints a table; the first column is text, the rest are aligned right."""
    cells = [columns] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    print(f"\n{title}\n")
    for i, row in enumerate(cells):
        line = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("| " + " | ".join(line) + " |")
        if i == 0:
            print("|" + "|".join("-" * (width + 1) + (":" if j else "-") for j, width in enumerate(widths)) + "|")
