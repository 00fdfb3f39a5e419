"""Benchmark: how often the shift report is wrong, what it sees, whether others get the same numbers, and how fast.

python -m synth_assets_tests.benchmarks.bench_shift calibrate FILE.csv LABEL [--text COLUMN] [--splits 500]
python -m synth_assets_tests.benchmarks.bench_shift agree FILE.csv [--peer PYTHON]
python -m synth_assets_tests.benchmarks.bench_shift speed --peer PYTHON [--rows 1000000] [--turns 2]

FILE has a header, or --no-header. calibrate: a shuffled half of the rows (--half) gives pairs of disjoint samples, real
against real; then one fault is planted in the second sample. agree and speed: PYTHON is the interpreter of an
environment with evidently (it needs pandas < 3), whose default DataDriftPreset is run on the same rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.distances import measure_js_distance, measure_ks, measure_psi, measure_wasserstein
from synth_assets.monitoring.measures import ACT, OK
from synth_assets.monitoring.shift import measure_shift
from synth_assets.monitoring.shift.fields import View, view_fields
from synth_assets.monitoring.shift.strata import pair_strata
from synth_assets.spec import DatasetSpec, parse_spec

NONE = "no shift"
LEAST_CLASS = 0.01
MOVED = 0.3  # standard deviations
EXPECTED = {
    "label mix": ("stratum_mix_psi", "stratum_mix_tv"),
    "text length": ("length_psi", "length_js_distance", "length_ks", "length_wasserstein"),
    "vocabulary": ("vocabulary_psi", "vocabulary_js_distance", "vocabulary_cramers_v", "word_phi", "new_word_share"),
    "mean": ("psi", "js_distance", "ks", "wasserstein"),
    "lost class": ("lost_strata", "lost_values"),
}
"""The metrics of which one must move for a fault to count as seen; for `mean`, of the column that was moved."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(required=True)
    calibrate_ = modes.add_parser("calibrate")
    calibrate_.add_argument("file", type=Path)
    calibrate_.add_argument("label")
    calibrate_.add_argument("--text")
    calibrate_.add_argument("--no-header", action="store_true")
    calibrate_.add_argument("--rows", type=int, default=2_000)
    calibrate_.add_argument("--splits", type=int, default=500)
    calibrate_.add_argument("--tries", type=int, default=100)
    calibrate_.add_argument("--half", choices=("first", "second"), default="second")
    calibrate_.add_argument("--processes", type=int, default=os.cpu_count())
    calibrate_.set_defaults(run=calibrate)
    agree_ = modes.add_parser("agree")
    agree_.add_argument("file", type=Path)
    agree_.add_argument("--no-header", action="store_true")
    agree_.add_argument("--peer")
    agree_.set_defaults(run=agree)
    speed = modes.add_parser("speed")
    speed.add_argument("--peer")
    speed.add_argument("--rows", type=int, default=1_000_000)
    speed.add_argument("--turns", type=int, default=2)
    speed.set_defaults(run=measure_speed)
    options = parser.parse_args()
    options.run(options)


# ---- calibrate


def calibrate(options: argparse.Namespace) -> None:
    rows = read_rows(options.file, options.no_header)
    spec = make_spec(rows, options.label, options.text)
    rows = rows.with_columns(stratum=options.label).with_row_index("example_id")
    rows = rows.with_columns(pl.col("example_id").cast(pl.String)).sample(fraction=1, shuffle=True, seed=0)
    half = rows[: rows.height // 2] if options.half == "first" else rows[rows.height // 2 :]
    faults = ["label mix", "lost class", *(["text length", "vocabulary"] if options.text else [])]
    if any(field.type in ("number", "integer") for field in spec.fields):
        faults.append("mean")
    tasks = [(NONE, i) for i in range(options.splits)] + [(name, i) for name in faults for i in range(options.tries)]
    print(f"{options.file.name}: {half.height:,} rows of the {options.half} half; {options.rows:,} against as many")
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1"))
    began = time.perf_counter()
    with ProcessPoolExecutor(
        options.processes, mp_context=get_context("spawn"), initializer=_start, initargs=(half, spec, options.rows)
    ) as pool:
        results = list(pool.map(_try, tasks, chunksize=5))
    seconds = time.perf_counter() - began
    print(f"{len(tasks):,} reports in {seconds:.0f} s with {options.processes} processes")
    for name in (NONE, *faults):
        told = [result for task, result in zip(tasks, results, strict=True) if task[0] == name]
        seen, act = (sum(result[key] for result in told) for key in ("watched", "act"))
        low, high = _clopper_pearson(seen, len(told))
        what = "watch or act" if name == NONE else "seen"
        print(
            f"{name:<12} {len(told)} reports: {what} {seen / len(told):.1%} (95 % {low:.1%} … {high:.1%}), "
            f"act {act / len(told):.1%}"
        )
        by = Counter(metric for result in told for metric in result["metrics"])
        print("             by", ", ".join(f"{metric} {count}" for metric, count in by.most_common(8)) or "nothing")


_half, _spec, _rows = pl.DataFrame(), None, 0


def _start(half: pl.DataFrame, spec: DatasetSpec, rows: int) -> None:
    global _half, _spec, _rows
    _half, _spec, _rows = half, spec, rows


def _try(task: tuple[str, int]) -> dict[str, Any]:
    assert _spec is not None
    name, number = task
    rng = np.random.default_rng([number, *name.encode()])
    mixed = _half[rng.permutation(_half.height)]
    real, rest = mixed[:_rows], mixed[_rows:]
    made, column = rest[:_rows], None
    if name != NONE:
        made, column = plant(name, real, rest, _rows, _spec, rng)
    metrics = measure_shift(real, made, _spec).metrics.filter(pl.col("level") != OK)
    if name != NONE:
        metrics = metrics.filter(pl.col("metric").is_in(EXPECTED[name]))
    if column is not None:
        metrics = metrics.filter(pl.col("field") == column)
    return {
        "watched": not metrics.is_empty(),
        "act": (metrics["level"] == ACT).any(),
        "metrics": metrics["metric"].unique().to_list(),
    }


def plant(
    name: str, real: pl.DataFrame, rest: pl.DataFrame, rows: int, spec: DatasetSpec, rng: np.random.Generator
) -> tuple[pl.DataFrame, str | None]:
    """Return rows with one fault, and the field it lies in where that was chosen at random."""
    made = rest[:rows]
    if name == "label mix":  # every second stratum by size half as likely
        sizes = rest["stratum"].value_counts(sort=True)["stratum"].to_list()
        kept = rest["stratum"].is_in(sizes[::2]).to_numpy() | (rng.random(rest.height) < 0.5)
        return rest.filter(pl.Series(kept))[:rows], None
    if name == "lost class":  # any class of at least one percent, of any category
        columns = [field.name for field in spec.fields if field.type == "category"]
        classes = [
            (column, value)
            for column in columns
            for value, count in rest[column].value_counts().iter_rows()
            if value is not None and LEAST_CLASS * rest.height <= count <= rest.height / 2
        ]
        column, value = classes[rng.integers(len(classes))]
        kept = rest.filter(pl.col(column).ne_missing(value))
        return kept[:rows], None if column in spec.strata.by else column
    if name == "mean":
        columns = [field.name for field in spec.fields if field.type in ("number", "integer")]
        column = columns[rng.integers(len(columns))]
        step = MOVED * float(pl.concat([real, rest])[column].std())  # type: ignore[arg-type]
        return made.with_columns(pl.col(column) + (round(step) or step)), column
    text = next(field.name for field in spec.fields if field.is_free_text)
    if name == "text length":  # the last fifth of the words is gone
        words = pl.col(text).str.split(" ")
        return made.with_columns(words.list.head((words.list.len() * 0.8).ceil()).list.join(" ")), None
    word = choose_word(real[text], rng)  # a word of 4 % to 20 % of the texts is replaced by another one
    return made.with_columns(pl.col(text).str.replace_all(rf"(?i)\b{word}\b", f"{word}oid")), None


def choose_word(texts: pl.Series, rng: np.random.Generator) -> str:
    words = texts.str.to_lowercase().str.extract_all(r"\b[a-z]+\b").list.unique().explode()
    shares = words.value_counts().with_columns(pl.col("count") / len(texts)).sort(texts.name)
    return rng.choice(shares.filter(pl.col("count").is_between(0.04, 0.2))[texts.name].to_numpy())


def read_rows(file: Path, no_header: bool) -> pl.DataFrame:
    rows = pl.read_csv(file, has_header=not no_header, infer_schema_length=None)
    rows = rows.filter(~pl.all_horizontal(pl.all().is_null()))  # a blank line at the end
    texts = [name for name, kind in rows.schema.items() if kind == pl.String]
    rows = rows.with_columns(pl.col(texts).str.strip_chars())
    numbers = [name for name in texts if rows[name].cast(pl.Float64, strict=False).null_count() == 0]
    return rows.with_columns(pl.col(numbers).cast(pl.Float64))


def make_spec(rows: pl.DataFrame, label: str | None, text: str | None = None) -> DatasetSpec:
    """Return a spec of all columns, stratified by the label."""
    fields = [
        {"name": name, "type": "text" if name == text else "number" if kind.is_numeric() else "category",
         "role": "target" if name == label else "input"}
        for name, kind in rows.schema.items()
    ]  # fmt: skip
    content = {
        "name": "bench",
        "fields": fields,
        "strata": {"by": [label] if label else []},
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
    }
    return parse_spec(content, where="bench")


def _clopper_pearson(hits: int, tries: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(hits, tries).proportion_ci(0.95, "exact")
    return interval.low, interval.high


# ---- agree


def agree(options: argparse.Namespace) -> None:
    """Print the largest difference from scipy, and from evidently where it is given, over all pairs of columns."""
    from scipy.spatial.distance import jensenshannon
    from scipy.special import rel_entr
    from scipy.stats import ks_2samp, wasserstein_distance

    rows = read_rows(options.file, options.no_header).sample(fraction=1, shuffle=True, seed=0)
    real, made = rows[: rows.height // 2], rows[rows.height // 2 :]
    largest: dict[str, float] = {}

    def note(name: str, ours: Any, theirs: Any) -> None:
        largest[name] = max(largest.get(name, 0.0), abs(float(ours) - float(theirs)))

    numbers = [name for name, kind in rows.schema.items() if kind.is_numeric()]
    for name in numbers:
        a, b = real[name].to_numpy(), made[name].to_numpy()
        distinct = np.unique(np.concatenate([a, b]))
        counts = [np.bincount(np.searchsorted(distinct, side), minlength=len(distinct)) for side in (a, b)]
        note("KS, scipy", measure_ks(*counts), ks_2samp(a, b).statistic)
        note("Wasserstein / range, scipy", measure_wasserstein(*counts, distinct) / np.ptp(distinct),
             wasserstein_distance(a, b) / np.ptp(distinct))  # fmt: skip
    for name in rows.columns:
        p, q = (counts / counts.sum() for counts in count_cells(real[name], made[name]))
        note("PSI, scipy", measure_psi(p, q, pseudo_count=0), (rel_entr(p, q) + rel_entr(q, p)).sum())
        note("JS distance, scipy", measure_js_distance(p, q), jensenshannon(p, q, base=2))
    if options.peer:
        with tempfile.TemporaryDirectory() as folder, Peer(options.peer, folder, real, made) as peer:
            print(peer.about)
            for name in rows.columns:
                kind = "num" if name in numbers else "cat"
                found = peer.ask({"agree": name, "kind": kind})
                counts = [np.array(found["reference"]) * real.height, np.array(found["current"]) * made.height]
                note(
                    "JS distance, evidently on its bins",
                    measure_js_distance(*counts) * math.sqrt(math.log(2)),
                    found["js"],
                )
                filled = [np.array(found["filled_reference"]), np.array(found["filled_current"])]
                psi = np.sum((filled[0] - filled[1]) * np.log(filled[0] / filled[1]))
                note("PSI formula, evidently on its filled shares", psi, found["psi"])
                if all((side > 0).all() for side in counts):
                    note("PSI, evidently on its bins, none empty", measure_psi(*counts, pseudo_count=0), found["psi"])
                    note("PSI with ½ a count more in each, same bins", measure_psi(*counts), found["psi"])
                else:
                    note("PSI with ½ a count more, evidently fills empty bins", measure_psi(*counts), found["psi"])
    for name, difference in largest.items():
        print(f"{name:<52} largest difference {difference:.1e}")


def count_cells(real: pl.Series, made: pl.Series) -> list[np.ndarray]:
    """Return counts per cell: ten quantile bins of numbers, values of others that both sides have."""
    if real.dtype.is_numeric():
        edges = np.unique(np.quantile(np.concatenate([real.to_numpy(), made.to_numpy()]), np.arange(1, 10) / 10))
        counts = [
            np.bincount(np.searchsorted(edges, side.to_numpy()), minlength=len(edges) + 1) for side in (real, made)
        ]
    else:
        values = pl.concat([real, made]).unique().sort().to_list()
        counts = [np.array([found.get(value, 0) for value in values]) for found in (Counter(real), Counter(made))]
    both = (counts[0] > 0) & (counts[1] > 0)
    return [side[both] for side in counts]


# ---- speed


def measure_speed(options: argparse.Namespace) -> None:
    real, made = (make_mixed(options.rows, seed) for seed in (1, 2))
    spec = make_spec(real.drop("example_id", "stratum"), None)
    print(f"{options.rows:,} against {options.rows:,} rows, {len(spec.fields)} columns")
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder, Peer(options.peer, folder, real, made) as peer:
        print(peer.about)
        for _ in range(options.turns):
            began = time.perf_counter()
            views = view_fields(pair_strata(real, made, 0), spec)
            found = {view.field: view.measure() for view in views if isinstance(view, View)}
            ours.append(time.perf_counter() - began)
            if options.peer:
                theirs.append(peer.ask({"preset": True})["seconds"])
        print(f"psi, js_distance, ks, wasserstein, cramers_v of all columns: {format_seconds(ours)}")
        if options.peer:
            print(f"evidently, DataDriftPreset with its defaults: {format_seconds(theirs)}; "
                  f"{min(theirs) / max(ours):.1f} to {max(theirs) / min(ours):.1f} times as long")  # fmt: skip
            told = peer.ask({"values": True})["values"]
            for name, value in told.items():
                name_, factor = (
                    ("wasserstein", 1.0) if "wasserstein" in found[name] else ("js_distance", math.sqrt(math.log(2)))
                )
                print(f"  {name}: {name_} {found[name][name_] * factor:.9f}, evidently {value:.9f}")
    began = time.perf_counter()
    report = measure_shift(real, made, spec)
    print(f"full report: {time.perf_counter() - began:.1f} s, {report.metrics.height} metrics, level {report.level}; "
          f"peak memory of this process {peak_gigabytes():.2f} GB")  # fmt: skip


def make_mixed(rows: int, seed: int) -> pl.DataFrame:
    """Return six number columns and four category columns, some of them dependent."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=rows)
    categories = {
        f"category_{size}": pl.Series(rng.zipf(1.5, rows) % size).cast(pl.String).str.pad_start(4, "v")
        for size in (3, 10, 40, 200)
    }
    return pl.DataFrame(
        {
            "example_id": pl.int_range(rows, eager=True).cast(pl.String),
            "stratum": pl.repeat("all", rows, eager=True),
            "normal": level,
            "dependent": 0.5 * level + rng.normal(size=rows),
            "skewed": rng.lognormal(0, 1, rows),
            "uniform": rng.random(rows),
            "count": rng.poisson(12, rows).astype(np.float64),
            "amount": np.where(rng.random(rows) < 0.6, 0.0, rng.gamma(2, 50, rows)).round(2),
            **categories,
        }
    )


def format_seconds(values: list[float]) -> str:
    return ", ".join(f"{value:.2f} s" for value in values)


def peak_gigabytes() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


class Peer:
    """evidently in a process of its own, which holds the same rows as pandas frames and answers lines of JSON."""

    def __init__(self, python: str | None, folder: str, real: pl.DataFrame, made: pl.DataFrame):
        self.about = "no peer"
        self.process: subprocess.Popen[str] | None = None
        if python is None:
            return
        for name, frame in (("reference", real), ("current", made)):
            frame.drop("example_id", "stratum", strict=False).write_parquet(f"{folder}/{name}.parquet")
        self.process = subprocess.Popen(
            [python, "-c", PEER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.about = self.ask({"about": True})["about"]

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.communicate()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


PEER = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import evidently, pandas
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from evidently.legacy.calculations.stattests.jensenshannon import jensenshannon_stat_test
from evidently.legacy.calculations.stattests.psi import psi_stat_test
from evidently.legacy.calculations.stattests.utils import get_binned_data
from evidently.legacy.core import ColumnType

reference, current = (pandas.read_parquet(f"{sys.argv[1]}/{name}.parquet") for name in ("reference", "current"))
numbers = [name for name in reference if pandas.api.types.is_numeric_dtype(reference[name])]
definition = DataDefinition(
    numerical_columns=numbers, categorical_columns=[name for name in reference if name not in numbers]
)
sides = [Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference)]
snapshot = None
for line in sys.stdin:
    question, answer = json.loads(line), {}
    if "about" in question:
        answer["about"] = f"evidently {evidently.__version__}, pandas {pandas.__version__}"
    if "preset" in question:
        began = time.perf_counter()
        snapshot = Report([DataDriftPreset()]).run(*sides)
        answer["seconds"] = time.perf_counter() - began
    if "values" in question:
        metrics = json.loads(snapshot.json())["metrics"]
        answer["values"] = {
            metric["config"]["column"]: metric["value"] for metric in metrics if "column" in metric.get("config", {})
        }
    if "agree" in question:
        kind = ColumnType.Numerical if question["kind"] == "num" else ColumnType.Categorical
        pair = reference[question["agree"]], current[question["agree"]]
        for prefix, fill in (("", False), ("filled_", True)):
            shares = get_binned_data(*pair, kind, 30, fill)
            answer[prefix + "reference"], answer[prefix + "current"] = (list(map(float, side)) for side in shares)
        answer["js"] = float(jensenshannon_stat_test(*pair, kind, 0.1).drift_score)
        answer["psi"] = float(psi_stat_test(*pair, kind, 0.1).drift_score)
    print(json.dumps(answer), flush=True)
"""


if __name__ == "__main__":
    main()
