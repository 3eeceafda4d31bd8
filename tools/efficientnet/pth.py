"""Reads the tensors of a PyTorch file from before version 1.6, without PyTorch and without running anything in it.

Such a file is five pickles one after another (magic number, protocol, sizes of C types, names with tensors, keys of the
storages), then for each key the number of its values and the values, little-endian. A tensor is a view on a storage: an
offset, a shape and strides. The restricted unpickler knows the four names that occur and refuses every other.
"""

import collections
import io
import math
import pickle
import struct
from array import array
from typing import NamedTuple

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
# Of one storage; the largest that is meant has 409,600 values.
MAX_VALUES = 1 << 24


class BadFile(Exception):
    """Why a file is not taken."""


class Kind(NamedTuple):
    """The type of a storage's values."""

    code: str
    size: int


KINDS = {"FloatStorage": Kind("f", 4), "LongStorage": Kind("q", 8)}


class Storage(NamedTuple):
    key: str
    kind: Kind
    count: int


class View(NamedTuple):
    """A tensor before the values are read."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


class Tensor(NamedTuple):
    """Values in the order of `shape`, the last axis fastest."""

    shape: tuple
    values: array


def _view(storage, offset, shape, strides, *_):
    if not isinstance(storage, Storage):
        raise BadFile("a tensor without a storage")
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or any(type(number) is not int or number < 0 for number in numbers):
        raise BadFile(f"a tensor of shape {shape} and strides {strides}")
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides))
    if 0 in shape or last >= storage.count or math.prod(shape) > storage.count:
        raise BadFile(f"a tensor of shape {shape} reaches beyond its storage of {storage.count} values")
    return View(storage, offset, tuple(shape), tuple(strides))


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if module == "torch" and name in KINDS:
            return KINDS[name]
        raise BadFile(f"it wants {module}.{name}, which no file of weights needs")

    def persistent_load(self, pid):
        tag, kind, key, _, count, _ = pid
        if tag != "storage" or not isinstance(kind, Kind) or type(count) is not int or not 0 < count <= MAX_VALUES:
            raise BadFile("a storage of an unknown kind or size")
        return Storage(str(key), kind, count)


def read(content):
    """The tensors in `content` by name, as `Tensor`. Raises `BadFile`."""
    file = io.BytesIO(content)
    try:
        for expected in (MAGIC, PROTOCOL):
            if _Unpickler(file).load() != expected:
                raise BadFile("it is no PyTorch file of the old format")
        sizes, views, keys = (_Unpickler(file).load() for _ in range(3))
    except BadFile:
        raise
    except Exception as error:  # whatever a damaged pickle comes up with
        raise BadFile(f"damaged: {type(error).__name__}: {error}") from error
    if not isinstance(sizes, dict) or sizes.get("little_endian") is not True:
        raise BadFile("its values are not little-endian")
    if not isinstance(views, dict) or not all(isinstance(view, View) for view in views.values()):
        raise BadFile("it has more than names and tensors")
    if not isinstance(keys, list):
        raise BadFile("it has no list of storages")
    wanted = {view.storage.key: view.storage for view in views.values()}
    if sorted(map(str, keys)) != sorted(wanted):
        raise BadFile("its list of storages is not that of its tensors")
    storages = {str(key): _values(file, wanted[str(key)]) for key in keys}
    if file.read(1):
        raise BadFile("there is something behind its end")
    return {str(name): Tensor(view.shape, _ordered(view, storages[view.storage.key])) for name, view in views.items()}


def _values(file, storage):
    head = file.read(8)
    content = file.read(storage.count * storage.kind.size)
    if len(head) < 8 or struct.unpack("<q", head)[0] != storage.count or len(content) < storage.count * storage.kind.size:
        raise BadFile(f"truncated, or another number of values than {storage.count}")
    values = array(storage.kind.code)
    values.frombytes(content)
    if struct.pack("=H", 1) != struct.pack("<H", 1):
        values.byteswap()
    return values


def _ordered(view, values):
    """The values of a view, row by row: of any axis but the last, one part after another."""
    out = array(view.storage.kind.code)

    def add(offset, shape, strides):
        if not shape:
            out.append(values[offset])
        elif len(shape) == 1:
            stride = strides[0] or 1
            part = values[offset : offset + (shape[0] - 1) * stride + 1 : stride]
            out.extend(part if strides[0] else array(out.typecode, part[:1] * shape[0]))
        else:
            for index in range(shape[0]):
                add(offset + index * strides[0], shape[1:], strides[1:])

    add(view.offset, view.shape, view.strides)
    return out
