#!/usr/bin/env python3
"""Makes corpus/npz: small statistics files as NumPy writes them, and some with a byte or two wrong.

Needs NumPy; the files are kept, so that tests do not.
"""
import io
import pathlib

import numpy

OUT = pathlib.Path(__file__).parent / "corpus" / "npz"
SUM = numpy.arange(9, dtype=numpy.float32).reshape(3, 3)
ITEMS = {"mom2.constructor": "util.runningstats.SecondMoment()", "mom2.count": 7, "mom2.mom2": SUM, "sample_size": 2}


def packed(save, items):
    out = io.BytesIO()
    save(out, **items)
    return out.getvalue()


def array(value, version):
    out = io.BytesIO()
    numpy.lib.format.write_array(out, value, version=version)
    return out.getvalue()


OUT.mkdir(parents=True, exist_ok=True)
stored, deflated = packed(numpy.savez, ITEMS), packed(numpy.savez_compressed, ITEMS)
end = stored.rindex(b"PK\5\6")
files = {
    "good-stored": stored,
    "good-deflated": deflated,
    "good-fortran": packed(numpy.savez, {**ITEMS, "mom2.mom2": numpy.asfortranarray(SUM.astype(numpy.float64))}),
    "good-comment": stored[:-2] + b"\5\0hello",
    "good-array-v1": array(SUM, (1, 0)),
    "good-array-v2": array(SUM, (2, 0)),
    "good-array-v3": array(SUM, (3, 0)),
    "bad-empty": b"",
    "bad-cut": stored[:-30],
    "bad-count": stored[:end + 8] + b"\xff\xff\xff\xff" + stored[end + 12:],
    "bad-offset": stored[:end + 16] + b"\xff\xff\xff\x7f" + stored[end + 20:],
    "bad-crc": deflated.replace(b"PK\1\2", b"PK\1\2", 1)[:-40] + b"\1" * 18 + deflated[-22:],
    "bad-version": array(SUM, (1, 0)).replace(b"NUMPY\1", b"NUMPY\7"),
    "bad-shape": array(SUM, (1, 0)).replace(b"(3, 3)", b"(3, -3"),
}
for name, data in files.items():
    (OUT / name).write_bytes(data)
