#!/usr/bin/env python3
"""What scikit-learn makes of the embeddings in a folder: peer.py TASK FOLDER; one JSON document on standard output.

FOLDER holds sets.json (shape and labels of `train` and `test`) and <name>.f32. Tasks: `cv` is LogisticRegressionCV with
ten Cs and five folds, `lr` LogisticRegression with C = 1, both on standardised embeddings; `msp` is the largest
probability of such a model for each test row, for telling unknown classes.
"""

import json
import pathlib
import sys
import warnings

import numpy
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

warnings.filterwarnings("ignore")


def read(folder):
    sets = json.loads((folder / "sets.json").read_text())
    for name, parts in sets.items():
        values = numpy.fromfile(folder / f"{name}.f32", dtype="<f4").reshape(parts["shape"])
        yield name, (values, numpy.array(parts["labels"]))


def main():
    task, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    sets = dict(read(folder))
    (x, y), (x_test, y_test) = sets["train"], sets["test"]
    if task == "cv":
        model = LogisticRegressionCV(Cs=10, cv=5, max_iter=1000)
    else:
        model = LogisticRegression(C=1.0, max_iter=1000)
    model = make_pipeline(StandardScaler(), model).fit(x, y)
    p = model.predict_proba(x_test)
    print(json.dumps({
        "accuracy": float((model.predict(x_test) == y_test).mean()),
        "confidence": p.max(axis=1).tolist() if task == "msp" else None,
    }))


if __name__ == "__main__":
    main()
