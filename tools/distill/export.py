"""Writes a trained student as ONNX, one float32 file and one statically quantised to int8 (QDQ), with their manifests.

    python export.py --work WORK --corpus CORPUS --out ../../models

The graph is written node by node: folded convolutions, Clip, Add, the mean. Input `input`, n x 3 x side x side, RGB in
-1..1; output `embedding`, n x width. Neither file holds anything else, so any ONNX Runtime since 1.13 opens them.
"""

import argparse
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

from student import Network, Shape

NAME = "edgetuned-photo"
MANIFEST = """\
# {words}. Written by tools/distill/export.py.
name: {name}
file: {name}.onnx
sha256: {sha256}
license: Apache-2.0
source: tools/distill, started from and taught by Google's MobileNetV2 1.0 224
input:
  tensor: input
  layout: nchw
  size: [{side}, {side}]
  channels: rgb
  mean: 127.5
  std: 127.5
  resize: stretch
embedding:
  tensor: embedding
  dim: {width}
  pool: none
"""
# A map whose means and deviations tell what the last one has lost; docs/backbones.md has the measurement.
INNER = """\
  inner:
    - {{ tensor: {tensor}, stat: [mean, std] }}
"""


def graph_of(network: Network, side: int) -> onnx.ModelProto:
    """The student as one ONNX model, opset 13."""
    nodes: list[onnx.NodeProto] = []
    weights = [numpy_helper.from_array(np.float32(0), "zero"), numpy_helper.from_array(np.float32(6), "six")]

    def add(op: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def convolution(module, source: str, name: str) -> str:
        weight, bias = module.folded()
        weights.append(numpy_helper.from_array(weight, f"{name}.weight"))
        weights.append(numpy_helper.from_array(bias, f"{name}.bias"))
        near, far = module.pads
        made = add(
            "Conv",
            [source, f"{name}.weight", f"{name}.bias"],
            name,
            kernel_shape=list(weight.shape[2:]),
            strides=list(module.conv.stride),
            pads=[near, near, far, far],
            group=module.conv.groups,
        )
        return add("Clip", [made, "zero", "six"], f"{name}.relu6") if module.active else made

    tensor = convolution(network.stem, "input", "stem")
    for number, block in enumerate(network.blocks, 1):
        source = tensor
        for part in ("expand", "depthwise", "project"):
            module = getattr(block, part)
            if module is not None:
                tensor = convolution(module, tensor, f"block{number}.{part}")
        if block.adds:
            tensor = add("Add", [source, tensor], f"block{number}")
    tensor = convolution(network.last, tensor, "last")
    tensor = add("GlobalAveragePool", [tensor], "mean")
    add("Flatten", [tensor], "embedding", axis=1)
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, side, side])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", network.shape.width])],
        weights,
    )
    model = helper.make_model(graph, producer_name=NAME, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def tensor_of(picture: Image.Image, side: int) -> np.ndarray:
    """What the manifest says: stretched with a triangle filter, (pixel - 127.5) / 127.5, 1 x 3 x side x side."""
    pixels = np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BILINEAR), np.float32)
    return ((pixels - 127.5) / 127.5).transpose(2, 0, 1)[None]


class Pictures(CalibrationDataReader):
    """Photographs of the corpus, for the ranges of the activations."""

    def __init__(self, paths: list[Path], side: int):
        self.tensors = iter([{"input": tensor_of(Image.open(path), side)} for path in paths])

    def get_next(self) -> dict | None:
        return next(self.tensors, None)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--work", type=Path, required=True, help="folder with student.pt")
    arguments.add_argument("--corpus", type=Path, required=True, help="photographs to calibrate int8 with")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--calibrate", type=int, default=400, help="photographs to calibrate with")
    given = arguments.parse_args()
    saved = torch.load(given.work / "student.pt", weights_only=True)
    network = Network(Shape(tuple(saved["hidden"]), saved["width"]))
    network.load_state_dict(saved["weights"])
    network.eval()
    side = saved["side"]
    whole, small = given.out / f"{NAME}.onnx", given.out / f"{NAME}-int8.onnx"
    onnx.save(graph_of(network, side), whole)
    paths = sorted(given.corpus.rglob("*.jpg"))
    paths = paths[:: max(1, len(paths) // given.calibrate)][: given.calibrate]
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(whole), str(prepared))
        quantize_static(
            str(prepared),
            str(small),
            Pictures(paths, side),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
        )
    card = "A backbone for photographs that needs no download, in float32; models/README.md is its card"
    manifests = (
        (whole, "photo", card, ""),
        (whole, "photo-inner", "`photo` with inner values (docs/backbones.md)", INNER.format(tensor="block6")),
        (small, "photo-int8", "The same in 8-bit integers (QDQ)", ""),
        (small, "photo-int8-inner", "`photo-int8` with inner values (docs/backbones.md)",
         INNER.format(tensor="block6_DequantizeLinear_Output")),
    )
    for file, manifest, words, inner in manifests:
        text = MANIFEST.format(name=file.stem, words=words, sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
                               side=side, width=network.shape.width)
        (given.out / f"{manifest}.yaml").write_text(text + inner)
        print(f"{file.name}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
