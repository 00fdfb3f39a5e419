"""What an attacker gains from synthetic columns: singling out, linking, inferring values.

Here: the three attacks of Giomi et al. 2023 (PoPETs 2023(2), 312–328, "A Unified Framework for Quantifying Privacy
Risk in Synthetic Data"), tried on train rows and, as the control, on sealed rows. What succeeds on both is knowledge
about people in general; only the excess is a leak. An implementation of our own. Not here: membership (membership.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from synth_assets.monitoring.features import fit_encoder, read_categories, read_numbers, sample_rows
from synth_assets.monitoring.measures import OK, WATCH, Metric, judge
from synth_assets.monitoring.privacy.compared import MIN_ROWS, Compared, Targets, choose_targets
from synth_assets.monitoring.privacy.records import LABEL
from synth_assets.records import derive_seed
from synth_assets.spec import NUMERIC_TYPES, FieldSpec

MAX_SYNTHETIC = 10_000
MOST_TERMS = 6
TOLERANCE = 0.05
"""A guessed number within 5 % of the true one is a success."""
_BLOCK = 500


@dataclass(frozen=True)
class _Column:
    """One field of the three sides as numbers (categories as codes; missing as NaN) and as coordinates."""

    field: FieldSpec
    synthetic: np.ndarray
    members: np.ndarray
    others: np.ndarray
    points: tuple[np.ndarray, np.ndarray, np.ndarray]

    @property
    def is_ordered(self) -> bool:
        return self.field.type in NUMERIC_TYPES or self.field.type == "date"


def attack_columns(rows: Compared, fields: list[FieldSpec], secrets: list[FieldSpec]) -> list[Metric]:
    """Return singling_out_risk, linkability_risk and inference_risk (one a secret that is no quasi-identifier).

    Risk = (a − c) / (1 − c), the success rates a on train and c on as many sealed rows of the same strata; its
    interval is Newcombe's of a − c at 95 %, corrected (Bonferroni) for the number of attacks. Where its lower end
    reaches quality.attack_risk a risk acts, from half of that it is watched; of rows that may be released themselves it
    is watched at most.

    The attacker knows the quasi-identifiers where liabilities names any, else all fields but the secret one; what he
    links are these and the rest, else every other field.
    """
    return [metric for targets in choose_targets(rows) for metric in _attack(rows, targets, fields, secrets)]


def _attack(rows: Compared, targets: Targets, fields: list[FieldSpec], secrets: list[FieldSpec]) -> list[Metric]:
    identifiers = rows.spec.liabilities.quasi_identifiers
    secrets = [field for field in secrets if field.name not in identifiers]
    members, others = _pair_strata(rows, targets)
    names = [f"{kind}_risk{targets.suffix}" for kind in ("singling_out", "linkability", "inference")]
    if len(members) < MIN_ROWS:
        note = f"not measured: {MIN_ROWS} train and sealed rows of common strata are needed"
        return [Metric(names[0], field=LABEL, note=note, **rows.sizes)]
    made = sample_rows(rows.synthetic, MAX_SYNTHETIC, *rows.salt("attacks"))
    extra = [field for field in secrets if field not in fields]
    sides = (made, rows.train[members], rows.sealed[others])
    columns = [_read_column(field, rows.train, sides) for field in [*fields, *extra]]
    public = columns[: len(fields)]
    tried = 2 + len(secrets)
    rng = np.random.default_rng(derive_seed(*rows.salt("singling out")))
    found = [(names[0], LABEL, _single_out(public, rng))]
    known = [column for column in public if column.field.name in identifiers]
    rest = [column for column in public if column not in known]
    found.append((names[1], LABEL, _link(*((known, rest) if known and rest else (public[::2], public[1::2])))))
    for secret in columns:
        if secret.field in secrets:
            told = [column for column in known or public if column is not secret]
            if told:
                found.append((names[2], secret.field.name, _infer(secret, told)))
    return [_judge_risk(name, field, *hits, tried, rows, targets) for name, field, hits in found]


def _pair_strata(rows: Compared, targets: Targets) -> tuple[np.ndarray, np.ndarray]:
    """Return as many train as sealed targets of each stratum: isolation depends on how many there are."""
    sides = [
        pl.DataFrame({"row": picked, "stratum": frame["stratum"].gather(picked)}).with_columns(
            place=pl.int_range(pl.len()).over("stratum")
        )
        for picked, frame in ((targets.members, rows.train), (targets.others, rows.sealed))
    ]
    paired = sides[0].join(sides[1], on=["stratum", "place"])
    return paired["row"].to_numpy(), paired["row_right"].to_numpy()


def _read_column(field: FieldSpec, train: pl.DataFrame, sides: tuple[pl.DataFrame, ...]) -> _Column:
    encoder, _ = fit_encoder(train, [field], text="none", category_scale=0.5**0.5)
    points = [encoder.encode(side).toarray().astype(np.float32) for side in sides]
    if field.type in NUMERIC_TYPES or field.type == "date":
        values = [read_numbers(side, field) for side in sides]
    else:
        texts = [read_categories(side, field) for side in sides]
        levels = pl.concat(texts).rank("dense").to_numpy().astype(np.float64)
        values = np.split(levels, np.cumsum([len(text) for text in texts])[:-1])
    return _Column(field, *values, points=(points[0], points[1], points[2]))


# ---- the attacks: each returns success (boolean) on the train and on the sealed targets


def _single_out(columns: list[_Column], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Predicates of a few fields of one synthetic row: equal category, number at least (above the median) or at most.

    A predicate succeeds where exactly one target meets it. There are no more predicates than targets: more would ask
    the same few rows again and feign certainty.
    """
    terms, count = min(len(columns), MOST_TERMS), len(columns[0].members)
    rows = rng.integers(len(columns[0].synthetic), size=count)
    used = rng.permuted(np.tile(np.arange(len(columns)), (count, 1)), axis=1)[:, :terms]
    sides = [np.ones((count, count), dtype=bool) for _ in range(2)]
    for place, column in enumerate(columns):
        asked = np.flatnonzero((used == place).any(axis=1))
        wanted = column.synthetic[rows[asked]][:, None]
        upper = wanted > np.nanmedian(column.synthetic) if np.isfinite(column.synthetic).any() else wanted > 0
        for met, values in zip(sides, (column.members, column.others), strict=True):
            if column.is_ordered:
                fits = np.where(upper, values >= wanted, values <= wanted) | (np.isnan(wanted) & np.isnan(values))
            else:
                fits = values == wanted
            met[asked] &= fits
    return sides[0].sum(axis=1) == 1, sides[1].sum(axis=1) == 1


def _link(one: list[_Column], two: list[_Column]) -> tuple[np.ndarray, np.ndarray]:
    """Two parts of a target are linked where one synthetic row is nearest to both."""
    if not one or not two:
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
    found = [_find_nearest(part) for part in (one, two)]
    return found[0][0] == found[1][0], found[0][1] == found[1][1]


def _infer(secret: _Column, known: list[_Column]) -> tuple[np.ndarray, np.ndarray]:
    """The guess is the secret of the nearest synthetic row by what is known."""
    return tuple(  # type: ignore[return-value]
        _matches(secret, secret.synthetic[nearest], truth)
        for nearest, truth in zip(_find_nearest(known), (secret.members, secret.others), strict=True)
    )


def _matches(secret: _Column, guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
    if not secret.is_ordered:
        return guess == truth
    return (np.abs(guess - truth) <= TOLERANCE * np.abs(truth)) | (np.isnan(guess) & np.isnan(truth))


def _find_nearest(columns: list[_Column]) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest synthetic row of each train and each sealed target by these columns (ties: the first)."""
    made, *targets = (np.concatenate([column.points[side] for column in columns], axis=1) for side in range(3))
    half = (made * made).sum(axis=1) / 2
    return tuple(  # type: ignore[return-value]
        np.concatenate(
            [np.argmax(part[start : start + _BLOCK] @ made.T - half, axis=1) for start in range(0, len(part), _BLOCK)]
        )
        for part in targets
    )


# ---- judgment


def _judge_risk(
    name: str, field: str, hits: np.ndarray, control: np.ndarray, tried: int, rows: Compared, targets: Targets
) -> Metric:
    if not len(hits):
        return Metric(name, field=field, note="not measured: two columns are needed", **rows.sizes)
    a, c = float(hits.mean()), float(control.mean())
    low, high = bound_risk(int(hits.sum()), int(control.sum()), len(hits), tried)
    bar = rows.spec.quality.attack_risk
    level = judge(low, act=bar, watch=bar / 2, null_high=0.0)
    level = WATCH if level != OK and not targets.serious else level
    value = 0.0 if c == 1 else (a - c) / (1 - c)
    note = (
        f"succeeds on {a:.3f} of train, {c:.3f} of sealed rows; {targets.kind}; judged by the lower end {low:.3f}; "
        "null: no excess"
    )
    return Metric(
        name, value, field, null_low=low - value, null_high=high - value, threshold=bar, level=level, note=note,
        n_real=2 * len(hits), n_synthetic=rows.synthetic.height,
    )  # fmt: skip


def bound_risk(hits: int, control: int, size: int, tried: int = 1) -> tuple[float, float]:
    """Return the interval of (a − c) / (1 − c) for hits and control successes of `size` attempts each.

    Newcombe 1998, method 10 (Wilson intervals of both rates), at 95 % for `tried` intervals together.
    """
    from scipy.stats import binomtest

    if control == size:
        return 0.0, 0.0
    confidence = 1 - 0.05 / tried
    a, c = hits / size, control / size
    (a_low, a_high), (c_low, c_high) = (
        binomtest(count, size).proportion_ci(confidence, method="wilson") for count in (hits, control)
    )
    low = (a - c) - np.hypot(a - a_low, c_high - c)
    high = (a - c) + np.hypot(a_high - a, c - c_low)
    return float(low / (1 - c)), float(high / (1 - c))
