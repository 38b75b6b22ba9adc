"""Reads what is served at a URL as Prometheus would; prints its metrics as JSON, and what breaks its rules."""

import json
import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

with urllib.request.urlopen(sys.argv[1], timeout=30) as response:
    media = response.headers["Content-Type"]
    text = response.read().decode()
assert media == "application/openmetrics-text; version=1.0.0; charset=utf-8", media

wrong, values = [], {}
for family in text_string_to_metric_families(text):
    if not family.name.startswith("samplefs_") or not family.documentation:
        wrong.append(f"{family.name}: no prefix or no help")
    if family.unit and not family.name.endswith("_" + family.unit):
        wrong.append(f"{family.name}: its unit is {family.unit}")
    if family.unit not in ("", "bytes", "seconds"):
        wrong.append(f"{family.name}: {family.unit} is no base unit")
    for sample in family.samples:
        labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
        values[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
json.dump({"wrong": wrong, "values": values}, sys.stdout)
