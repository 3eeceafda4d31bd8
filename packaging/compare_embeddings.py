#!/usr/bin/env python3
"""Compares two files of `edgetuned embed`: same pictures, same embeddings up to what processors round differently.

compare_embeddings.py A.npz B.npz; prints the largest angle between two embeddings of one picture, as 1 - cosine.
"""
import ast
import math
import struct
import sys
import zipfile

# Rounding of two processors moves the embedding of a float model in the sixth digit, of an 8-bit model by whole steps.
MOST = 0.01


def floats(archive, name):
    """The float32 array `name`: its shape and its values."""
    data = archive.read(f"{name}.npy")
    (length,) = struct.unpack_from("<H", data, 8)
    header = ast.literal_eval(data[10 : 10 + length].decode())
    values = data[10 + length :]
    assert header["descr"] == "<f4" and not header["fortran_order"], header
    return header["shape"], struct.unpack(f"<{len(values) // 4}f", values)


def embeddings(path):
    with zipfile.ZipFile(path) as archive:
        (rows, width), values = floats(archive, "embeddings")
        return archive.read("ids.npy"), [values[row * width : (row + 1) * width] for row in range(rows)]


def distance(a, b):
    dot = sum(x * y for x, y in zip(a, b))
    return 1 - dot / (math.hypot(*a) * math.hypot(*b))


(ids, mine), (other_ids, others) = embeddings(sys.argv[1]), embeddings(sys.argv[2])
if ids != other_ids or len(mine) != len(others) or not mine:
    sys.exit("the files are of different pictures")
largest = max(distance(a, b) for a, b in zip(mine, others))
print(f"{len(mine)} embeddings of {len(mine[0])} values: the largest 1 - cosine is {largest:.2e}")
if not largest < MOST:
    sys.exit(f"more than {MOST}: the two programs do not compute the same")
