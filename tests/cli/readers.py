"""What other programs make of the files of `samples export`, and files of theirs for `samples import`.

usage: readers.py table|folders|imagefolder|label_studio|write FILE|FOLDER...

Prints one JSON document. `tests/cli/readers.rs` runs it in a folder of its own.
"""

import hashlib
import json
import os
import sys
import tarfile
from pathlib import Path

os.environ.update(HF_HOME=str(Path("hf").absolute()), HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def table(path):
    """Parquet by pandas and by pyarrow: the types of the columns, and labels by image."""
    import pandas
    import pyarrow.parquet

    frame = pandas.read_parquet(path)
    arrow = pyarrow.parquet.read_table(path)
    assert arrow.to_pandas().equals(frame)
    return {
        "columns": {field.name: str(field.type) for field in arrow.schema},
        "labels": {row.image: None if pandas.isna(row.label) else row.label for row in frame.itertuples()},
        "labelled_at": sorted({str(time) for time in frame["labelled_at"].dropna()}),
        "probability": sorted({float(value) for value in frame["probability"]}),
    }


def folders(path):
    """A folder for each class: in a .tar by Python itself, else by Hugging Face's datasets; labels by SHA-256."""
    if path.endswith(".tar"):
        labels = {}
        with tarfile.open(path) as archive:
            for member in archive:
                assert member.isfile() and member.mode == 0o644, member
                labels[sha256(archive.extractfile(member).read())] = member.name.split("/")[0]
        return labels
    return image_folder(path, {"data_files": {"train": path + "/**"}})


def image_folder(path, where=None):
    """Hugging Face's ImageFolder; labels by SHA-256. A .tar is unpacked first, which datasets does not do itself."""
    from datasets import Image, load_dataset

    if path.endswith(".tar"):
        with tarfile.open(path) as archive:
            archive.extractall(path + ".unpacked", filter="data")
        path += ".unpacked"
    data = load_dataset("imagefolder", **(where or {"data_dir": path}))
    assert list(data) == ["train"], data
    data = data["train"]
    names = getattr(data.features["label"], "names", None)
    assert all(row["image"].size == (96, 72) for row in data)
    rows = data.cast_column("image", Image(decode=False))
    read = lambda image: image["bytes"] or Path(image["path"]).read_bytes()
    return {sha256(read(row["image"])): names[row["label"]] if names else row["label"] for row in rows}


def label_studio(path, config):
    """Label Studio's own check of tasks against a labelling interface; and what its converter exports of them, as JSON into
    exported/ and as JSON-MIN into minimal/, with labels by SHA-256."""
    from label_studio_sdk.converter import Converter
    from label_studio_sdk.label_interface import LabelInterface

    config = Path(config).read_text()
    interface = LabelInterface(config)
    interface.validate()
    tasks = json.loads(Path(path).read_text())
    faults = []
    for number, task in enumerate(tasks):
        # With annotations validate_task() calls its own method without an argument.
        if not interface.validate_task({"data": task["data"]}):
            faults.append(f"task {number}: data")
        for found in task["annotations"] + task["predictions"]:
            faults += [f"task {number}: {fault}" for fault in interface.validate_prediction(found, return_errors=True)]
        # What the server adds.
        task["id"] = number + 1
        for annotation in task["annotations"]:
            annotation.update(id=number + 1, completed_by=1)
    if faults:
        return {"faults": faults}
    stored = Path("stored.json").absolute()
    stored.write_text(json.dumps(tasks))
    converter = Converter(config, str(Path(".").absolute()), download_resources=False)
    converter.convert(str(stored), "exported", "JSON", is_dir=False)
    converter.convert(str(stored), "minimal", "JSON_MIN", is_dir=False)
    minimal = json.loads(Path("minimal/result.json").read_text())
    return {
        "faults": [],
        "labels": {task["sha256"]: task.get("label") for task in minimal},
        "predictions": sorted({(found["model_version"], found["score"]) for task in tasks for found in task["predictions"]}),
    }


def write(table, archive, folder):
    """An edited table by pandas and an archive by Python's tarfile, as people make them."""
    import pandas

    frame = pandas.read_parquet(table)
    frame["label"] = frame["label"].map(lambda label: "edited" if label == "nut" else label)
    frame["label"] = frame["label"].astype("category")
    frame.to_parquet(table + ".edited.parquet")
    frame[["image", "label"]].to_parquet(table + ".zstd.parquet", compression="zstd")
    with tarfile.open(archive, "w") as made:
        made.add(folder, arcname=".")
    return {}


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    readers = {"table": table, "folders": folders, "imagefolder": image_folder, "label_studio": label_studio, "write": write}
    json.dump(readers[what](*arguments), sys.stdout)
