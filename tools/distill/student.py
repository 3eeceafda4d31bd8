"""The student: MobileNetV2's blocks with fewer hidden channels, started from the teacher's own weights.

`Network` is the architecture, with batch normalisation while it is trained. `from_teacher` reads the teacher's ONNX
file into the unpruned architecture; `pruned` keeps the hidden channels of each block that reconstruct the block's
output best and solves for the new projection by least squares (channel pruning: He, Zhang and Sun 2017, ICCV; greedy
choice by orthogonal least squares: Chen, Billings and Luo 1989).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

# Stage by stage: output channels, repeats, stride of the first block (Sandler et al. 2018, table 2).
STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
STEM = 32


@dataclass(frozen=True)
class Shape:
    """What distinguishes one student from another. `hidden` is one width a block; the first block has no expansion."""

    hidden: tuple[int, ...]
    width: int

    @staticmethod
    def teacher() -> "Shape":
        before, hidden = STEM, []
        for channels, repeats, _ in STAGES:
            for _ in range(repeats):
                hidden.append(before * 6 if hidden else STEM)
                before = channels
        return Shape(tuple(hidden), 1280)

    def pruned(self, keep: tuple[float, ...], width: int) -> "Shape":
        """Keeps the share `keep[stage]` of each block's hidden channels, in multiples of 8."""
        shares = [share for share, (_, repeats, _) in zip(keep, STAGES, strict=True) for _ in range(repeats)]
        hidden = [max(8, round(full * share / 8) * 8) for full, share in zip(self.hidden, shares, strict=True)]
        return Shape((STEM, *hidden[1:]), width)


class Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU6 where `active`; padded as TensorFlow does: more on the far side."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1, groups: int = 1, active: bool = True):
        super().__init__()
        total = side - stride if stride > 1 else side - 1
        self.pads = (total // 2, total - total // 2)
        self.even = self.pads[0] == self.pads[1]
        self.conv = nn.Conv2d(
            inputs, outputs, side, stride, padding=self.pads[0] if self.even else 0, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs, momentum=0.02)
        self.active = active

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.even:
            x = nn.functional.pad(x, self.pads * 2)
        x = self.norm(self.conv(x))
        return nn.functional.relu6(x) if self.active else x

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight and bias of the one convolution that this computes in use, without the ReLU6."""
        scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        weight = self.conv.weight * scale[:, None, None, None]
        bias = self.norm.bias - self.norm.running_mean * scale
        return weight.detach().numpy().astype(np.float32), bias.detach().numpy().astype(np.float32)

    def load_folded(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """The inverse of `folded`, with batch statistics 0 and 1; `calibrate` makes them the true ones."""
        with torch.no_grad():
            self.conv.weight.copy_(weight)
            self.norm.reset_parameters()
            self.norm.weight.fill_(float(np.sqrt(1 + self.norm.eps)))
            self.norm.bias.copy_(bias)


class Block(nn.Module):
    """Inverted residual: expansion, depthwise, linear projection."""

    def __init__(self, inputs: int, hidden: int, outputs: int, stride: int, expands: bool):
        super().__init__()
        self.expand = Convolution(inputs, hidden, 1) if expands else None
        self.depthwise = Convolution(hidden, hidden, 3, stride, groups=hidden)
        self.project = Convolution(hidden, outputs, 1, active=False)
        self.adds = stride == 1 and inputs == outputs

    def inner(self, x: torch.Tensor) -> torch.Tensor:
        return self.depthwise(x if self.expand is None else self.expand(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(self.inner(x))
        return x + y if self.adds else y


class Network(nn.Module):
    """Input n x 3 x side x side in -1..1; output n x width, the mean over the last map."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.stem = Convolution(3, STEM, 3, stride=2)
        blocks, before, hidden = [], STEM, iter(shape.hidden)
        for channels, repeats, stride in STAGES:
            for repeat in range(repeats):
                first = not blocks
                blocks.append(Block(before, next(hidden), channels, stride if repeat == 0 else 1, expands=not first))
                before = channels
        self.blocks = nn.Sequential(*blocks)
        self.last = Convolution(before, shape.width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.blocks(self.stem(x))).mean((2, 3))

    def convolutions(self) -> list[Convolution]:
        """In the order of execution, which is that of the teacher's file."""
        return [module for module in self.modules() if isinstance(module, Convolution)]

    def cost(self, side: int) -> tuple[int, int]:
        """(parameters after folding, multiply-adds an image)."""
        parameters = multiplies = 0
        for module in self.convolutions():
            weights = module.conv.weight.numel()
            parameters += weights + module.conv.out_channels
            if module.conv.stride[0] == 2:
                side = (side + 1) // 2
            multiplies += weights * side * side
        return parameters, multiplies


def from_teacher(file: Path) -> Network:
    """The teacher without its classifier."""
    model = onnx.load(file)
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"][:-1]
    network = Network(Shape.teacher())
    for module, node in zip(network.convolutions(), convolutions, strict=True):
        module.load_folded(*(torch.tensor(weights[name]) for name in node.input[1:3]))
    return network.eval()


@torch.no_grad()
def calibrate(network: Network, images: torch.Tensor) -> None:
    """Gives every normalisation the statistics of `images` and parameters that leave its output as it was."""
    modules = network.convolutions()

    def settle(module: nn.Conv2d, _inputs: tuple, output: torch.Tensor) -> None:
        norm = owner[module]
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        mean, variance = output.mean((0, 2, 3)), output.var((0, 2, 3))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.bias.copy_(shift + mean * scale)
        norm.weight.copy_(scale * torch.sqrt(variance + norm.eps))

    owner = {module.conv: module.norm for module in modules}
    hooks = [module.conv.register_forward_hook(settle) for module in modules]
    network.eval()(images)
    for hook in hooks:
        hook.remove()


def chosen(gram: np.ndarray, cross: np.ndarray, count: int) -> np.ndarray:
    """The `count` columns of H that predict Y best, greedily; `gram` is H'H, `cross` is H'Y, of centred columns."""
    gram, cross = gram.copy(), cross.copy()
    floor = 1e-6 * np.diag(gram).max()
    taken: list[int] = []
    for _ in range(count):
        pivots = np.diag(gram)
        gains = np.where(pivots > floor, (cross**2).sum(1) / np.maximum(pivots, floor), -1.0)
        gains[taken] = -2.0
        best = int(gains.argmax())
        taken.append(best)
        if pivots[best] > floor:
            column = gram[:, best] / np.sqrt(pivots[best])
            row = cross[best] / np.sqrt(pivots[best])
            gram = gram - np.outer(column, column)
            cross = cross - np.outer(column, row)
    return np.sort(np.array(taken))


def regression(inputs: np.ndarray, targets: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(kept columns, weights (kept x outputs), bias) of a ridge regression of `targets` on the best `count` columns."""
    mean_x, mean_y = inputs.mean(0), targets.mean(0)
    x, y = (inputs - mean_x).astype(np.float64), (targets - mean_y).astype(np.float64)
    gram, cross = x.T @ x, x.T @ y
    keep = chosen(gram, cross, count) if count < inputs.shape[1] else np.arange(count)
    inner = gram[np.ix_(keep, keep)]
    inner = inner + 1e-4 * np.trace(inner) / count * np.eye(count)
    weights = np.linalg.solve(inner, cross[keep])
    return keep, weights, mean_y - mean_x[keep] @ weights


@torch.no_grad()
def pruned(
    full: Network, shape: Shape, images: torch.Tensor, embeddings: torch.Tensor, seed: int
) -> tuple[Network, torch.Tensor, torch.Tensor]:
    """The student that starts from `full`, and the linear map (weight, bias) from its embedding to the teacher's.

    `images` are normalised views, `embeddings` the teacher's for them. Block after block, the inputs come from the
    pruned network and the targets from the full one, so that later blocks repair what earlier ones lost.
    """
    rng = np.random.default_rng(seed)
    student = Network(shape).eval()
    student.stem.load_folded(*(torch.tensor(array) for array in full.stem.folded()))
    here = there = full.stem(images)
    for block, slim in zip(full.blocks, student.blocks, strict=True):
        target = block(there)
        hidden = block.inner(here)
        wanted = target - here if block.adds else target
        rows = hidden.permute(0, 2, 3, 1).flatten(0, 2)
        goals = wanted.permute(0, 2, 3, 1).flatten(0, 2)
        some = torch.from_numpy(rng.permutation(len(rows))[:20_000])
        count = slim.project.conv.in_channels
        keep, weights, bias = regression(rows[some].numpy(), goals[some].numpy(), count)
        for mine, theirs in ((slim.expand, block.expand), (slim.depthwise, block.depthwise)):
            if mine is not None:
                weight, offset = theirs.folded()
                mine.load_folded(torch.tensor(weight[keep]), torch.tensor(offset[keep]))
        slim.project.load_folded(torch.tensor(weights.T[:, :, None, None].copy()), torch.tensor(bias))
        here, there = slim(here), target
    # The last convolution: its target is the full network's map, its channels are those that predict the teacher best.
    rows = here.permute(0, 2, 3, 1).flatten(0, 2)
    weight, offset = (torch.tensor(array) for array in full.last.folded())
    maps = nn.functional.conv2d(there, weight, offset)
    some = torch.from_numpy(rng.permutation(len(rows))[:20_000])
    goals = maps.permute(0, 2, 3, 1).flatten(0, 2)
    _, weights, bias = regression(rows[some].numpy(), goals[some].numpy(), rows.shape[1])
    wide = torch.tensor(weights.T.copy(), dtype=torch.float32)[:, :, None, None]
    bias = torch.tensor(bias, dtype=torch.float32)
    pooled = nn.functional.relu6(nn.functional.conv2d(here, wide, bias)).mean((2, 3))
    keep, weights, shift = regression(pooled.numpy(), embeddings.numpy(), shape.width)
    student.last.load_folded(wide[keep], bias[keep])
    calibrate(student, images)
    return student, torch.tensor(weights.T, dtype=torch.float32), torch.tensor(shift, dtype=torch.float32)
