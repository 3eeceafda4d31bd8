#!/usr/bin/env python3
"""Makes tiny-test.onnx, the small hand-made backbone of the demo and the tests, and prints its SHA-256.

Nothing in it is learned. It is a fixed filter bank: brightness, blur, and oriented second and first derivatives at
three scales; their energies and some products of neighbouring orientations; then statistics over the picture that
change little under rotation. Good enough to tell simple drawn parts apart, no good for photographs.

    python3 make_tiny_test.py          # writes tiny-test.onnx beside itself; needs numpy and onnx
"""

import hashlib
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 96
ANGLES = 8
SCALES = (1.0, 2.0, 4.0)
MIXTURES = 32
SEED = 20240229


class Net:
    """Collects nodes and weights; every call returns the name of its result."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def weight(self, values, name):
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def op(self, kind, inputs, name=None, **attributes):
        name = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name


def oriented(sigma, order):
    """Derivatives of a Gaussian, `order` 1 or 2 across an edge and smooth along it: (ANGLES, 1, k, k), zero mean, L1 2."""
    radius = int(np.ceil(2.5 * sigma))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float64)
    bank = []
    for k in range(ANGLES):
        turn = np.pi * k / ANGLES
        u, v = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
        bell = np.exp(-(u**2) / (2 * sigma**2) - v**2 / (2 * (1.5 * sigma) ** 2))
        kernel = (-u if order == 1 else u**2 / sigma**2 - 1) * bell
        kernel -= kernel.mean()
        bank.append(2 * kernel / np.abs(kernel).sum())
    return np.stack(bank)[:, None].astype(np.float32), radius


def statistics(net, maps, prefix):
    """Mean and root mean square over the picture of (n, c, h, w): (n, 2c)."""
    mean = net.op("ReduceMean", [maps], axes=[2, 3], keepdims=0)
    square = net.op("Mul", [maps, maps])
    power = net.op("ReduceMean", [square], axes=[2, 3], keepdims=0)
    return [mean, net.op("Sqrt", [net.op("Add", [power, net.weight(np.float32(1e-6), f"{prefix}_tiny")])])]


def over_angles(net, maps, prefix):
    """What a turn of the picture hardly changes in (n, ANGLES, h, w): over the angles its mean, maximum and the first
    two Fourier magnitudes (how line-like, how corner-like each place is): (n, 4, h, w)."""
    mean = net.op("ReduceMean", [maps], axes=[1], keepdims=1)
    top = net.op("ReduceMax", [maps], axes=[1], keepdims=1)
    out = [mean, top]
    for harmonic in (1, 2):
        turn = 2 * np.pi * harmonic * np.arange(ANGLES) / ANGLES
        wave = np.stack([np.cos(turn), np.sin(turn)])[:, :, None, None].astype(np.float32) / ANGLES
        parts = net.op("Conv", [maps, net.weight(wave, f"{prefix}_wave{harmonic}")])
        out.append(net.op("ReduceL2", [parts], axes=[1], keepdims=1))
    return net.op("Concat", out, axis=1)


def build():
    rng = np.random.default_rng(SEED)
    net = Net()
    features = []
    # Colour: three means and three spreads of the picture, scaled down so that they do not drown the rest.
    opponent = np.array([[1, 1, 1], [1, -1, 0], [0.5, 0.5, -1]], np.float32)[:, :, None, None] / 3
    colour = net.op("Conv", ["input", net.weight(opponent, "opponent")])
    features += statistics(net, colour, "colour")
    grey = net.op("Conv", ["input", net.weight(np.full((1, 3, 1, 1), 1 / 3, np.float32), "to_grey")])
    # Contrast: grey without its mean, divided by its spread, so that the strength of the light drops out.
    mean = net.op("ReduceMean", [grey], axes=[2, 3], keepdims=1)
    centred = net.op("Sub", [grey, mean])
    spread = net.op("ReduceMean", [net.op("Mul", [centred, centred])], axes=[2, 3], keepdims=1)
    spread = net.op("Sqrt", [net.op("Add", [spread, net.weight(np.float32(1e-4), "spread_tiny")])])
    flat = net.op("Div", [centred, spread], name="contrast")
    stacks = []
    for index, sigma in enumerate(SCALES):
        stride = 2 if sigma < 4 else 4
        for order in (1, 2):
            prefix = f"s{index}_d{order}"
            bank, radius = oriented(sigma, order)
            maps = net.op(
                "Conv", [flat, net.weight(bank, prefix)], pads=[radius] * 4, strides=[stride] * 2, name=f"{prefix}_maps"
            )
            # An edge and its opposite look alike after half a turn; second derivatives tell light from dark lines.
            halves = [net.op("Abs", [maps])] if order == 1 else [
                net.op("Relu", [maps]), net.op("Relu", [net.op("Neg", [maps])])
            ]
            for half, energy in enumerate(halves):
                turned = over_angles(net, energy, f"{prefix}_{half}")
                features += statistics(net, turned, f"{prefix}_{half}")
                features.append(net.op("ReduceMax", [turned], axes=[2, 3], keepdims=0))
                # To one common raster for the second layer.
                side = 8 // stride
                stacks.append(net.op("AveragePool", [turned], kernel_shape=[side] * 2, strides=[side] * 2))
    joined = net.op("Concat", stacks, axis=1, name="first_layer")
    channels = 4 * len(SCALES) * 3
    # Second layer: random mixtures of the first, in rings around each place so that a turn changes little.
    y, x = np.mgrid[-1:2, -1:2]
    ring = np.abs(x) + np.abs(y)
    mix = rng.normal(size=(MIXTURES, channels, 3)) / np.sqrt(channels)
    kernel = (mix / np.bincount(ring.ravel()))[:, :, ring]
    mixed = net.op("Conv", [joined, net.weight(kernel.astype(np.float32), "mixture")], pads=[1] * 4)
    active = net.op("Relu", [mixed], name="second_layer")
    features += statistics(net, active, "second")
    features.append(net.op("ReduceMax", [active], axes=[2, 3], keepdims=0))
    net.op("Concat", features, name="embedding", axis=1)
    return net


def main():
    net = build()
    batch = "n"
    graph = helper.make_graph(
        net.nodes,
        "tiny-test",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, None])],
        net.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="make_tiny_test.py")
    model.ir_version = 8
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    width = inferred.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, width]))
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    path = pathlib.Path(__file__).with_name("tiny-test.onnx")
    path.write_bytes(data)
    print(f"{path.name}: {len(data)} bytes, {width} values an image, SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
