#!/usr/bin/env python3
"""Makes corpus/cdf: one small file for each rule of src/store/cdf.h.

bad-<rule> breaks that rule, good-<what> keeps all. tests/store/test_cdf.c expects so of each.
"""
import pathlib
import struct

OUT = pathlib.Path(__file__).parent / "corpus" / "cdf"
CHAR, INT, FLOAT, DOUBLE, INT64 = 2, 4, 5, 6, 10
STREAM = [("format", CHAR, 14, b"rlsedit-stream"), ("version", INT, 1, struct.pack(">i", 1)),
          ("module", CHAR, 4, b"h.{}"), ("value_kind", CHAR, 6, b"target")]
DIMS = [("edit", 0), ("n_0", 3), ("m_0", 2)]
# name, dimensions, attributes, type, offset behind the header
VARS = [("case_id", [0], [("unit", CHAR, 1, b"x")], INT, 0), ("key_0", [0, 1], [], FLOAT, 4),
        ("value_0", [0, 2], [], DOUBLE, 16)]


def padded(data):
    return data + bytes(-len(data) % 4)


class File:
    def __init__(self, version):
        self.version = version
        self.wide = ">q" if version == 5 else ">i"
        self.offset = ">i" if version == 1 else ">q"

    def count(self, value):
        return struct.pack(self.wide, value)

    def name(self, text):
        return self.count(len(text)) + padded(text.encode())

    def list(self, tag, items, count=None):
        return struct.pack(">i", tag if items else 0) + self.count(len(items) if count is None else count) + b"".join(items)

    def atts(self, atts):
        return self.list(12, [self.name(n) + struct.pack(">i", t) + self.count(k) + padded(v) for n, t, k, v in atts])

    def vars(self, variables, base):
        return self.list(11, [self.name(n) + self.count(len(d)) + b"".join(self.count(i) for i in d) + self.atts(a)
                              + struct.pack(">i", t) + self.count(0) + struct.pack(self.offset, base + at)
                              for n, d, a, t, at in variables])

    def make(self, records, dims, atts, variables, data, dim_count=None):
        head = b"CDF" + bytes([self.version]) + self.count(records)
        head += self.list(10, [self.name(n) + self.count(k) for n, k in dims], dim_count) + self.atts(atts)
        base = len(head) + len(self.vars(variables, 0))
        return head + self.vars(variables, base) + b"\1" * data


def changed(variables, place, **new):
    fields = ["name", "dims", "atts", "type", "at"]
    return [tuple(new.get(f, v) for f, v in zip(fields, var)) if i == place else var for i, var in enumerate(variables)]


def good(out):
    for version in (1, 2, 5):
        f = File(version)
        out[f"good-stream-{version}"] = f.make(2, DIMS, STREAM, VARS, 64)
        out[f"good-moments-{version}"] = f.make(
            0, [("n_0", 3)], [("format", CHAR, 15, b"rlsedit-moments")],
            [("second_moment_0", [0, 0], [], DOUBLE, 0), ("count_0", [], [], INT, 72)], 76)
    f = File(5)
    out["good-empty"] = f.make(0, [], [], [], 0)
    out["good-no-records"] = f.make(0, DIMS, STREAM, VARS, 0)
    out["good-one-record-variable"] = f.make(3, [("edit", 0)], [], [("note", [0], [], CHAR, 0)], 3)


def bad(out):
    f = File(5)
    whole = f.make(2, DIMS, STREAM, VARS, 64)
    out["bad-empty-file"] = b""
    out["bad-magic"] = b"CDG\5" + whole[4:]
    out["bad-version"] = b"CDF\3" + whole[4:]
    out["bad-hdf5"] = b"\x89HDF\r\n\x1a\n" + bytes(64)
    out["bad-short-header"] = whole[:333]
    out["bad-short-data"] = whole[:-1]
    out["bad-streaming"] = f.make(-1, DIMS, STREAM, VARS, 64)
    out["bad-many-records"] = f.make(2**62, DIMS, STREAM, VARS, 64)
    out["bad-negative-dimension"] = f.make(2, [("edit", 0), ("n_0", -3), ("m_0", 2)], STREAM, VARS, 64)
    out["bad-two-unlimited"] = f.make(2, [("edit", 0), ("n_0", 0), ("m_0", 2)], STREAM, changed(VARS, 1, dims=[0]), 64)
    out["bad-list-count"] = f.make(2, DIMS, STREAM, VARS, 64, 2**40)
    out["bad-list-short"] = f.make(2, DIMS, STREAM, VARS, 64, 2)
    out["bad-name-nul"] = f.make(2, DIMS, STREAM, changed(VARS, 1, name="key\0_0"), 64)
    out["bad-name-length"] = whole.replace(f.name("key_0"), f.count(2**61) + b"key_0\0\0\0")
    out["bad-type"] = f.make(2, DIMS, STREAM, changed(VARS, 1, type=12), 64)
    out["bad-type-cdf1"] = File(1).make(2, DIMS, STREAM, changed(VARS, 0, type=INT64), 80)
    out["bad-attribute-length"] = f.make(2, DIMS, [("format", CHAR, 2**40, b"x")] + STREAM, VARS, 64)
    out["bad-dimension-number"] = f.make(2, DIMS, STREAM, changed(VARS, 1, dims=[0, 3]), 64)
    out["bad-dimension-count"] = whole.replace(f.name("key_0") + f.count(2), f.name("key_0") + f.count(1025))
    out["bad-unlimited-second"] = f.make(2, DIMS, STREAM, changed(VARS, 1, dims=[1, 0]), 64)
    out["bad-size"] = f.make(2, [("edit", 0), ("n_0", 2**62), ("m_0", 2)], STREAM, VARS, 64)
    out["bad-record-size"] = f.make(2, [("edit", 0), ("n_0", 2**60), ("m_0", 2**59)], STREAM,
                                    changed(VARS, 2, at=4 + 2**62), 64)
    out["bad-overlap"] = f.make(2, DIMS, STREAM, changed(VARS, 2, at=12), 64)
    out["bad-begin-in-header"] = f.make(2, DIMS, STREAM, changed(VARS, 0, at=-40), 64)
    out["bad-begin-negative"] = f.make(2, DIMS, STREAM, changed(VARS, 0, at=-2**50), 64)
    out["bad-begin-beyond"] = f.make(2, DIMS, STREAM, changed(VARS, 2, at=2**62), 64)


def main():
    files = {}
    good(files)
    bad(files)
    OUT.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (OUT / name).write_bytes(data)


if __name__ == "__main__":
    main()
