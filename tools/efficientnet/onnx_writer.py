"""Writes a small ONNX model without the onnx package: the messages of onnx.proto that a network needs, as protobuf.

Everything is written in the order in which it is added, so the same network always gives the same bytes.
"""

import struct

FLOAT, UINT8, INT8, INT32, FLOAT16 = 1, 2, 3, 6, 10
OPSET, IR_VERSION = 17, 8


def _varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def _number(field, value):
    return _varint(field << 3) + _varint(value)


def _bytes(field, content):
    content = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _attribute(name, value):
    if isinstance(value, int):
        return _bytes(1, name) + _number(3, value) + _number(20, 2)
    return _bytes(1, name) + b"".join(_number(8, one) for one in value) + _number(20, 7)


def _value_info(name, shape):
    dims = b"".join(_bytes(1, _number(1, d) if isinstance(d, int) else _bytes(2, d)) for d in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, FLOAT) + _bytes(2, dims)))


class Model:
    """Collects nodes and weights."""

    def __init__(self, name):
        self.name, self.nodes, self.weights = name, [], []

    def weight(self, name, kind, shape, content):
        """A constant: its values as they lie in memory, little-endian. Returns its name."""
        dims = b"".join(_number(1, length) for length in shape)
        self.weights.append(_bytes(5, dims + _number(2, kind) + _bytes(8, name) + _bytes(9, content)))
        return name

    def scalar(self, name, kind, value):
        code = {FLOAT: "<f", UINT8: "<B", INT8: "<b", INT32: "<i"}[kind]
        return self.weight(name, kind, (), struct.pack(code, value))

    def node(self, kind, inputs, output, **attributes):
        """A step with one output. Returns the output's name."""
        parts = [_bytes(1, name) for name in inputs] + [_bytes(2, output), _bytes(3, output), _bytes(4, kind)]
        parts += [_bytes(5, _attribute(name, value)) for name, value in attributes.items()]
        self.nodes.append(_bytes(1, b"".join(parts)))
        return output

    def to_bytes(self, inputs, outputs, licence):
        """The model file; inputs and outputs are (name, shape) of float32, free axes by name."""
        graph = b"".join(self.nodes) + _bytes(2, self.name) + b"".join(self.weights)
        graph += b"".join(_bytes(11, _value_info(*one)) for one in inputs)
        graph += b"".join(_bytes(12, _value_info(*one)) for one in outputs)
        document = _number(1, IR_VERSION) + _bytes(2, "edgetuned") + _bytes(6, licence)
        return document + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, OPSET))
