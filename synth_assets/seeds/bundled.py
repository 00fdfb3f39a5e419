"""The data sets that scikit-learn carries inside its package, as raw records: `sklearn:NAME`.

Here: names and values of five bundled sets; nothing is downloaded. Not here: user files (files.py, parsing.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth_assets.errors import SeedError

BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")


@dataclass(frozen=True)
class Bundle:
    """Columns by name (features, `target`, and for classes `target_name`), Python values, with digest and size."""

    columns: dict[str, list[Any]]
    sha256: str
    size: int

    @property
    def height(self) -> int:
        return len(self.columns["target"])


def load_bundle(uri: str) -> Bundle:
    """Return a bundled set; SeedError names the known ones. Feature `mean radius` becomes column mean_radius."""
    name = uri.removeprefix("sklearn:")
    if name not in BUNDLED:
        known = ", ".join(f"sklearn:{each}" for each in BUNDLED)
        raise SeedError(f"source.uri: '{uri}' is no bundled set; choose one of {known}")
    from sklearn import datasets

    loaded: Any = getattr(datasets, f"load_{name}")()
    features, target = np.asarray(loaded.data), np.asarray(loaded.target)
    columns: dict[str, list[Any]] = {
        re.sub(r"[^a-z0-9]+", "_", str(feature).lower()).strip("_"): features[:, index].tolist()
        for index, feature in enumerate(loaded.feature_names)
    }
    columns["target"] = target.tolist()
    if "target_names" in loaded:
        names = [str(each) for each in loaded.target_names]
        columns["target_name"] = [names[index] for index in columns["target"]]
    content = json.dumps(columns, sort_keys=True).encode()
    return Bundle(columns, hashlib.sha256(content).hexdigest(), features.nbytes + target.nbytes)
