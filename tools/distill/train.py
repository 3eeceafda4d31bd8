"""Trains the student to say what the teacher says.

    python train.py --data DATA --work WORK

Reads the passes of `views.py` (waits for one that is not there yet), prunes the teacher, and fits the student: its
embedding, through a linear map that is thrown away, shall be the teacher's (smooth L1 and cosine, on standardised
values), and the similarities between the pictures of a batch shall be the teacher's (relational distillation, Park et
al. 2019). AdamW, one cycle, the weights averaged exponentially. WORK gets
`student.pt`, `student.jsonl` and `student.png`.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from export import tensor_of
from student import Network, Shape, from_teacher, pruned
from views import TEACHER

# Shares of the hidden channels that each stage keeps, and the width of the embedding.
KEEP = (1, 0.55, 0.55, 0.55, 0.5, 0.4, 0.35)
WIDTH = 512
# Every so many pictures of a pass one is kept for the validation loss. A train line is in a pass twice, so a few of the
# held-out ones have a twin in training.
HELD_OUT = 40


def wait_for(file: Path) -> np.ndarray:
    """Opens a file that another program is about to finish."""
    while not file.exists():
        time.sleep(5)
    return np.load(file, mmap_mode="r")


def normalised(pixels: np.ndarray) -> torch.Tensor:
    tensor = (torch.from_numpy(np.ascontiguousarray(pixels)).float() - 127.5) / 127.5
    return tensor.contiguous(memory_format=torch.channels_last)


class Objective:
    """What the student is measured by. `statistics` are of the teacher's embeddings, per value."""

    def __init__(self, embeddings: np.ndarray):
        values = torch.from_numpy(embeddings.astype(np.float32))
        self.mean, self.std = values.mean(0), values.std(0) + 0.05

    def __call__(
        self, student: torch.Tensor, mapped: torch.Tensor, teacher: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        mapped, teacher = (mapped - self.mean) / self.std, (teacher - self.mean) / self.std
        return {
            "smooth_l1": functional.smooth_l1_loss(mapped, teacher),
            "cosine": (1 - functional.cosine_similarity(mapped, teacher)).mean(),
            "relational": functional.mse_loss(similarities(student), similarities(teacher)),
        }


WEIGHTS = {"smooth_l1": 1.0, "cosine": 1.0, "relational": 5.0}


def similarities(embeddings: torch.Tensor) -> torch.Tensor:
    """Cosines between the centred rows, n x n."""
    rows = functional.normalize(embeddings - embeddings.mean(0))
    return rows @ rows.T


@torch.no_grad()
def measured(
    network: Network, projection: torch.nn.Linear, views: np.ndarray, teacher: np.ndarray, objective: Objective
) -> dict[str, float]:
    """Each part of the loss on the held-out pictures."""
    network.eval()
    embeddings = torch.cat([network(normalised(views[i : i + 64])) for i in range(0, len(views), 64)])
    parts = objective(embeddings, projection(embeddings), torch.from_numpy(teacher.astype(np.float32)))
    return {name: float(value) for name, value in parts.items()}


@torch.no_grad()
def probed(network: Network, data: Path, side: int) -> dict[str, float]:
    """Cross-validated accuracy of a linear head on the train lines, %: for choosing recipes without test pictures."""
    network.eval()
    accuracies = {}
    for split in sorted((data / "splits").glob("*.train.txt")):
        lines = [line.split("\t") for line in split.read_text().splitlines()]
        tensors = [tensor_of(Image.open(data / path), side) for path, _ in lines]
        batches = [torch.from_numpy(np.concatenate(tensors[i : i + 32])) for i in range(0, len(tensors), 32)]
        embeddings = torch.cat([network(batch) for batch in batches]).numpy()
        head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        scores = cross_val_score(head, embeddings, [label for _, label in lines], cv=folds)
        accuracies[split.name.removesuffix(".train.txt")] = round(100 * float(scores.mean()), 1)
    return accuracies


def start(given: argparse.Namespace, objective: Objective, views: np.ndarray, teacher: np.ndarray):
    """The student before the first step, and its projection."""
    shape = Shape.teacher().pruned(KEEP, WIDTH)
    some = np.arange(0, len(views), max(1, len(views) // 768))[:768]
    if given.init == "random":
        network = Network(shape)
        projection = torch.nn.Linear(WIDTH, teacher.shape[1])
    else:
        full = from_teacher(given.data / "models" / TEACHER)
        answers = torch.from_numpy(teacher[some].astype(np.float32))
        network, weight, bias = pruned(full, shape, normalised(views[some]), answers, given.seed)
        projection = torch.nn.Linear(WIDTH, teacher.shape[1])
        with torch.no_grad():
            projection.weight.copy_(weight)
            projection.bias.copy_(bias)
    return network.to(memory_format=torch.channels_last), projection


def plot(log: Path, picture: Path) -> None:
    """Losses and probe accuracies over epochs."""
    from matplotlib import pyplot

    rows = [json.loads(line) for line in log.read_text().splitlines()]
    rows = [row for row in rows if "epoch" in row]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    epochs = [row["epoch"] for row in rows]
    for name, weight in WEIGHTS.items():
        left.plot(epochs, [row["heldout"][name] * weight for row in rows], label=f"{name}, held out")
    left.plot(epochs[1:], [row["loss"] for row in rows[1:]], "k:", label="sum, training")
    sums = [sum(row["heldout"][name] * weight for name, weight in WEIGHTS.items()) for row in rows]
    left.plot(epochs, sums, "k", label="sum, held out")
    left.set(xlabel="epoch", ylabel="loss", ylim=(0, None), title="Distance from the teacher")
    left.legend()
    for name in rows[0]["probe"]:
        right.plot(epochs, [row["probe"][name] for row in rows], label=name)
    right.set(xlabel="epoch", ylabel="accuracy, %", title="Linear head on the train lines, 5 folds")
    right.legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=100)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True, help="folder with splits, images and models")
    arguments.add_argument("--work", type=Path, required=True, help="folder with the passes of views.py")
    arguments.add_argument("--name", default="student", help="of the files that are written")
    arguments.add_argument("--epochs", type=int, default=30)
    arguments.add_argument("--passes", type=int, default=10)
    arguments.add_argument("--side", type=int, default=128)
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--rate", type=float, default=1.5e-3)
    arguments.add_argument("--relational", type=float, default=WEIGHTS["relational"])
    arguments.add_argument("--init", choices=["teacher", "random"], default="teacher")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    WEIGHTS["relational"] = given.relational
    log = given.work / f"{given.name}.jsonl"
    log.unlink(missing_ok=True)

    def report(row: dict) -> None:
        print(json.dumps(row), flush=True)
        with log.open("a") as file:
            file.write(json.dumps(row) + "\n")

    teacher = wait_for(given.work / "teacher-00.npy")
    views = wait_for(given.work / f"views-00-{given.side}.npy")
    objective = Objective(teacher)
    network, projection = start(given, objective, views, teacher)
    parameters, multiplies = network.cost(given.side)
    given_options = {key: str(value) for key, value in vars(given).items() if key not in ("data", "work")}
    report({"options": given_options, "keep": KEEP, "hidden": network.shape.hidden, "parameters": parameters,
            "multiply_adds": multiplies, "torch": torch.__version__, "numpy": np.__version__})
    held = np.arange(0, len(views), HELD_OUT)
    held_views, held_teacher = np.array(views[held]), np.array(teacher[held])
    training = np.setdiff1d(np.arange(len(views)), held)
    report({"epoch": 0, "heldout": measured(network, projection, held_views, held_teacher, objective),
            "probe": probed(network, given.data, given.side)})

    steps = given.epochs * (len(training) // given.batch)
    decayed = [p for p in network.parameters() if p.dim() > 1]
    plain = [p for p in network.parameters() if p.dim() <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.02}, {"params": [*plain, *projection.parameters()], "weight_decay": 0}],
        lr=given.rate,
    )
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, given.rate, total_steps=steps, pct_start=0.1)
    both = torch.nn.ModuleList([network, projection])
    average = copy.deepcopy(both)
    step = 0
    for epoch in range(1, given.epochs + 1):
        began, total, count = time.time(), 0.0, 0
        number = (epoch - 1) % given.passes
        views = wait_for(given.work / f"views-{number:02}-{given.side}.npy")
        teacher = np.array(wait_for(given.work / f"teacher-{number:02}.npy"))
        network.train()
        order = rng.permutation(training)
        for first in range(0, len(order) - given.batch + 1, given.batch):
            chosen = np.sort(order[first : first + given.batch])
            with torch.autocast("cpu", torch.bfloat16):
                embeddings = network(normalised(views[chosen]))
            embeddings = embeddings.float()
            answers = torch.from_numpy(teacher[chosen].astype(np.float32))
            parts = objective(embeddings, projection(embeddings), answers)
            loss = sum(WEIGHTS[name] * value for name, value in parts.items())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(both.parameters(), 5.0)
            optimiser.step()
            cycle.step()
            step += 1
            with torch.no_grad():
                keep = min(0.998, (1 + step) / (10 + step))
                for mean, now in zip(average.state_dict().values(), both.state_dict().values(), strict=True):
                    if mean.dtype.is_floating_point:
                        mean.lerp_(now, 1 - keep)
            total, count = total + float(loss.detach()), count + 1
        row = {"epoch": epoch, "loss": round(total / count, 4), "seconds": round(time.time() - began)}
        row["heldout"] = measured(*average, held_views, held_teacher, objective)
        row["probe"] = probed(average[0], given.data, given.side)
        report(row)
        saved = {"weights": average[0].state_dict(), "hidden": network.shape.hidden, "width": WIDTH, "side": given.side}
        torch.save(saved, given.work / f"{given.name}.pt")
        plot(log, given.work / f"{given.name}.png")


if __name__ == "__main__":
    main()
