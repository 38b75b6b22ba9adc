"""Writes tensors of every kind that torch and numpy save, and files that only look like one.

Usage: make_tensors.py DIR

DIR/index.json lists the files: `dtype` and `shape` for one that must be read, whose values stand
in C order in FILE.bin; `error`, a part of the message, for one that must be refused.
"""

import io
import json
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch

out = Path(sys.argv[1])
index = []


def good(name, tensor, file=None, **options):
    path = out / f"{name}.pt"
    torch.save(tensor, file or path, **options)
    plain = tensor.detach().resolve_conj().contiguous()
    dtype = str(plain.dtype).removeprefix("torch.")
    if plain.dtype == torch.bfloat16:
        plain = plain.view(torch.int16)
    (out / f"{name}.pt.bin").write_bytes(plain.numpy().tobytes())
    index.append({"file": path.name, "dtype": dtype, "shape": list(plain.shape)})
    return path


def bad(name, content, error):
    (out / f"{name}.pt").write_bytes(content)
    index.append({"file": f"{name}.pt", "error": error})


def saved(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def rezipped(content, compression=zipfile.ZIP_STORED, replace=None, drop=()):
    """The same zip written by zipfile, with some entries replaced, added or left out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        entries = {name: old.read(name) for name in old.namelist() if name not in drop}
    with zipfile.ZipFile(buffer, "w", compression) as new:
        for name, entry in (entries | (replace or {})).items():
            new.writestr(name, entry)
    return buffer.getvalue()


generator = torch.Generator().manual_seed(1)
x = torch.randn(50, 3, generator=generator)
dtypes = "float32 float16 bfloat16 float64 int64 int32 int16 int8 uint8 bool uint16 uint32 uint64".split()
# Before 2.3 torch had no unsigned integers but uint8.
for dtype in [dtype for dtype in dtypes if hasattr(torch, dtype)]:
    values = (x * 40).abs().to(getattr(torch, dtype))
    good(f"dtype_{dtype}", values)
    good(f"older_{dtype}", values, _use_new_zipfile_serialization=False)
for older in (False, True):
    tag = "older" if older else "zip"
    how = {"_use_new_zipfile_serialization": not older}
    good(f"{tag}_scalars", x[:, 0].clone(), **how)
    good(f"{tag}_rows_of_a_storage", x[7:31], **how)
    good(f"{tag}_a_column", x[:, 1], **how)
    good(f"{tag}_transposed", x.t(), **how)
    good(f"{tag}_every_other", x[1::2, ::2], **how)
    good(f"{tag}_expanded", torch.tensor([1.5]).expand(9, 3), **how)
    good(f"{tag}_no_rows", torch.zeros(0, 3), **how)
    good(f"{tag}_requires_grad", x.clone().requires_grad_(), **how)
    good(f"{tag}_parameter", torch.nn.Parameter(x.clone()), **how)
    good(f"{tag}_many_rows", torch.arange(70000.0), **how)
for protocol in (3, 4, 5):
    good(f"protocol_{protocol}", x, pickle_protocol=protocol)
if hasattr(torch.serialization, "set_crc32_options"):
    torch.serialization.set_crc32_options(False)
    good("no_checksum", x.clone())
    torch.serialization.set_crc32_options(True)
path = good("by_zipfile", x.clone())
path.write_bytes(rezipped(path.read_bytes()))
path = good("as_torch_1_12", x.clone())
later = [".format_version", ".storage_alignment", "byteorder", ".data/serialization_id"]
path.write_bytes(rezipped(path.read_bytes(), drop=[f"as_torch_1_12/{name}" for name in later]))


class Runs:
    def __reduce__(self):
        return os.system, (f"touch {out}/was-run",)


plain = saved(x)
older = saved(x, _use_new_zipfile_serialization=False)
with zipfile.ZipFile(io.BytesIO(plain)) as z:
    data_pkl = z.read("archive/data.pkl")

bad("code", rezipped(plain, replace={"archive/data.pkl": pickle.dumps(Runs(), 2)}), "which no plain tensor needs")
bad("code_older", older[:15] + pickle.dumps(Runs(), 2), "which no plain tensor needs")
bad("code_bare", pickle.dumps(Runs(), 2), "neither a torch zip")
bad("a_dict", saved({"x": x}), "found a dict")
bad("a_list", saved([x, x]), "found a list")
bad("a_number", saved(3), "found an integer")
bad("a_module", saved(torch.nn.Linear(2, 2)), "no plain tensor needs")
bad("complex", saved(torch.zeros(3, dtype=torch.complex64)), "ComplexFloatStorage")
# Before 2.0 torch forgot to save that values are to be negated.
if hasattr(torch._utils, "get_tensor_metadata"):
    bad("negated", saved(torch.zeros(3, dtype=torch.complex64).conj().imag), "plain one")
bad("sparse", saved(torch.eye(3).to_sparse()), "_rebuild_sparse_tensor")
bad("no_axis", saved(torch.tensor(1.0)), "0 axes")
bad("three_axes", saved(torch.zeros(2, 3, 4)), "3 axes")
bad("deflated", rezipped(plain, zipfile.ZIP_DEFLATED), "compressed (method 8)")
bad("bomb", rezipped(saved(torch.zeros(5_000_000)), zipfile.ZIP_DEFLATED), "compressed (method 8)")
encrypted = bytearray(rezipped(plain))
at = encrypted.find(b"PK\x01\x02")
encrypted[at + 8] |= 1
bad("encrypted", bytes(encrypted), "encrypted")
bad("empty", b"", "neither")
bad("text", b"<html>404</html>" * 100, "neither")
for share in (0.1, 0.5, 0.9, 0.999):
    bad(f"cut_zip_{share}", plain[: int(len(plain) * share)], "not a whole zip")
    bad(f"cut_older_{share}", older[: int(len(older) * share)], "")
bad("longer_older", older + b"\0", "in a file of")
bad("big_endian", rezipped(plain, replace={"archive/byteorder": b"big"}), "byte order")
bad("no_values", rezipped(plain, drop=["archive/data/0"]), "no entry archive/data/0")
bad("fewer_values", rezipped(plain, replace={"archive/data/0": bytes(100)}), "claims a storage of 600")

numel, shape = b"K\x96tq\x05Q", b"K2K\x03\x86"
assert numel in data_pkl and shape in data_pkl
huge = b"\x8a\x08" + struct.pack("<q", 1 << 60)
claims = {
    "claims_2_60_rows": data_pkl.replace(shape, huge + b"K\x03\x86"),
    "claims_2_60_values": data_pkl.replace(numel, huge + numel[2:]),
    "claims_a_negative_length": data_pkl.replace(shape, b"J\xff\xff\xff\xffK\x03\x86"),
    "claims_a_stride_of_2_60": data_pkl.replace(b"K\x03K\x01\x86", huge + b"K\x01\x86"),
    "claims_an_offset": data_pkl.replace(b"QK\x00", b"QK\x01"),
    "claims_a_long_string": data_pkl.replace(b"X\x07\x00\x00\x00storage", b"X\xff\xff\xff\x7fstorage"),
}
for name, claim in claims.items():
    assert claim != data_pkl
    bad(name, rezipped(plain, replace={"archive/data.pkl": claim}), "data.pkl" if "string" in name else "")
doubling = b"\x80\x02]q\x00" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(90)) + b"."
bad("doubling", rezipped(plain, replace={"archive/data.pkl": doubling}), "found a tuple")
bad("nested", rezipped(plain, replace={"archive/data.pkl": b"\x80\x02)" + b"\x85" * 900 + b"."}), "found a tuple")
bad("a_long_pickle", rezipped(plain, replace={"archive/data.pkl": b"\x80\x02)" + b"\x85" * 90000 + b"."}), "90004 bytes")
twice = io.BytesIO(plain)
with zipfile.ZipFile(twice, "a") as z:
    z.writestr("archive/data/0", bytes(600))
bad("twice", twice.getvalue(), "two zip entries")
many = io.BytesIO()
with zipfile.ZipFile(many, "w") as z:
    for i in range(2000):
        z.writestr(f"archive/data/{i}", b"")
bad("many_entries", many.getvalue(), "a zip directory of")
flipped = bytearray(plain)
flipped[plain.find(x.numpy().tobytes()) + 77] ^= 4
bad("flipped", bytes(flipped), "damaged")

for dtype in "float32 float16 float64 int64 int32 int16 int8 uint8 bool uint16 uint32 uint64".split():
    for name, values in (("rows", x), ("fortran", np.asfortranarray(x)), ("scalars", x[:, 0].clone())):
        values = np.asarray(values)
        values = (abs(values) * 40).astype(dtype, order="K")
        file = f"{name}_{dtype}.npy"
        np.save(out / file, values)
        (out / f"{file}.bin").write_bytes(values.tobytes())
        index.append({"file": file, "dtype": dtype, "shape": list(values.shape)})
for name, values, error in (
    ("big", np.zeros(3, ">f4"), "little-endian"),
    ("object", np.array([{}]), "little-endian"),
    ("record", np.zeros(3, [("a", "<f4")]), ""),
    ("text", np.array(["a"]), "little-endian"),
    ("one", np.float32(1), "0 axes"),
):
    np.save(out / f"{name}.npy", values)
    index.append({"file": f"{name}.npy", "error": error})
np.save(out / "cut.npy", x.numpy())
(out / "cut.npy").write_bytes((out / "cut.npy").read_bytes()[:-1])
index.append({"file": "cut.npy", "error": "in a file of"})
claim = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976, 16), }"
(out / "claim.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(claim)) + claim)
index.append({"file": "claim.npy", "error": "shape"})

(out / "index.json").write_text(json.dumps(index))
