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
# Of one storage, and of all tensors together; those that are meant have 4,694,000 values, the largest of them 1,280,000.
MAX_VALUES = 1 << 24
MAX_AXES = 8


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
    if len(shape) != len(strides) or len(shape) > MAX_AXES or any(type(number) is not int or number < 0 for number in numbers):
        raise BadFile(f"a tensor of shape {shape} and strides {strides}")
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides))
    if 0 in shape or last >= storage.count or math.prod(shape) > storage.count:
        raise BadFile(f"a tensor of shape {shape} reaches beyond its storage of {storage.count} values")
    return View(storage, offset, tuple(shape), tuple(strides))


# Not `pickle.Unpickler`: its memo is a list, which one instruction (`r\xff\xff\xff\xff`) makes 64 GB long.
class _Unpickler(pickle._Unpickler):
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
        if not isinstance(key, str):
            raise BadFile("a storage without a name")
        return Storage(key, kind, count)


def read(content):
    """The tensors in `content` by name, as `Tensor`. Raises `BadFile`."""
    try:
        return _read(io.BytesIO(content))
    except BadFile:
        raise
    except Exception as error:  # whatever a damaged pickle comes up with
        raise BadFile(f"damaged: {type(error).__name__}: {error}") from error


def _read(file):
    for expected in (MAGIC, PROTOCOL):
        if _Unpickler(file).load() != expected:
            raise BadFile("it is no PyTorch file of the old format")
    sizes, views, keys = (_Unpickler(file).load() for _ in range(3))
    if not isinstance(sizes, dict) or sizes.get("little_endian") is not True:
        raise BadFile("its values are not little-endian")
    if not isinstance(views, dict) or not all(
        isinstance(name, str) and isinstance(view, View) for name, view in views.items()
    ):
        raise BadFile("it has more than names and tensors")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise BadFile("it has no list of storages")
    if sum(math.prod(view.shape) for view in views.values()) > MAX_VALUES:
        raise BadFile(f"its tensors have more than {MAX_VALUES} values")
    wanted = {view.storage.key: view.storage for view in views.values()}
    if any(wanted[view.storage.key] != view.storage for view in views.values()):
        raise BadFile("two storages have the same key")
    if sorted(keys) != sorted(wanted):
        raise BadFile("its list of storages is not that of its tensors")
    storages = {key: _values(file, wanted[key]) for key in keys}
    if file.read(1):
        raise BadFile("there is something behind its end")
    return {name: Tensor(view.shape, _ordered(view, storages[view.storage.key])) for name, view in views.items()}


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
    axes = [(length, stride) for length, stride in zip(view.shape, view.strides) if length > 1]

    def add(offset, axes):
        if not axes:
            out.append(values[offset])
            return
        (length, stride), *inner = axes
        if inner:
            for index in range(length):
                add(offset + index * stride, inner)
        elif stride == 0:
            out.extend(array(out.typecode, [values[offset]]) * length)
        else:
            out.extend(values[offset : offset + (length - 1) * stride + 1 : stride])

    add(view.offset, axes)
    return out
