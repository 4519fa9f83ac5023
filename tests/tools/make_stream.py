#!/usr/bin/env python3
"""Writes a stream of random edits: the format, as another tool would write it.

    make_stream.py out.nc --layers 4 5 --key-size 1024 --value-size 128 --edits 300

A stream file is netCDF, classic format (CDF-5 here):

    dimensions   edit (unlimited); one for the length of each layer's keys and values, of any name
    variables    case_id(edit) int64; per layer l: key_<l>(edit, n_l) and value_<l>(edit, m_l), float32 or float64
    attributes   format = "rlsedit-stream"; version = 1; module, the weights' name with {} for the layer;
                 value_kind = "target" (the weight shall map the key to the value) or "residual" (to what it maps it
                 to when the batch is applied, plus the value); batch (optional), edits a batch when recorded

A directory of such files is read as one stream, in the order of their names. Needs numpy and netCDF4.
"""
import argparse

import netCDF4
import numpy


def main():
    parser = argparse.ArgumentParser(description="Writes a stream of random edits.")
    parser.add_argument("path")
    parser.add_argument("--layers", type=int, nargs="+", default=[0])
    parser.add_argument("--key-size", type=int, default=64)
    parser.add_argument("--value-size", type=int, default=16)
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--batch", type=int, help="edits a batch, noted in the file")
    parser.add_argument("--kind", choices=["target", "residual"], default="target")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--module", default="model.layers.{}.mlp.down_proj")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    random = numpy.random.default_rng(args.seed)
    with netCDF4.Dataset(args.path, "w", format="NETCDF3_64BIT_DATA") as out:
        out.format, out.version, out.value_kind, out.module = "rlsedit-stream", numpy.int32(1), args.kind, args.module
        if args.batch:
            out.batch = numpy.int64(args.batch)
        out.createDimension("edit", None)
        out.createVariable("case_id", "i8", ("edit",))
        for layer in args.layers:
            for part, letter, size in (("key", "n", args.key_size), ("value", "m", args.value_size)):
                out.createDimension(f"{letter}_{layer}", size)
                out.createVariable(f"{part}_{layer}", args.dtype, ("edit", f"{letter}_{layer}"))
        # all variables of some edits at a time: the file holds them edit by edit
        for first in range(0, args.edits, 256):
            rows = numpy.arange(first, min(first + 256, args.edits))
            out["case_id"][rows] = rows
            for layer in args.layers:
                out[f"key_{layer}"][rows] = random.standard_normal((len(rows), args.key_size))
                out[f"value_{layer}"][rows] = random.standard_normal((len(rows), args.value_size))


if __name__ == "__main__":
    main()
