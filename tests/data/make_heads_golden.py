"""Makes heads.json: generated data with answers of scikit-learn and numpy, for the tests of src/train.

Run with numpy and scikit-learn 1.9: python make_heads_golden.py > heads.json

lda: coef_ and intercept_ of LinearDiscriminantAnalysis(solver="lsqr", shrinkage=eps), whose covariance is divided by N
and whose priors are the classes' shares.
ridge: the minimum of sum w ||W x + b - e_y||^2 / sum w + lambda ||W||^2, by least squares on the rows sqrt(w / sum w)
[x, 1], with sqrt(lambda) [I, 0] below them; no normal equations are involved.
"""

import json

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis


def data(rng, sizes, d):
    y = np.repeat(np.arange(len(sizes)), sizes)
    z = rng.normal(size=(len(sizes), d))[y] + 1.5 * rng.normal(size=(len(y), d)) @ np.diag(rng.uniform(0.3, 2, d))
    return np.round(z, 3).astype(np.float32), y


def lda(rng, sizes, d, eps):
    z, y = data(rng, sizes, d)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=eps).fit(z.astype(np.float64), y)
    return common(z, y) | {"eps": eps, "coef": model.coef_.tolist(), "intercept": model.intercept_.tolist()}


def ridge(rng, sizes, d, lam):
    z, y = data(rng, sizes, d)
    w = np.round(rng.uniform(0.5, 2, len(y)), 3)
    root = np.sqrt(w / w.sum())[:, None]
    above = root * np.hstack([z.astype(np.float64), np.ones((len(y), 1))])
    below = np.sqrt(lam) * np.eye(d, d + 1)
    right = np.vstack([root * np.eye(len(sizes))[y], np.zeros((d, len(sizes)))])
    solution = np.linalg.lstsq(np.vstack([above, below]), right, rcond=None)[0]
    coef, intercept = solution[:d].T.tolist(), solution[d].tolist()
    return common(z, y) | {"lambda": lam, "weight": w.tolist(), "coef": coef, "intercept": intercept}


def common(z, y):
    return {"z": [[round(float(v), 3) for v in row] for row in z], "y": y.tolist()}


rng = np.random.default_rng(4)
print(
    json.dumps(
        {
            "lda": [lda(rng, [20, 15, 10], 6, 0.1), lda(rng, [9, 9, 9, 5], 40, 0.5), lda(rng, [30, 12], 5, 0.01)],
            "ridge": [ridge(rng, [20, 15, 10], 6, 0.1), ridge(rng, [6, 5, 4], 30, 1e-3), ridge(rng, [9, 8], 5, 10.0)],
        }
    )
)
