"""Writes tests/odd: valid noether stores that the reference's own writer would not write, and what they read as.

    make_odd_stores.py DIR

Zarr lets a store be laid out in many ways that read alike. Each sample here has one way of its own; its id says
which. Array metadata is spelled out below as the Zarr specification has it, zarr-python writes the chunks, and
reference_reader.py says what must come out; before that is recorded, whole reads are held against what was put in.

    layouts/    one array per field kind, many ways of chunking, sharding, coding, naming and leaving out chunks;
                domains surface, surface_stl and volume, drawn from one generator; samples that lack a domain
    dtypes/     every type that numpy and Zarr share, every known field; extreme and barely roundable values;
                keys that no reader knows, at every level of the manifest

Each store has its manifest.json, its sample groups and expected.json: recorded reads, as in tests/golden.
The output depends on nothing but this file and the versions in requirements.txt.
"""

import argparse
import gzip
import json
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import zarr

from digests import sha256_le
from reference_reader import Store, record


# Codecs, in the words of zarr.json.


def codec(name, **configuration):
    return {"name": name, "configuration": configuration} if configuration else {"name": name}


def blosc(size, cname="zstd", clevel=5, shuffle="shuffle", blocksize=0):
    return codec("blosc", typesize=size, cname=cname, clevel=clevel, shuffle=shuffle, blocksize=blocksize)


LITTLE = codec("bytes", endian="little")
BIG = codec("bytes", endian="big")
GZIP = codec("gzip", level=6)
ZSTD = codec("zstd", level=3, checksum=False)
ZSTD_CHECKED = codec("zstd", level=3, checksum=True)
CRC32C = codec("crc32c")
TRANSPOSE = codec("transpose", order=[1, 0])


def written_by_reference(size):
    """The codecs of a chunk in every store that the reference writes."""
    return [LITTLE, blosc(size)]


@dataclass
class Layout:
    """How the arrays of one sample are stored."""

    chunk: int = 8
    # Chunks a shard; 0: not sharded; None: one shard holds all.
    per_shard: int | None = None
    # Item size -> the codecs of a chunk.
    codecs: object = written_by_reference
    index_codecs: list = field(default_factory=lambda: [LITTLE, CRC32C])
    index_location: str = "end"
    # Codecs around the whole shard.
    outer: list = field(default_factory=list)
    # Rows of the shards within shards; 0: none.
    nested: int = 0
    keys: dict = field(default_factory=lambda: codec("default", separator="/"))
    fill: object = 0
    consolidated: bool = True
    extra: dict = field(default_factory=dict)

    def grid(self, n_points):
        """The manifest's entry for a domain of so many points."""
        chunk = min(self.chunk, n_points)
        n_chunks = -(-n_points // chunk)
        per_shard = n_chunks if self.per_shard is None else self.per_shard or 1
        return {
            "n_points": n_points,
            "chunk_points": chunk,
            "shard_points": min(per_shard, n_chunks) * chunk,
            "n_chunks": n_chunks,
        }

    def metadata(self, values):
        """The array's zarr.json."""
        n_points, dim = values.shape
        grid = self.grid(n_points)
        codecs = self.codecs(values.dtype.itemsize)
        if self.nested:
            codecs = [self._sharding(self.nested, dim, codecs)]
        if self.per_shard != 0:
            codecs = [self._sharding(grid["chunk_points"], dim, codecs), *self.outer]
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [n_points, dim],
            "data_type": values.dtype.name,
            "chunk_grid": codec("regular", chunk_shape=[grid["shard_points"], dim]),
            "chunk_key_encoding": self.keys,
            "fill_value": self.fill if isinstance(self.fill, str) else values.dtype.type(self.fill).item(),
            "codecs": codecs,
            "attributes": {},
            **self.extra,
        }

    def _sharding(self, rows, dim, codecs):
        return codec(
            "sharding_indexed",
            chunk_shape=[rows, dim],
            codecs=codecs,
            index_codecs=self.index_codecs,
            index_location=self.index_location,
        )


def one_of(*codecs):
    """The same codecs for every item size."""
    return lambda size: list(codecs)


LAYOUTS = {
    # Unsharded.
    "unsharded/blosc": Layout(per_shard=0),
    "unsharded/uncompressed": Layout(per_shard=0, codecs=one_of(LITTLE)),
    "unsharded/gzip": Layout(per_shard=0, codecs=one_of(LITTLE, GZIP)),
    "unsharded/zstd": Layout(per_shard=0, codecs=one_of(LITTLE, ZSTD)),
    "unsharded/zstd-checked": Layout(per_shard=0, codecs=one_of(LITTLE, ZSTD_CHECKED)),
    "unsharded/crc32c": Layout(per_shard=0, codecs=one_of(LITTLE, CRC32C)),
    "unsharded/big-endian": Layout(per_shard=0, codecs=one_of(BIG)),
    "unsharded/transpose": Layout(per_shard=0, codecs=lambda size: [TRANSPOSE, LITTLE, blosc(size)]),
    "unsharded/one-chunk": Layout(per_shard=0, chunk=1000),
    # Names of the chunks' objects.
    "keys/dots": Layout(per_shard=0, keys=codec("default", separator=".")),
    "keys/version-2-dots": Layout(per_shard=0, keys=codec("v2", separator=".")),
    "keys/version-2-slashes": Layout(keys=codec("v2", separator="/")),
    "keys/dots, sharded": Layout(per_shard=2, keys=codec("default", separator=".")),
    # Sharded.
    "sharded/several": Layout(per_shard=3),
    "sharded/one chunk a shard": Layout(per_shard=1),
    "sharded/chunk-of-one": Layout(chunk=1),
    "sharded/chunk-of-all": Layout(chunk=1000),
    "sharded/uncompressed": Layout(codecs=one_of(LITTLE)),
    "sharded/big-endian": Layout(codecs=one_of(BIG), index_codecs=[BIG, CRC32C]),
    "sharded/big-endian, blosc": Layout(codecs=lambda size: [BIG, blosc(size)]),
    "sharded/transpose": Layout(codecs=lambda size: [TRANSPOSE, LITTLE, blosc(size)]),
    "sharded/gzip": Layout(per_shard=2, codecs=one_of(LITTLE, GZIP)),
    "sharded/zstd": Layout(codecs=one_of(LITTLE, ZSTD)),
    "sharded/zstd, crc32c": Layout(per_shard=3, codecs=one_of(LITTLE, ZSTD, CRC32C)),
    "sharded/blosc, crc32c": Layout(codecs=lambda size: [LITTLE, blosc(size), CRC32C]),
    "sharded/index at start": Layout(per_shard=3, index_location="start"),
    "sharded/index without crc32c": Layout(index_codecs=[LITTLE]),
    "sharded/index at start without crc32c": Layout(index_location="start", index_codecs=[LITTLE]),
    "sharded/outer crc32c": Layout(per_shard=3, outer=[CRC32C]),
    "sharded/outer gzip": Layout(outer=[GZIP]),
    "sharded/nested": Layout(chunk=16, nested=4),
    # What blosc can be told.
    "blosc/lz4, bitshuffle": Layout(codecs=lambda size: [LITTLE, blosc(size, "lz4", shuffle="bitshuffle")]),
    "blosc/blosclz": Layout(codecs=lambda size: [LITTLE, blosc(size, "blosclz")]),
    "blosc/zlib, no shuffle": Layout(codecs=lambda size: [LITTLE, blosc(size, "zlib", shuffle="noshuffle")]),
    "blosc/zstd, no shuffle": Layout(codecs=lambda size: [LITTLE, blosc(size, shuffle="noshuffle")]),
    "blosc/zstd, bitshuffle": Layout(codecs=lambda size: [LITTLE, blosc(size, shuffle="bitshuffle")]),
    "blosc/zstd, other typesize": Layout(codecs=lambda size: [LITTLE, blosc(3)]),
    "blosc/level 0": Layout(codecs=lambda size: [LITTLE, blosc(size, clevel=0)]),
    "blosc/small blocks": Layout(chunk=64, codecs=lambda size: [LITTLE, blosc(size, blocksize=128)]),
    # Names, metadata, sizes.
    "no consolidated metadata": Layout(consolidated=False),
    "no consolidated metadata, unsharded": Layout(per_shard=0, consolidated=False),
    "names and attributes": Layout(extra={"dimension_names": ["point", None], "attributes": {"unit": "m/s", "n": [1]}}),
    "Größe 1 — naïve 日本": Layout(),
    "one-point": Layout(),
    # Chunks and objects that are not there. The values are chosen in `layout_values`.
    "fill/zero fields": Layout(),
    "fill/zero fields, unsharded": Layout(per_shard=0),
    "fill/zero chunks": Layout(),
    "fill/zero chunks, several shards": Layout(per_shard=2),
    "fill/zero chunks, unsharded": Layout(per_shard=0),
    "fill/two and a half": Layout(per_shard=2, fill=2.5),
    "fill/two and a half, unsharded": Layout(per_shard=0, fill=2.5),
    "fill/NaN": Layout(per_shard=2, fill="NaN"),
    "fill/-Infinity": Layout(per_shard=2, fill="-Infinity"),
    # Values.
    "values/NaN, infinity, negative zero": Layout(),
    "values/random": Layout(),
    # Domains.
    "lacks/volume": Layout(),
    "lacks/surface": Layout(),
    "lacks/all but surface_stl": Layout(),
}

LAYOUT_FIELDS = {
    "surface_position": ("surface/position", "float32", 3),
    "surface_pressure": ("surface/pressure", "float16", 1),
    "surface_position_stl": ("surface_stl/position", "float32", 3),
    "volume_position": ("volume/position", "float32", 3),
}


def layout_points(sample_id):
    """Domain -> points of a sample of `layouts`."""
    if sample_id == "one-point":
        return {"surface": 1, "volume": 1}
    if sample_id == "blosc/small blocks":
        return {"surface": 150, "volume": 64}
    if sample_id == "lacks/volume":
        return {"surface": 45, "surface_stl": 21}
    if sample_id == "lacks/surface":
        return {"surface_stl": 21, "volume": 67}
    if sample_id == "lacks/all but surface_stl":
        return {"surface_stl": 33}
    if sample_id in ("sharded/several", "unsharded/blosc", "keys/dots"):
        return {"surface": 45, "surface_stl": 21, "volume": 67}
    if sample_id.startswith("fill/"):
        return {"surface": 45, "volume": 32}
    # The last chunk of 8 is short in one domain and full in the other.
    return {"surface": 29, "volume": 32}


def layout_values(sample_id, name, shape, rng):
    """The values of a field of `layouts`, in float64."""
    values = np.round(rng.normal(size=shape) * 8) / 4 + np.arange(shape[0])[:, None] / 16
    if sample_id == "values/random":
        return rng.normal(size=shape)
    if sample_id == "values/NaN, infinity, negative zero":
        # The last chunk of zeros is data: its zeros are negative.
        values[:8] = 0.0
        values[8:16] = -0.0
        values[16:20, 0] = [np.nan, np.inf, -np.inf, -np.nan]
        values[20:24, 0] = [6e-8, -6e-5, 65504, -1e-40 if name.endswith("position") else 2.0**-24]
    if sample_id.startswith("fill/"):
        fill = float(LAYOUTS[sample_id].fill)
        if "fields" in sample_id:
            # Positions are data, the pressure is not there at all.
            values[:] = values if name.endswith("position") else fill
        else:
            # Chunks 1, 2 and the last; with two chunks a shard also half a shard and a whole one.
            values[8:24] = fill
            values[-(shape[0] % 8 or 8) :] = fill
    return values


# numpy's and Zarr's common types, one a field. Positions may have other types than float32, too.
DTYPE_FIELDS = {
    "surface_position": ("surface/position", "float64", 3),
    "surface_pressure": ("surface/pressure", "int8", 1),
    "surface_friction": ("surface/friction", "int16", 3),
    "surface_normals": ("surface/normals", "int32", 3),
    "surface_area": ("surface/area", "bool", 1),
    "surface_position_stl": ("surface_stl/position", "float16", 3),
    "surface_position_stl_resampled": ("surface_stl_resampled/position", "float32", 3),
    "volume_position": ("volume/position", "float32", 3),
    "volume_pressure": ("volume/pressure", "uint8", 1),
    "volume_velocity": ("volume/velocity", "int64", 3),
    "volume_vorticity": ("volume/vorticity", "uint16", 3),
    "volume_normals": ("volume/normals", "uint32", 3),
    "volume_friction": ("volume/friction", "uint64", 3),
    "volume_sdf": ("volume/sdf", "float64", 1),
}

DTYPES = {
    "sharded": Layout(),
    "sharded, big-endian, gzip": Layout(per_shard=2, codecs=one_of(BIG, GZIP)),
    "unsharded, transpose": Layout(per_shard=0, codecs=lambda size: [TRANSPOSE, LITTLE, blosc(size)]),
}


def dtype_points(sample_id):
    return {"surface": 21, "surface_stl": 9, "surface_stl_resampled": 16, "volume": 20}


def dtype_values(dtype, shape, rng):
    """Values of the whole range of a type; those that float32 rounds, overflows or makes subnormal come first."""
    if dtype == "bool":
        return rng.integers(0, 2, size=shape).astype(bool)
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        values = rng.integers(limits.min, limits.max, size=shape, dtype=dtype, endpoint=True)
        odd = [limits.min, limits.max, 2**24 + 1, 2**24 + 3, 2**53 + 1, 2**63 + 2**39, 2**63 + 2**39 + 1]
    else:
        values = (rng.normal(size=shape) * 100).astype(dtype)
        odd = [1 + 2**-24, 1 + 2**-24 + 2**-50, 1 + 3 * 2**-24, 1e-40, -1e-46, 1e300, -3.4028235677973366e38, np.nan]
        limits = np.finfo(dtype)
    odd = [x for x in odd if not (x < int(limits.min) or x > int(limits.max))]
    values.reshape(-1)[: len(odd)] = np.array(odd, dtype=dtype)
    return values


# A whole store.


def write_sample(group, layout, values):
    """values: array path -> rows."""
    zarr.create_group(group)
    for path, rows in values.items():
        if not (group / path).parent.exists():
            zarr.create_group((group / path).parent)
        (group / path).mkdir()
        (group / path / "zarr.json").write_text(json.dumps(layout.metadata(rows)))
        zarr.open_array(group / path, mode="r+")[:] = rows
    if layout.consolidated:
        zarr.consolidate_metadata(group)


def manifest(fields, layouts, points):
    domains = {}
    for name, (path, dtype, dim) in fields.items():
        domain = domains.setdefault(path.split("/")[0], {"position": None, "arrays": {}})
        canonical = path.replace("/", "_")
        if path.endswith("/position"):
            domain["position"] = canonical
        domain["arrays"][canonical] = {"array_name": path, "field": canonical, "dtype": dtype, "dim": dim}
    return {
        "dataset_name": "OddDataset",
        "format_version": 1,
        "shuffle_seed": 0,
        "coords_dtype": "float32",
        "values_dtype": "float16",
        "compressor": "blosc-zstd-5",
        "domains": dict(sorted(domains.items())),
        "samples": {
            sample_id: {
                "relpath": f"{sample_id}.zarr",
                "domains": {domain: layout.grid(n) for domain, n in points(sample_id).items()},
            }
            for sample_id, layout in layouts.items()
        },
    }


def write_store(root, fields, layouts, points, values_of, finish=lambda manifest: None):
    """Writes a store and what it reads as. values_of: (sample, field, dtype, shape, rng) -> rows."""
    index = manifest(fields, layouts, points)
    finish(index)
    root.mkdir(parents=True)
    (root / "manifest.json").write_text(json.dumps(index, indent=2, ensure_ascii=False))
    (root / "train_design_ids.txt").write_text("".join(f"{sample_id}\n" for sample_id in layouts))

    expected = []
    store = Store(root)
    for number, (sample_id, layout) in enumerate(layouts.items()):
        rng = np.random.default_rng(number)
        written = {
            path: values_of(sample_id, name, dtype, (points(sample_id)[path.split("/")[0]], dim), rng)
            for name, (path, dtype, dim) in fields.items()
            if path.split("/")[0] in points(sample_id)
        }
        write_sample(root / f"{sample_id}.zarr", layout, written)
        expected += reads(store, sample_id, written, number)
    (root / "expected.json").write_text(json.dumps(expected, ensure_ascii=False).replace("}}, {", "}},\n{") + "\n")


def reads(store, sample_id, written, number):
    """The whole sample, the same count of every domain, and counts of their own with one domain whole."""
    whole = record(store, sample_id)
    for path, rows in written.items():
        name = path.replace("/", "_")
        stored = store.read_stored(sample_id, name)
        assert sha256_le(stored) == sha256_le(rows), f"{sample_id}: {name} does not read as it was written"
        whole["fields"][name] |= {"dtype": stored.dtype.name, "sha256_stored_le": sha256_le(stored)}
    domains = list(store.manifest["domains"])
    some = {domain: n for domain, n in zip(domains, (19, 10, 12, 17)) if domain != domains[number % len(domains)]}
    views = [
        record(store, sample_id, {domain: 11 + number % 17 for domain in domains}, number),
        record(store, sample_id, some, 2**32 + number),
    ]
    if number % 8 == 0:
        views.append(record(store, sample_id, {domain: 1 for domain in domains}, 2**64 - 1 - number))
    return [whole, *views]


def unknown_keys(index):
    """Readers ignore what they do not know, at every level."""
    index["x-note"] = {"nothing": ["to", "see"]}
    domain = index["domains"]["surface"]
    domain["x-domain"] = 1
    domain["arrays"]["surface_area"]["x-array"] = None
    sample = next(iter(index["samples"].values()))
    sample["x-sample"] = True
    sample["domains"]["surface"]["x-grid"] = 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    root = parser.parse_args().dir
    # zarr-python warns of what is asked for here: consolidated metadata in version 3, codecs around shards.
    warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
    # gzip writes the hour into its header, and every run would give other bytes.
    gzip.time = SimpleNamespace(time=lambda: 0)
    # Small files: metadata on one line.
    zarr.config.set({"json_indent": None})

    for name in ("layouts", "dtypes"):
        shutil.rmtree(root / name, ignore_errors=True)
    write_store(
        root / "layouts",
        LAYOUT_FIELDS,
        LAYOUTS,
        layout_points,
        lambda sample, name, dtype, shape, rng: layout_values(sample, name, shape, rng).astype(dtype),
    )
    write_store(
        root / "dtypes",
        DTYPE_FIELDS,
        DTYPES,
        dtype_points,
        lambda sample, name, dtype, shape, rng: dtype_values(dtype, shape, rng),
        unknown_keys,
    )


if __name__ == "__main__":
    main()
