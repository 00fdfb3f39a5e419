"""Speed and quality of the embedded tabular generator; run as a script.

    python synth_assets_tests/benchmarks/bench_tabular_engine.py [--rows 100000] [--splits 10]

Speed: rows a second at 30 numbers (two strata), with and without constraints, and at 30 mixed columns. Quality on
scikit-learn's sets and, where it is on this machine, on the census table: accuracy of students trained on synthetic
rows and tested on held-out real ones (TSTR) against students trained on real rows (TRTR), the AUC of a distance
attack on membership, and the distance to the nearest training row, of synthetic and of held-out real rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from synth_assets.generation.requests import REQUEST_SCHEMA
from synth_assets.generation.tabular.engine import TabularEngine
from synth_assets.records import add_real_ids, derive_seeds, polars_schema
from synth_assets.spec import DatasetSpec, load_spec, parse_spec
from synth_assets_tests.paths import PROJECT, SHARED_DATA

CENSUS_NUMBERS = ["age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"]
CENSUS = [
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship"),
    *("race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income"),
]


def make_spec(frame: pl.DataFrame, target: str, *, strata: bool = True) -> DatasetSpec:
    types = {pl.String(): "category", pl.Boolean(): "boolean", pl.Int64(): "integer", pl.Float64(): "number"}
    fields: list[dict[str, Any]] = [
        {
            "name": name,
            "type": types[dtype],
            "role": "target" if name == target else "input",
            "nullable": frame[name].null_count() > 0,
        }
        for name, dtype in frame.schema.items()
    ]
    content = {
        "name": "table",
        "fields": fields,
        "strata": {"by": [target] if strata else []},
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
    }
    return parse_spec(content, where="benchmark")


def ask(strata: Sequence[str], salt: int) -> pl.DataFrame:
    ids = [f"{salt}-{i}" for i in range(len(strata))]
    columns = {
        "request_id": ids,
        "attempt": [0] * len(ids),
        "stratum": list(strata),
        "seed": derive_seeds(ids),
        "prompted_by": [[]] * len(ids),
    }
    return pl.DataFrame(columns, schema=REQUEST_SCHEMA)


def complete(engine: TabularEngine, strata: Sequence[str], salt: int = 0) -> pl.DataFrame:
    return pl.concat(list(engine.generate(ask(strata, salt))))


# ---- speed


def time_generation(label: str, seeds: pl.DataFrame, spec: DatasetSpec, rows: int) -> None:
    start = time.perf_counter()
    engine = TabularEngine.fit(seeds, spec)
    fitted = time.perf_counter() - start
    requests = ask((seeds["stratum"].to_list() * (rows // seeds.height + 1))[:rows], 0)
    list(engine.generate(requests[:1000]))
    start, cpu = time.perf_counter(), time.process_time()
    made = sum(frame.height for frame in engine.generate(requests))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{label:<34} fit {fitted:6.2f} s   {made / wall:>9,.0f} rows/s   {made / cpu:>9,.0f} rows/s of CPU")


def measure_speed(rows: int) -> None:
    clinical = load_spec(PROJECT / "data" / "seeds" / "clinical")
    seeds = add_real_ids(load_set("breast_cancer")[0].select(field.name for field in clinical.fields), clinical)
    time_generation("30 numbers, no constraints", seeds, clinical.model_copy(update={"constraints": ()}), rows)
    time_generation("30 numbers, 13 constraints", seeds, clinical, rows)
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 5000)
    mixed = {f"x{i}": rng.normal(size=5000) + label for i in range(15)}
    mixed |= {f"n{i}": rng.poisson(3, 5000) for i in range(5)}
    mixed |= {f"c{i}": np.char.mod("v%d", (rng.integers(0, 4, 5000) + label) % 6) for i in range(10)}
    frame = pl.DataFrame(mixed).with_columns(label=pl.Series(label).cast(pl.String))
    spec = make_spec(frame, "label")
    time_generation("15 numbers, 5 counts, 10 categories", add_real_ids(frame, spec), spec, rows)


# ---- quality


def load_set(name: str) -> tuple[pl.DataFrame, str]:
    from sklearn import datasets

    from synth_assets.seeds.bundled import load_bundle

    columns = load_bundle(f"sklearn:{name}").columns
    frame = pl.DataFrame(columns).drop("target_name", strict=False)
    if name == "breast_cancer":
        return frame.drop("target").with_columns(diagnosis=pl.Series(columns["target_name"])), "diagnosis"
    if name == "digits":
        frame = frame.with_columns(pl.exclude("target").cast(pl.Int64))
    numeric_target = "target_names" not in getattr(datasets, f"load_{name}")()
    return frame.with_columns(pl.col("target").cast(pl.Float64 if numeric_target else pl.String)), "target"


def load_census() -> tuple[pl.DataFrame, str] | None:
    if SHARED_DATA is None or not (SHARED_DATA / "adult" / "adult_train.csv").exists():
        return None
    path = SHARED_DATA / "adult" / "adult_train.csv"
    frame = pl.read_csv(path, has_header=False, new_columns=CENSUS, infer_schema=False)
    frame = frame.with_columns(pl.all().str.strip_chars().replace("?", None)).drop_nulls("income")
    return frame.with_columns(pl.col(CENSUS_NUMBERS).cast(pl.Int64)), "income"


def encode(frame: pl.DataFrame, like: pl.DataFrame, target: str) -> np.ndarray:
    """One-hot categories and standard numbers, by the values of `like`."""
    columns: list[np.ndarray] = []
    for name, dtype in like.drop(target).schema.items():
        if dtype == pl.String:
            values = sorted(like[name].drop_nulls().unique())
            columns += [(frame[name] == value).fill_null(False).to_numpy().astype(float) for value in values]
        else:
            middle, spread = like[name].mean(), like[name].std() or 1.0
            columns.append(((frame[name] - middle) / spread).fill_null(0).to_numpy())
    return np.stack(columns, axis=1)


def students(numeric_target: bool) -> dict[str, Any]:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LinearRegression, LogisticRegression

    if numeric_target:
        return {"linear": LinearRegression(), "forest": RandomForestRegressor(100, random_state=0)}
    return {"logistic": LogisticRegression(max_iter=1000), "forest": RandomForestClassifier(100, random_state=0)}


def measure_quality(label: str, frame: pl.DataFrame, target: str, splits: int, *, strata: bool = True) -> None:
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import train_test_split
    from sklearn.neighbors import NearestNeighbors

    numeric = frame.schema[target].is_numeric()
    spec = make_spec(frame, target, strata=strata and not numeric)
    rows = add_real_ids(frame.cast(polars_schema(spec.fields)), spec)
    found: dict[str, list[float]] = {}
    for split in range(splits):
        stratify = None if numeric else rows[target].to_list()
        train, test = train_test_split(np.arange(rows.height), test_size=0.3, random_state=split, stratify=stratify)
        real, held = rows[train], rows[test]
        made = complete(TabularEngine.fit(real, spec), real["stratum"].to_list(), split)
        content = real.select(frame.columns)
        x = {key: encode(part, content, target) for key, part in (("real", real), ("held", held), ("made", made))}
        for name, student in students(numeric).items():
            for key, part in (("TRTR", real), ("TSTR", made)):
                score = student.fit(x["real" if key == "TRTR" else "made"], part[target].to_numpy()).score(
                    x["held"], held[target].to_numpy()
                )
                found.setdefault(f"{name} {key}", []).append(score)
        some = slice(0, 2000)
        to_made = NearestNeighbors(n_neighbors=1).fit(x["made"])
        distance = [to_made.kneighbors(x[key][some])[0][:, 0] for key in ("real", "held")]
        truth = np.repeat([1, 0], [len(part) for part in distance])
        found.setdefault("membership AUC", []).append(roc_auc_score(truth, -np.concatenate(distance)))
        to_real = NearestNeighbors(n_neighbors=1).fit(x["real"])
        for key in ("made", "held"):
            nearest = float(np.median(to_real.kneighbors(x[key][some])[0]))
            found.setdefault(f"nearest {key}", []).append(nearest)
    print(f"{label:<22}" + "   ".join(f"{key} {np.mean(values):.3f}" for key, values in found.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--splits", type=int, default=10)
    arguments = parser.parse_args()
    measure_speed(arguments.rows)
    for name in ("breast_cancer", "wine", "iris", "digits", "diabetes"):
        measure_quality(name, *load_set(name), arguments.splits)
    measure_quality("iris without strata", *load_set("iris"), arguments.splits, strata=False)
    census = load_census()
    if census is not None:
        measure_quality("census", *census, min(arguments.splits, 2))


if __name__ == "__main__":
    main()
