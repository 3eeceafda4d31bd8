"""Draws augmented views of every picture and asks the teacher for its embedding of each.

    python views.py --corpus CORPUS --data DATA --work WORK --passes 10

One pass draws one view of every picture. Student and teacher see the same view: a view is a function of its seed and
the side, drawn once at the teacher's side and once at the student's, so both agree on what is in it. A pass is two
files in WORK: `views-PP-SIDE.npy` (uint8, n x 3 x side x side) and `teacher-PP.npy` (float16, n x 1280). Files that
are there are kept, so the program goes on where it was stopped, and other sides reuse the teacher's answers.
"""

import argparse
import functools
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageEnhance, ImageFilter

TEACHER = "mobilenetv2-1.0-224-tf2-fp32.onnx"
TEACHER_SIDE = 224
# The pictures of the train lines are few beside the corpus; each is seen twice a pass.
REPEAT_TRAIN_LINES = 2


def pictures(corpus: Path, data: Path) -> list[Path]:
    """Every picture of a pass: the corpus, and the *train* lines of the splits. Test lines are never read."""
    found = sorted(corpus.rglob("*.jpg"))
    for split in sorted((data / "splits").glob("*.train.txt")):
        paths = [data / line.split("\t")[0] for line in split.read_text().splitlines()]
        found += paths * REPEAT_TRAIN_LINES
    return found


def crop_box(rng: np.random.Generator, width: int, height: int) -> tuple[float, float, float, float]:
    """A fifth of the views shows the whole picture, as the student will see it in use; the others a part of it."""
    if rng.random() < 0.2:
        return (0, 0, width, height)
    area = width * height * rng.uniform(0.3, 1.0)
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    w, h = min(width, np.sqrt(area * aspect)), min(height, np.sqrt(area / aspect))
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return (x, y, x + w, y + h)


def view(rng: np.random.Generator, path: Path, side: int) -> Image.Image:
    """One augmented view at `side`: crop, flip, light, colour, blur."""
    picture = Image.open(path).convert("RGB")
    picture = picture.resize((side, side), Image.Resampling.BILINEAR, box=crop_box(rng, *picture.size))
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.1:
        picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if rng.random() < 0.8:
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            picture = enhance(picture).enhance(rng.uniform(0.6, 1.4))
    if rng.random() < 0.3:
        hue, saturation, value = picture.convert("HSV").split()
        shift = int(rng.integers(-16, 17))
        hue = hue.point([(level + shift) % 256 for level in range(256)])
        picture = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    if rng.random() < 0.05:
        picture = picture.convert("L").convert("RGB")
    if rng.random() < 0.1:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5) * side / TEACHER_SIDE))
    return picture


def mixed(rng: np.random.Generator, paths: list[Path], index: int, side: int) -> np.ndarray:
    """A view, at times mixed with another picture (a patch or a blend) or with a part painted flat."""
    pixels = np.asarray(view(rng, paths[index], side), np.float32)
    kind = rng.random()
    if kind < 0.3:
        # Patches in coordinates of the picture, so that both sides draw the same one.
        y0, x0 = rng.uniform(0, 0.7, 2)
        h, w = rng.uniform(0.25, 0.6, 2)
        rows = slice(round(y0 * side), round(min(1, y0 + h) * side))
        columns = slice(round(x0 * side), round(min(1, x0 + w) * side))
        pixels = pixels.copy()
        if kind < 0.1:
            pixels[rows, columns] = rng.choice([0.0, 255.0, *rng.uniform(0, 255, 2)])
        else:
            other = view(rng, paths[int(rng.integers(len(paths)))], side)
            pixels[rows, columns] = np.asarray(other, np.float32)[rows, columns]
    elif kind < 0.4:
        share = rng.uniform(0.6, 0.9)
        other = view(rng, paths[int(rng.integers(len(paths)))], side)
        pixels = share * pixels + (1 - share) * np.asarray(other, np.float32)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Part:
    """The pictures `first..last` of pass `number`. The seed of a view is (seed, pass, index of the picture)."""

    paths: list[Path]
    seed: int
    number: int
    first: int
    last: int

    def view(self, index: int, side: int) -> np.ndarray:
        return mixed(np.random.default_rng((self.seed, self.number, index)), self.paths, index, side)


def draw(part: Part, side: int) -> np.ndarray:
    """uint8, n x 3 x side x side."""
    return np.stack([part.view(index, side).transpose(2, 0, 1) for index in range(part.first, part.last)])


def teach(part: Part, teacher: Path) -> np.ndarray:
    """The teacher's embeddings, float16, n x 1280."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(teacher, options, providers=["CPUExecutionProvider"])
    embeddings = []
    for start in range(part.first, part.last, 8):
        views = [part.view(index, TEACHER_SIDE) for index in range(start, min(part.last, start + 8))]
        tensor = (np.stack(views).astype(np.float32) - 127.5) / 127.5
        tensor = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))
        embeddings.append(session.run(["embedding"], {"input": tensor})[0].astype(np.float16))
    return np.concatenate(embeddings)


def save(file: Path, array: np.ndarray) -> None:
    """Whole or not at all."""
    partial = file.with_suffix(".partial.npy")
    np.save(partial, array)
    partial.rename(file)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--corpus", type=Path, required=True, help="folder of the unlabelled pictures")
    arguments.add_argument("--data", type=Path, required=True, help="folder with splits, images and models")
    arguments.add_argument("--work", type=Path, required=True, help="where passes are kept; outside the repository")
    arguments.add_argument("--passes", type=int, default=10)
    arguments.add_argument("--side", type=int, default=128, help="of the student's input")
    arguments.add_argument("--workers", type=int, default=os.cpu_count())
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    paths = pictures(given.corpus, given.data)
    print(f"{len(paths)} pictures a pass", flush=True)
    with multiprocessing.Pool(given.workers) as pool:
        for number in range(given.passes):
            starts = range(0, len(paths), 200)
            parts = [Part(paths, given.seed, number, first, min(len(paths), first + 200)) for first in starts]
            kinds = {
                f"views-{number:02}-{given.side}.npy": functools.partial(draw, side=given.side),
                f"teacher-{number:02}.npy": functools.partial(teach, teacher=given.data / "models" / TEACHER),
            }
            for name, make in kinds.items():
                if not (given.work / name).exists():
                    save(given.work / name, np.concatenate(list(pool.imap(make, parts))))
                    print(name, flush=True)


if __name__ == "__main__":
    main()
