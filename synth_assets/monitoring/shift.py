"""Distribution shift: whether synthetic rows are distributed like the real ones, stratum by stratum.

Here: PSI, Jensen–Shannon distance, KS and Cramér's V of every field, the stratum mix against its plan, and the
classifier two-sample test, each beside what real against real gives. Not here: the formulas (distances), diversity
and tails (collapse), copies (privacy).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.distances import (
    measure_cramers_v,
    measure_js_distance,
    measure_ks,
    measure_psi,
    measure_total_variation,
)
from synth_assets.monitoring.diversity import tokenize
from synth_assets.monitoring.features import (
    MISSING,
    code_categories,
    find_fields,
    fit_encoder,
    one_hot,
    read_categories,
    read_numbers,
    read_text,
    sample_rows,
    split_fields,
    type_columns,
)
from synth_assets.monitoring.measures import ACT, OK, Metric, Report, build_report, find_null_interval, judge
from synth_assets.records import ALL_STRATUM, apportion, derive_seed
from synth_assets.spec import DatasetSpec, FieldSpec

MAX_ROWS = 20_000
DRAWS = 100
BINS = 10
MAX_CELLS = 50
VOCABULARY = 500
MIN_STRATUM_ROWS = 5
EXPECTED_TO_BE_LOST = 10
OTHER = "(other)"

C2ST_ROWS = 3_000
FOREST_ROWS = 2_000
C2ST_MIN_ROWS = 20
C2ST_DRAWS = 5
C2ST_VALUE_DRAWS = 2
C2ST_FOLDS = 3
C2ST_TREES = 60
EXAMPLES = 10


def measure_shift(
    real: pl.DataFrame, synthetic: pl.DataFrame, spec: DatasetSpec, *, plan: pl.DataFrame | None = None
) -> Report:
    """Compare synthetic rows with real ones within strata.

    real: train and steering rows that may be released (example_id, stratum, record columns). synthetic: the same
    columns. plan: stratum, target, accepted_before (rows wanted of this round, rows of earlier rounds; the latter may
    be missing); left out, the real stratum mix is the plan. At most 20,000 rows a side count, drawn by id.

    Real rows are reweighted to the synthetic stratum mix, so a planned change of the label mix is no shift of the
    other fields; strata with fewer than five real rows are left out of the comparison of fields (`uncovered_share`).

    Metrics, each with the 95 % interval of 100 pairs of samples drawn from the real rows at the compared sizes:
    - psi, js_distance (base 2), cramers_v of category and boolean fields: the 50 most frequent real values, `(other)`
      and `(missing)`; psi, js_distance, ks of numbers and dates: decile bins of the real values, a value that holds a
      tenth of them alone in its bin, `(missing)`; ks over the values themselves
    - length_psi, length_js_distance, length_ks: words of a text; vocabulary_psi, vocabulary_js_distance: counts of
      the 500 most frequent real words and `(other)`
    - lost_values: values that should stand at least ten times in the synthetic rows and do not
    - stratum_mix_psi, stratum_mix_tv, lost_strata against the plan; null: samples of the plan
    - c2st_accuracy: cross-validated logistic two-sample test on words, characters, numbers and categories;
      c2st_forest_accuracy: the same with a random forest without the text, for dependence between fields, to which
      a linear model is blind. Null: the same test
      between disjoint samples of real rows, equally many of every stratum on both sides (Lopez-Paz 2017, 1610.06545)

    Levels: psi metrics by psi_watch and psi_act; C2ST acts from its mean real-vs-real accuracy + c2st_margin and is
    watched from half the margin; lost values and strata act; only ever above the null interval. The others are
    effect sizes without a bar.
    """
    salt = (spec.seed, "monitoring", "shift")
    real = sample_rows(real, MAX_ROWS, *salt, "real")
    synthetic = sample_rows(synthetic, MAX_ROWS, *salt, "synthetic")
    if not real.height or not synthetic.height:
        side = "synthetic" if real.height else "real"
        return build_report(
            [Metric("stratum_mix_tv", note=f"not measured: there are no {side} rows")], (), spec.quality.shift_level
        )
    metrics: list[Metric] = list(_compare_mix(real, synthetic, spec, plan))
    pairing = _pair_strata(real, synthetic, derive_seed(*salt, "draws"))
    metrics.append(pairing.uncovered)
    examples: list[dict[str, Any]] = []
    for view in _view_fields(pairing, spec):
        if isinstance(view, Metric):
            metrics.append(view)
        else:
            found, cells = _compare_view(view, pairing, spec)
            metrics.extend(found)
            examples.extend(cells)
    for name, forest in (("c2st_accuracy", False), ("c2st_forest_accuracy", True)):
        found, rows = _test_two_samples(name, forest, pairing, spec, derive_seed(*salt, name))
        metrics.extend(found)
        examples.extend(rows)
    return build_report(metrics, examples, spec.quality.shift_level)


# ---- strata


def _compare_mix(
    real: pl.DataFrame, synthetic: pl.DataFrame, spec: DatasetSpec, plan: pl.DataFrame | None
) -> Iterator[Metric]:
    wanted = real["stratum"].value_counts(name="wanted") if plan is None else _read_plan(plan)
    against = "the real mix" if plan is None else "the plan"
    counts = (
        wanted.group_by("stratum")
        .agg(pl.col("wanted").sum().cast(pl.Int64))
        .join(synthetic["stratum"].value_counts(name="made"), on="stratum", how="full", coalesce=True)
        .fill_null(0)
        .sort("stratum")
    )
    planned, made = counts["wanted"].to_numpy().astype(float), counts["made"].to_numpy().astype(float)
    if planned.sum() <= 0:
        yield Metric("stratum_mix_tv", note=f"not measured: {against} wants no rows")
        return
    rng = np.random.default_rng(derive_seed(spec.seed, "monitoring", "shift", "mix"))
    shares = planned / planned.sum()
    draws = rng.multinomial(int(made.sum()), shares, size=DRAWS).astype(float)
    # a plan is exact; the real mix is a sample itself
    origins = planned if plan is not None else rng.multinomial(int(planned.sum()), shares, size=DRAWS).astype(float)
    expected = shares * made.sum()
    common: dict[str, Any] = {"n_real": real.height, "n_synthetic": synthetic.height}
    quality = spec.quality
    low, high = find_null_interval(measure_psi(origins, draws))
    psi = float(measure_psi(planned, made))
    yield Metric(
        "stratum_mix_psi", psi, null_low=low, null_high=high, threshold=quality.psi_act,
        level=judge(psi, act=quality.psi_act, watch=quality.psi_watch, null_high=high),
        note=f"{len(counts)} strata against {against}", **common,
    )  # fmt: skip
    low, high = find_null_interval(measure_total_variation(origins, draws))
    tv = float(measure_total_variation(planned, made))
    yield Metric("stratum_mix_tv", tv, null_low=low, null_high=high, note=f"against {against}", **common)
    lost = counts["stratum"].filter(pl.Series((expected >= EXPECTED_TO_BE_LOST) & (made == 0))).to_list()
    yield Metric(
        "lost_strata", len(lost), null_low=0.0, null_high=0.0, threshold=1.0, level=ACT if lost else OK,
        note=_list_lost(lost, "strata"), **common,
    )  # fmt: skip


def _read_plan(plan: pl.DataFrame) -> pl.DataFrame:
    before = pl.col("accepted_before") if "accepted_before" in plan.columns else pl.lit(0)
    return plan.select("stratum", wanted=(pl.col("target") + before).cast(pl.Int64))


@dataclass(frozen=True)
class _Pairing:
    """Real and synthetic rows of the strata that can be compared, and weights that give both the same mix.

    `draws_real` and `draws_synthetic` (DRAWS × real rows) are the weights of pairs of real samples of those sizes.
    """

    real: pl.DataFrame
    synthetic: pl.DataFrame
    real_groups: np.ndarray
    synthetic_groups: np.ndarray
    weights: np.ndarray
    draws_real: np.ndarray
    draws_synthetic: np.ndarray
    uncovered: Metric

    @property
    def sizes(self) -> dict[str, Any]:
        return {"n_real": self.real.height, "n_synthetic": self.synthetic.height}


def _pair_strata(real: pl.DataFrame, synthetic: pl.DataFrame, seed: int) -> _Pairing:
    counts = real["stratum"].value_counts(name="n").filter(pl.col("n") >= MIN_STRATUM_ROWS)
    large = counts.filter(pl.col("stratum").is_in(synthetic["stratum"].unique().implode()))["stratum"].sort()
    note = (
        f"share of synthetic rows in strata with fewer than {MIN_STRATUM_ROWS} real rows: not compared field by field"
    )
    if not len(large):
        note = f"no stratum has {MIN_STRATUM_ROWS} real rows: all rows are compared as one stratum"
        real, synthetic = (frame.with_columns(stratum=pl.lit(ALL_STRATUM)) for frame in (real, synthetic))
        large = pl.Series("stratum", [ALL_STRATUM])
    total = synthetic.height
    real, synthetic = (frame.filter(pl.col("stratum").is_in(large.implode())) for frame in (real, synthetic))
    names = large.to_list()
    real_groups, synthetic_groups = (code_categories(frame["stratum"], names) for frame in (real, synthetic))
    n_real, n_synthetic = (np.bincount(groups, minlength=len(names)) for groups in (real_groups, synthetic_groups))
    by_group = n_synthetic / n_synthetic.sum() / n_real * len(real_groups)
    weights = by_group[real_groups]

    rng = np.random.default_rng(seed)
    order = np.argsort(real_groups, kind="stable")
    starts = np.cumsum(n_real) - n_real

    def resample(groups: np.ndarray) -> np.ndarray:
        picks = (rng.random((DRAWS, len(groups))) * n_real[groups]).astype(np.int64) + starts[groups]
        return np.stack([np.bincount(order[row], minlength=len(real_groups)) for row in picks]).astype(np.float64)

    return _Pairing(
        real,
        synthetic,
        real_groups,
        synthetic_groups,
        weights,
        resample(real_groups) * weights,
        resample(synthetic_groups),
        Metric(
            "uncovered_share", 1 - synthetic.height / total, n_real=real.height, n_synthetic=synthetic.height, note=note
        ),
    )


# ---- fields


@dataclass(frozen=True)
class _View:
    """One field seen as counts per cell: rows × cells matrices of both sides.

    `cells` are the labels of the binned view; `values` are the distinct values in order, for KS, where there is an
    order. `prefix` tells what of the field is seen: "", "length_" or "vocabulary_".
    """

    field: str
    prefix: str
    real: Any
    synthetic: Any
    cells: tuple[str, ...]
    note: str
    real_values: Any = None
    synthetic_values: Any = None
    names_values: bool = False


def _view_fields(pairing: _Pairing, spec: DatasetSpec) -> Iterator[_View | Metric]:
    fields = find_fields(spec, pairing.real, pairing.synthetic)
    text, numeric, category = split_fields(fields)
    for item in category:
        if item.name in spec.strata.by:
            yield Metric("psi", field=item.name, note="not measured: fixed by the strata, see stratum_mix_psi")
        else:
            yield _view_categories(item, pairing)
    for item in numeric:
        pair = tuple(read_numbers(frame, item) for frame in (pairing.real, pairing.synthetic))
        yield _view_numbers(item.name, "", pair[0], pair[1])
    for item in text:
        yield from _view_text(item, pairing)


def _view_categories(item: FieldSpec, pairing: _Pairing) -> _View:
    values = [read_categories(frame, item) for frame in (pairing.real, pairing.synthetic)]
    counts = values[0].alias("value").value_counts().sort("count", "value", descending=[True, False])
    levels = [value for value in counts["value"].head(MAX_CELLS).to_list() if value != MISSING]
    cells = (*levels, MISSING, OTHER)
    codes = [code_categories(side, [*levels, MISSING], other=len(levels) + 1) for side in values]
    real, synthetic = (one_hot(side, len(cells)) for side in codes)
    return _View(item.name, "", real, synthetic, cells, f"{len(levels)} values", names_values=True)


def _view_numbers(name: str, prefix: str, real: np.ndarray, synthetic: np.ndarray) -> _View | Metric:
    known = real[np.isfinite(real)]
    if not len(known) and not np.isfinite(synthetic).any():
        return Metric(f"{prefix}psi", field=name, note="not measured: every value is missing")
    edges = _find_edges(known)
    codes = [
        np.where(np.isfinite(side), np.searchsorted(edges, side, side="left"), len(edges) + 1)
        for side in (real, synthetic)
    ]
    distinct = np.unique(np.concatenate([known, synthetic[np.isfinite(synthetic)]]))
    ranks = [np.where(np.isfinite(side), np.searchsorted(distinct, side), -1) for side in (real, synthetic)]
    cells = (*_name_bins(edges), MISSING)
    return _View(
        name, prefix, one_hot(codes[0], len(cells)), one_hot(codes[1], len(cells)), cells, f"{len(edges) + 1} bins",
        one_hot(ranks[0], len(distinct)), one_hot(ranks[1], len(distinct)),
    )  # fmt: skip


def _find_edges(values: np.ndarray) -> np.ndarray:
    """Return the upper edges of all bins but the last: deciles, with frequent values alone in a bin of their own."""
    distinct, counts = np.unique(values, return_counts=True)
    frequent = distinct[counts >= len(values) / BINS] if len(values) else distinct
    rest = values[~np.isin(values, frequent)]
    bins = max(round(BINS * len(rest) / len(values)), 1) if len(values) else 1
    cuts = np.quantile(rest, np.arange(1, bins) / bins, method="inverted_cdf") if len(rest) else np.empty(0)
    edges = np.unique(np.concatenate([cuts, frequent, np.nextafter(frequent, -np.inf)]))
    return edges[edges < distinct[-1]] if len(distinct) else edges


def _name_bins(edges: np.ndarray) -> Iterator[str]:
    lows, highs = [-np.inf, *edges], [*edges, np.inf]
    for low, high in zip(lows, highs, strict=True):
        yield f"= {high:.6g}" if np.nextafter(high, -np.inf) == low else f"({low:.6g}, {high:.6g}]"


def _view_text(item: FieldSpec, pairing: _Pairing) -> Iterator[_View | Metric]:
    from scipy import sparse

    pair = [read_text(frame, [item]) for frame in (pairing.real, pairing.synthetic)]
    joined = pl.concat(pair)
    tokens = tokenize(joined)
    split = pair[0].len()
    lengths = np.where(joined.is_null().to_numpy(), np.nan, tokens.lengths)
    yield _view_numbers(item.name, "length_", lengths[:split], lengths[split:])
    counts = sparse.csr_matrix(
        (np.ones(len(tokens)), (tokens.docs, tokens.ids)), shape=(tokens.n_docs, len(tokens.vocabulary))
    )
    real, synthetic = counts[:split], counts[split:]
    totals = np.asarray(real.sum(axis=0)).ravel()
    if not totals.sum() or not synthetic.sum():
        yield Metric("vocabulary_psi", field=item.name, note="not measured: a side has no words")
        return
    top = np.argsort(-totals, kind="stable")[:VOCABULARY]
    top = top[totals[top] > 0]
    sides = []
    for side in (real, synthetic):
        chosen = side[:, top]
        rest = np.asarray(side.sum(axis=1)).ravel() - np.asarray(chosen.sum(axis=1)).ravel()
        sides.append(sparse.hstack([chosen, sparse.csr_matrix(rest[:, None])], format="csr"))
    words = (*tokens.vocabulary.gather(top).to_list(), OTHER)
    yield _View(item.name, "vocabulary_", sides[0], sides[1], words, f"{len(top)} words")


def _compare_view(view: _View, pairing: _Pairing, spec: DatasetSpec) -> tuple[list[Metric], list[dict[str, Any]]]:
    expected, actual = view.real.T @ pairing.weights, view.synthetic.T @ np.ones(view.synthetic.shape[0])
    null = (view.real.T @ pairing.draws_real.T).T, (view.real.T @ pairing.draws_synthetic.T).T

    def measure(name: str, function: Callable[..., np.ndarray], **bars: float) -> Metric:
        value = float(function(expected, actual))
        low, high = find_null_interval(function(*null))
        level = judge(value, null_high=high, **bars) if bars else OK
        return Metric(
            f"{view.prefix}{name}", value, view.field, null_low=low, null_high=high, threshold=bars.get("act"),
            level=level, note=view.note, **pairing.sizes,
        )  # fmt: skip

    quality = spec.quality
    metrics = [
        measure("psi", measure_psi, watch=quality.psi_watch, act=quality.psi_act),
        measure("js_distance", measure_js_distance),
    ]
    if view.real_values is not None:
        metrics.append(_compare_order(view, pairing))
    elif view.names_values:
        metrics += [measure("cramers_v", measure_cramers_v), _find_lost(view, pairing, expected, actual, null[1])]
    if all(metric.level == OK for metric in metrics):
        return metrics, []
    p, q = expected / expected.sum(), actual / actual.sum()
    parts = np.abs(p - q)
    cells = [
        {
            "kind": "shifted_cell",
            "value": float(q[i] - p[i]),
            "note": f"{view.prefix}{view.field}: {view.cells[i]} real {p[i]:.3f} synthetic {q[i]:.3f}",
        }
        for i in np.argsort(-parts, kind="stable")[:3]
        if parts[i] > 0
    ]
    return metrics, cells


def _compare_order(view: _View, pairing: _Pairing) -> Metric:
    name = f"{view.prefix}ks"
    expected = view.real_values.T @ pairing.weights
    actual = view.synthetic_values.T @ np.ones(view.synthetic.shape[0])
    if not expected.sum() or not actual.sum():
        return Metric(name, field=view.field, note="not measured: every value of a side is missing", **pairing.sizes)
    draws = [
        float(measure_ks(view.real_values.T @ a, view.real_values.T @ b))
        for a, b in zip(pairing.draws_real, pairing.draws_synthetic, strict=True)
    ]
    low, high = find_null_interval(draws)
    value = float(measure_ks(expected, actual))
    return Metric(name, value, view.field, null_low=low, null_high=high, **pairing.sizes)


def _find_lost(view: _View, pairing: _Pairing, expected: np.ndarray, actual: np.ndarray, null: np.ndarray) -> Metric:
    should = (expected / expected.sum() * actual.sum() >= EXPECTED_TO_BE_LOST) & (np.array(view.cells) != OTHER)
    lost = [view.cells[i] for i in np.flatnonzero(should & (actual == 0))]
    low, high = find_null_interval(((null == 0) & should).sum(axis=1))
    return Metric(
        "lost_values", len(lost), view.field, null_low=low, null_high=high, threshold=1.0,
        level=judge(len(lost), act=1.0, null_high=high), note=_list_lost(lost, "values"), **pairing.sizes,
    )  # fmt: skip


# ---- classifier two-sample test


def _test_two_samples(
    name: str, forest: bool, pairing: _Pairing, spec: DatasetSpec, seed: int
) -> tuple[list[Metric], list[dict[str, Any]]]:
    fields = [
        item
        for item in find_fields(spec, pairing.real, pairing.synthetic)
        if item.name not in spec.strata.by and not (forest and item.is_free_text)
    ]
    if forest and len(fields) < 2:
        return [], []
    sizes = _match_sizes(pairing, FOREST_ROWS if forest else C2ST_ROWS)
    rows = int(sizes.sum())
    if rows < C2ST_MIN_ROWS:
        note = f"not measured: {rows} rows a side after matching strata, {C2ST_MIN_ROWS} are needed"
        return [Metric(name, note=note, **pairing.sizes)], []
    names = [item.name for item in fields]
    pool = pl.concat([type_columns(frame, fields).select(names) for frame in (pairing.real, pairing.synthetic)])
    encoder, features = fit_encoder(pool, fields, text="none" if forest else "words_and_chars")
    if not features.shape[1]:
        return [Metric(name, note="not measured: no field holds anything to compare", **pairing.sizes)], []
    rng = np.random.default_rng(seed)
    split = pairing.real.height
    null, values = [], []
    for _ in range(C2ST_DRAWS):
        first, second = _draw_matched(pairing.real_groups, sizes, 2, rng)
        null.append(_classify(features, first, second, forest)[0])
    scores = np.zeros(0)
    shown = np.zeros(0, np.int64)
    for _ in range(C2ST_VALUE_DRAWS):
        (first,) = _draw_matched(pairing.real_groups, sizes, 1, rng)
        (second,) = _draw_matched(pairing.synthetic_groups, sizes, 1, rng)
        accuracy, scores = _classify(features, first, second + split, forest)
        values.append(accuracy)
        shown = second
    value, center = float(np.mean(values)), float(np.mean(null))
    low, high = find_null_interval(null)
    margin = spec.quality.c2st_margin
    level = judge(value, act=center + margin, watch=center + margin / 2, null_high=high)
    metric = Metric(
        name, value, null_low=low, null_high=high, threshold=center + margin, level=level, n_real=rows,
        n_synthetic=rows, note=f"mean of {C2ST_VALUE_DRAWS} draws; real against real {center:.3f}",
    )  # fmt: skip
    if level == OK:
        return [metric], []
    ids = pairing.synthetic["example_id"]
    told = np.argsort(-scores, kind="stable")[:EXAMPLES]
    examples: list[dict[str, Any]] = [
        {"kind": "most_synthetic", "example_id": ids[int(shown[i])], "value": float(scores[i]), "note": name}
        for i in told
    ]
    if not forest:
        examples += _name_telltales(features, encoder.names, pairing)
    return [metric], examples


def _match_sizes(pairing: _Pairing, limit: int) -> np.ndarray:
    """Return rows per stratum: as many as the synthetic side and half of the real side hold, `limit` in all."""
    width = int(pairing.real_groups.max()) + 1
    sizes = np.minimum(
        np.bincount(pairing.real_groups, minlength=width) // 2, np.bincount(pairing.synthetic_groups, minlength=width)
    )
    return sizes if sizes.sum() <= limit else np.array(apportion(limit, sizes.tolist()))


def _draw_matched(groups: np.ndarray, sizes: np.ndarray, parts: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return `parts` disjoint sets of row indices, each with sizes[g] rows of group g."""
    order = np.lexsort((rng.random(len(groups)), groups))
    counts = np.bincount(groups, minlength=len(sizes))
    rank = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    part = rank // np.maximum(sizes, 1)[groups[order]]
    part[sizes[groups[order]] == 0] = parts
    return [order[part == i] for i in range(parts)]


def _classify(features: Any, first: np.ndarray, second: np.ndarray, forest: bool) -> tuple[float, np.ndarray]:
    """Return how often unseen rows of the two sets are told apart, and the scores of the second set.

    Unseen: out of the fold for the linear model, out of the bag for the forest.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    labels = np.repeat([0, 1], [len(first), len(second)])
    rows = features[np.concatenate([first, second])]
    if forest:
        trees = RandomForestClassifier(C2ST_TREES, min_samples_leaf=5, oob_score=True, random_state=0)
        chances = trees.fit(rows.toarray().astype(np.float32), labels).oob_decision_function_[:, 1]
    else:
        folds = StratifiedKFold(C2ST_FOLDS, shuffle=True, random_state=0)
        model = LogisticRegression(max_iter=300, tol=1e-3)
        chances = np.asarray(cross_val_predict(model, rows, labels, cv=folds, method="predict_proba"))[:, 1]
    return float(np.mean((chances > 0.5) == labels)), chances[len(first) :]


def _name_telltales(features: Any, names: tuple[str, ...], pairing: _Pairing) -> list[dict[str, Any]]:
    from sklearn.linear_model import LogisticRegression

    weights = np.concatenate([pairing.weights, np.full(pairing.synthetic.height, 1.0)])
    labels = np.repeat([0, 1], [pairing.real.height, pairing.synthetic.height])
    model = LogisticRegression(max_iter=300, tol=1e-3, class_weight="balanced")
    coefficients = model.fit(features, labels, sample_weight=weights).coef_.ravel()
    top = np.argsort(-np.abs(coefficients), kind="stable")[:EXAMPLES]
    return [
        {
            "kind": "telltale",
            "value": float(coefficients[i]),
            "note": f"'{names[i]}' tells {'synthetic' if coefficients[i] > 0 else 'real'} rows",
        }
        for i in top
    ]


def _list_lost(names: list[str], what: str) -> str:
    shown = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
    return f"{what} expected at least {EXPECTED_TO_BE_LOST} times and never made: {shown or 'none'}"
