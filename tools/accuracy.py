#!/usr/bin/env python3
"""Accuracy of `edgetuned train` on photographs, beside the reference figures that come with them.

    tools/accuracy.py [DATA]          DATA is ../shared/data by default

DATA holds `splits/<set>.<part>.txt` (path, tab, label), the photographs, `models/*.onnx`, and DATA.md with the
accuracy of scikit-learn's LogisticRegression (C = 1 and C = 0.01). Nothing of it is copied: the folders per class that
`edgetuned` reads are links in a temporary folder. Needs the program built: `cargo build`.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "edgetuned"
# name: size, mean, std, channel order, width of the embedding (DATA/models/MODELS.md)
MODELS = {
    "mobilenetv2-1.0-224-tf2-fp32": (224, "127.5", "127.5", "rgb", 1280),
    "mobilenetv2-1.0-224-qat-int8": (224, "128.0", "128.0", "rgb", 1280),
    "squeezenet1.1-227-fp32": (227, "[104.0, 117.0, 123.0]", "1.0", "bgr", 512),
    "mobilenetv1-0.25-128-fp32": (128, "128.0", "128.0", "rgb", 256),
}
TASKS = [("trashnet", "trashnet"), ("corn-color", "corn-color"), ("corn-color", "corn-segmented")]


def folders(data, name, part, into):
    """Links every photograph of a split into a folder of its class."""
    target = into / name / part
    for line in (data / "splits" / f"{name}.{part}.txt").read_text().splitlines():
        path, label = line.split("\t")
        candidates = [data / path, data / "images" / path, data / "images" / name / path]
        source = next(candidate for candidate in candidates if candidate.exists())
        (target / label).mkdir(parents=True, exist_ok=True)
        (target / label / source.name).symlink_to(source.resolve())
    return target


def manifest(data, name, into):
    """Writes the manifest of a model and returns its path."""
    size, mean, std, channels, dim = MODELS[name]
    file = data / "models" / f"{name}.onnx"
    digest = subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True).stdout.split()[0]
    path = into / f"{name}.yaml"
    path.write_text(
        f"name: {name}\nfile: {file.resolve()}\nsha256: {digest}\n"
        f"input: {{ tensor: input, layout: nchw, size: [{size}, {size}], channels: {channels}, mean: {mean}, "
        f"std: {std}, resize: crop }}\nembedding: {{ tensor: embedding, dim: {dim} }}\n"
    )
    return path


def reference(data):
    """(model, tested on) -> the better of the columns `all` and `all, C=0.01`, accuracy in %."""
    table = {}
    for line in (data / "DATA.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 9 and cells[0] in MODELS:
            table[cells[0], cells[2].removesuffix(".test")] = max(float(cell.split("/")[0]) for cell in cells[7:9])
    return table


def train(model, training, test, into):
    command = [PROGRAM, "--json", "train", training, "--test", test, "--backbone", model, "--out", into / "head.safetensors"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "XDG_CACHE_HOME": str(into)})
    if done.returncode != 0:
        sys.exit(f"edgetuned failed on {training}: {done.stderr}")
    return json.loads(done.stdout)


def main():
    if "--help" in sys.argv:
        sys.exit(__doc__)
    data = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".." / "shared" / "data")
    if not data.is_dir():
        sys.exit(f"skipped: {data} is not here")
    wanted = reference(data)
    print(f"{'backbone':30} {'trained on':12} {'tested on':15} {'n':>4} {'accuracy':>8} {'bar':>6}  fit s  lambda")
    with tempfile.TemporaryDirectory() as temporary:
        into = pathlib.Path(temporary)
        sets = {(name, part): folders(data, name, part, into)
                for name, part in {(a, "train") for a, _ in TASKS} | {(b, "test") for _, b in TASKS}}
        missed = 0
        for name in MODELS:
            model = manifest(data, name, into)
            for training, test in TASKS:
                report = train(model, sets[training, "train"], sets[test, "test"], into)
                accuracy, bar = 100 * report["accuracy"], wanted[name, test] - 1
                missed += accuracy < bar
                print(f"{name:30} {training:12} {test:15} {report['n_test']:4} {accuracy:8.1f} {bar:6.1f}"
                      f"{'  ' if accuracy >= bar else ' <'}{report['fit_seconds']:5.2f}  {report['lambda']:.3g}")
    print(f"{missed} of {len(MODELS) * len(TASKS)} below the bar (reference minus one point)")


if __name__ == "__main__":
    main()
