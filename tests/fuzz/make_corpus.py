#!/usr/bin/env python3
"""Makes corpus/safetensors: one small file for each rule of src/store/safetensors.h.

bad-<rule> breaks that rule and no other, good-<what> keeps all. tests/store/test_safetensors.c expects so of each.
"""
import json
import pathlib
import struct

OUT = pathlib.Path(__file__).parent / "corpus" / "safetensors"
TYPES = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
         "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64,
         "U64": 64}


def tensor(dtype, shape, begin, end, **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


def write(name, header, data=0, length=None):
    """header: an object, or the header's bytes; data: bytes after it; length: what the file says of the header."""
    if not isinstance(header, bytes):
        header = json.dumps(header, separators=(",", ":")).encode()
    prefix = struct.pack("<Q", len(header) if length is None else length)
    (OUT / name).write_bytes(prefix + header + bytes(i % 251 for i in range(data)))


def without(field):
    entry = tensor("F32", [2], 0, 8)
    del entry[field]
    return {"w": entry}


def raw(entry):
    return b'{"w":' + entry + b"}"


def good():
    write("good-empty", {})
    write("good-one", {"w": tensor("F32", [2, 3], 0, 24)}, 24)
    write("good-padding", json.dumps({"w": tensor("BF16", [4], 0, 8)}).encode() + b"   \n\t ", 8)
    write("good-metadata", {"__metadata__": {"format": "pt", "": "e\u00e9"}, "w": tensor("F64", [], 0, 8)}, 8)
    write("good-zero-sizes", {"a": tensor("F32", [2], 0, 8), "b": tensor("F32", [0, 7], 8, 8), "c": tensor("U8", [3], 8, 11),
                              "d": tensor("U8", [0], 0, 0)}, 11)
    write("good-order", {"z": tensor("I8", [4], 8, 12), "a": tensor("I16", [4], 0, 8)}, 12)
    header, at = {}, 0
    for name, bits in sorted(TYPES.items(), key=lambda item: -item[1]):
        header[name] = tensor(name, [2, 4], at, at + bits)
        at += bits
    write("good-types", header, at)


def bad_length():
    one = {"w": tensor("U8", [1], 0, 1)}
    (OUT / "bad-empty-file").write_bytes(b"")
    (OUT / "bad-short-file").write_bytes(b"\x02\0\0\0\0")
    write("bad-length-beyond", one, 1, 4096)
    write("bad-length-limit", one, 1, 100000001)
    write("bad-length-huge", one, 1, 2**64 - 1)
    write("bad-length-zero", b"", 3)
    write("bad-length-cuts-json", one, 1, 7)


def bad_json():
    write("bad-begin", b' {"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1)
    write("bad-array", b"[]")
    write("bad-json", b'{"w":}')
    write("bad-after-json", b"{}{}")
    write("bad-nul-after-json", b"{}\0\0")
    write("bad-utf8", b'{"\xff\xfe":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1)
    write("bad-nul-in-name", b'{"w\\u0000":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1)
    write("bad-deep", b'{"w":' + b"[" * 5000 + b"]" * 5000 + b"}")
    entry = b'{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    for name, key in (("bad-duplicate", b'"w"'), ("bad-duplicate-long", b'"model.layers.0.mlp.down_proj.weight"')):
        write(name, b"{" + key + b":" + entry + b"," + key + b" : " + entry + b"}", 1)
    write("bad-duplicate-escaped", b'{"w":' + entry + b',"\\u0077":' + entry + b"}", 1)
    write("bad-duplicate-field", raw(b'{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}'), 1)


def bad_entries():
    write("bad-metadata", {"__metadata__": ["pt"]})
    write("bad-metadata-value", {"__metadata__": {"format": 1}})
    write("bad-entry", {"w": [1]})
    for field in ("dtype", "shape", "data_offsets"):
        write("bad-no-" + field.replace("_", "-"), without(field), 8)
    write("bad-field", {"w": tensor("F32", [2], 0, 8, strides=[1])}, 8)
    write("bad-dtype", {"w": tensor("F12", [2], 0, 8)}, 8)
    write("bad-dtype-type", {"w": tensor(32, [2], 0, 8)}, 8)
    write("bad-name-control", {"w\u001b[2J\n": tensor("F12", [2], 0, 8)}, 8)
    write("bad-shape", {"w": tensor("F32", 2, 0, 8)}, 8)
    write("bad-shape-item", {"w": tensor("F32", [2.0], 0, 8)}, 8)
    write("bad-shape-negative", {"w": tensor("F32", [-1, -2], 0, 8)}, 8)
    write("bad-shape-overflow", {"w": tensor("F32", [2**32, 2**32], 0, 0)})
    write("bad-shape-range", {"w": tensor("F32", [2**64 + 2], 0, 8)}, 8)
    write("bad-bytes-overflow", {"w": tensor("F64", [2**61], 0, 0)})
    write("bad-half-byte", {"w": tensor("F4", [3], 0, 1)}, 1)


def bad_offsets():
    write("bad-offsets", {"w": dict(tensor("F32", [2], 0, 8), data_offsets=8)}, 8)
    write("bad-offsets-count", {"w": dict(tensor("F32", [2], 0, 8), data_offsets=[0, 8, 8])}, 8)
    write("bad-offsets-type", {"w": dict(tensor("F32", [2], 0, 8), data_offsets=[0, "8"])}, 8)
    write("bad-offsets-negative", {"w": tensor("F32", [2], -8, 0)}, 8)
    write("bad-offsets-reversed", {"w": tensor("F32", [2], 8, 0)}, 8)
    write("bad-offsets-beyond", {"w": tensor("F32", [4], 0, 16)}, 8)
    write("bad-offsets-far", {"w": tensor("F32", [2], 2**63 - 9, 2**63 - 1)}, 8)
    write("bad-size", {"w": tensor("F32", [3], 0, 8)}, 8)
    write("bad-misaligned", {"a": tensor("U8", [2], 0, 2), "w": tensor("F32", [2], 2, 10)}, 10)
    write("bad-overlap", {"a": tensor("F32", [2], 0, 8), "w": tensor("F32", [2], 4, 12)}, 12)
    write("bad-same-bytes", {"a": tensor("F32", [2], 0, 8), "w": tensor("F32", [2], 0, 8)}, 8)
    write("bad-hole", {"a": tensor("F32", [2], 0, 8), "w": tensor("F32", [2], 12, 20)}, 20)
    write("bad-hole-first", {"w": tensor("F32", [2], 8, 16)}, 16)
    write("bad-after-data", {"w": tensor("F32", [2], 0, 8)}, 9)
    write("bad-data-of-nothing", {}, 1)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    good()
    bad_length()
    bad_json()
    bad_entries()
    bad_offsets()
