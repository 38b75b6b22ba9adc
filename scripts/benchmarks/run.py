"""Runs the tables: prints each as ratios, then writes its figures as JSON."""

import argparse
import importlib
import json
import os
import platform
import time
import warnings
from pathlib import Path

TABLES = {
    "read": "bench_read",
    "field": "bench_field",
    "listing": "bench_listing",
    "scale": "bench_scale",
    "convert": "bench_convert",
    "stats": "bench_stats",
    "remote": "bench_remote",
}


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {"cpu": model, "cpus": os.cpu_count(), "kernel": platform.release(), "date": time.strftime("%Y-%m-%d")}


def main():
    # zarr-python says at every write that consolidated metadata is no part of the specification yet.
    warnings.filterwarnings("ignore", message="Consolidated metadata")
    os.environ["PYTHONWARNINGS"] = "ignore"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the tables")
    args = parser.parse_args()
    if args.list:
        print("\n".join(TABLES))
        return
    unknown = set(args.tables) - set(TABLES)
    if unknown:
        parser.error(f"no table {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}")
    out = Path("target/bench")
    out.mkdir(parents=True, exist_ok=True)
    here = machine()
    print(f"{here['cpu']}, {here['cpus']} CPUs, Linux {here['kernel']}, {here['date']}")
    for name in args.tables or TABLES:
        figures = importlib.import_module(TABLES[name]).run()
        (out / f"{name}.json").write_text(json.dumps({"machine": here, "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
