"""Timing: medians with their spread, of whole processes or of calls."""

import os
import statistics
import subprocess
import time


def summary(seconds):
    return {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds), "runs": len(seconds)}


def calls(function, runs=5):
    """Seconds that calls of a function take; what it returns is thrown away."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return summary(seconds)


def command(arguments, prepare=lambda: None, runs=5):
    """Seconds that a command takes, and the most memory in bytes that it held."""
    seconds, peak = [], 0
    for _ in range(runs):
        prepare()
        start = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        # Small outputs only: nothing here fills a pipe.
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - start)
        said = process.stderr.read().decode()
        process.stderr.close()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{arguments}: exit {process.returncode}: {said}")
        peak = max(peak, usage.ru_maxrss * 1024)
    return summary(seconds) | {"peak_bytes": peak}


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
