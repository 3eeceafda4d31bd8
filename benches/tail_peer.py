"""The last layers of an ONNX model in PyTorch, one thread: what benches/tail.rs and tests/tail.rs compare with.

    tail_peer.py time MODEL CUT EMBEDDING C H W       milliseconds of a step of 32, as JSON
    tail_peer.py gradients MODEL CUT EMBEDDING C H W  LATENTS FACTORS NAMES OUT

Latents (n, C, H, W), factors (n, dim) and gradients are raw float32; NAMES holds names of initializers, one a line. The
loss is the sum of the embedding's values, each times its factor.
"""

import json
import os
import statistics
import sys
import time

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

torch.set_num_threads(1)


class Tail(torch.nn.Module):
    def __init__(self, file, cut, embedding):
        super().__init__()
        graph = onnx.load(file).graph
        self.cut, self.embedding = cut, embedding
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        source = {name: name for name in constants}
        for node in graph.node:
            if node.op_type == "Cast" and node.input[0] in constants:
                constants[node.output[0]] = constants[node.input[0]].astype(np.float32)
                source[node.output[0]] = node.input[0]
        made_by = {output: node for node in graph.node for output in node.output}
        self.steps, seen, self.constants, self.values = [], set(), constants, {}

        def visit(tensor):
            if tensor == cut or tensor in constants or tensor in seen or not tensor:
                return
            seen.add(tensor)
            node = made_by[tensor]
            for name in node.input:
                visit(name)
            self.steps.append((node, {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}))

        visit(embedding)
        for node, _ in self.steps:
            trained = node.input[1:] if node.op_type in ("Conv", "BatchNormalization") else []
            for place, name in enumerate(trained):
                value = torch.tensor(np.array(constants[name], np.float32))
                is_statistic = node.op_type == "BatchNormalization" and place > 1
                self.values[name] = value if is_statistic else torch.nn.Parameter(value)
        self.by_source = {source[name]: value for name, value in self.values.items()}
        self.list = torch.nn.ParameterList(v for v in self.values.values() if isinstance(v, torch.nn.Parameter))

    def forward(self, x):
        tensors = {self.cut: x}
        for node, attribute in self.steps:
            value, op = tensors[node.input[0]] if node.input[0] in tensors else None, node.op_type
            if op == "Conv":
                top, left, bottom, right = attribute.get("pads", [0, 0, 0, 0])
                padding = (top, left)
                if (top, left) != (bottom, right):
                    value, padding = F.pad(value, (left, right, top, bottom)), 0
                weight = self.values[node.input[1]]
                bias = self.values[node.input[2]] if len(node.input) > 2 else None
                stride, groups = tuple(attribute.get("strides", [1, 1])), attribute.get("group", 1)
                made = F.conv2d(value, weight, bias, stride, padding, groups=groups)
            elif op == "BatchNormalization":
                scale, shift, mean, variance = (self.values[name] for name in node.input[1:])
                made = F.batch_norm(value, mean, variance, scale, shift, False, 0.0, attribute.get("epsilon", 1e-5))
            elif op == "Clip":
                low, high = (float(self.constants[name].reshape(-1)[0]) for name in node.input[1:3])
                made = F.hardtanh(value, low, high)
            elif op == "Relu":
                made = F.relu(value)
            elif op == "HardSwish":
                made = F.hardswish(value)
            elif op == "Add":
                made = tensors[node.input[0]] + tensors[node.input[1]]
            elif op == "GlobalAveragePool":
                made = value.mean((2, 3), keepdim=True)
            elif op == "Flatten":
                made = value.flatten(1)
            else:
                raise SystemExit(f"no {op} here")
            tensors[node.output[0]] = made
        return tensors[self.embedding]


def step_milliseconds(tail, shape, layout):
    torch.manual_seed(0)
    tail = tail.to(memory_format=layout)
    x = torch.rand(32, *shape).contiguous(memory_format=layout)
    y = torch.arange(32) % 10
    dense = torch.nn.Linear(tail(x[:1]).shape[1], 10)
    optimiser = torch.optim.Adam([*tail.parameters(), *dense.parameters()], 1e-4)

    def step():
        optimiser.zero_grad()
        (F.cross_entropy(dense(tail(x)), y) + 0.05 * dense.weight.square().sum()).backward()
        optimiser.step()

    step()
    times = []
    for _ in range(15):
        start = time.process_time()
        step()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times)


def main():
    mode, model, cut, embedding = sys.argv[1:5]
    shape = [int(side) for side in sys.argv[5:8]]
    tail = Tail(model, cut, embedding)
    if mode == "time":
        layouts = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
        print(json.dumps({name: step_milliseconds(tail, shape, layout) for name, layout in layouts.items()}))
        return
    latents, factors, names, out = sys.argv[8:12]
    x = torch.from_numpy(np.fromfile(latents, np.float32)).reshape(-1, *shape)
    factors = torch.from_numpy(np.fromfile(factors, np.float32)).reshape(len(x), -1)
    (tail(x).flatten(1) * factors).sum().backward()
    with open(names, encoding="utf-8") as lines, open(out, "wb") as file:
        for name in lines.read().splitlines():
            file.write(tail.by_source[name].grad.numpy().astype(np.float32).tobytes())


main()
