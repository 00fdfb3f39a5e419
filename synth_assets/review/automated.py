"""The automated reviewer: a model that stands in where no person reviews, marked as such everywhere.

Here: models fitted on real steering rows alone, independent of the discriminators, each with a threshold that almost
every real row passes. Not here: what its decisions are worth (acceptance.py: never a certified bound), the filters
that built the batch (discriminators/).

Checks, and the share of real rows that each may wrongly reject:

- label_implausible, 1 %: the probability of the stated label, by complement naive Bayes over words and characters
  (Rennie et al. 2003), or by a random forest where the record has no text;
- not_fluent, 0.5 %: log-likelihood per character of an interpolated 5-gram model (Witten & Bell 1991);
- not_fluent, 1 %: words in an order that reads no better than the same words shuffled;
- atypical_values, 1 %: fields that fit each other no better than fields of different rows;
- atypical_values, 0.5 %: Mahalanobis distance of the numbers.

The third and the fourth learn what order is by contrast: a classifier of real rows against the same rows shuffled
(noise-contrastive estimation, Gutmann & Hyvärinen 2010).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import polars as pl

from synth_assets.errors import SeedError
from synth_assets.records import content_text_expression, derive_seed, derive_seeds, derive_uniforms, digest_text
from synth_assets.review.decisions import ACCEPT, AUTOMATED, DECISION_COLUMNS, REJECT, decision_id
from synth_assets.spec import NUMERIC_TYPES, DatasetSpec

LABEL_IMPLAUSIBLE = "label_implausible"
NOT_FLUENT = "not_fluent"
ATYPICAL_VALUES = "atypical_values"

LEAST_ROWS = 5
LEAST_ROWS_FOR_MODELS = 30
_MOST_ROWS = 3000
_MOST_CHARS = 2000
_MOST_WORDS = 100
_FOLDS = 5
_ORDER = 5
_NOISE_COPIES = 5
_SHUFFLES = 20
_PART = 500
_FEATURE_BITS = 18
_WHOLE, _LAST_3, _LAST_2, _FIRST_3, _SHAPE = range(5)
_NEIGHBOR_FORMS = (
    (_WHOLE, _WHOLE),
    (_WHOLE, _LAST_2),
    (_LAST_2, _WHOLE),
    (_LAST_3, _LAST_3),
    (_LAST_2, _LAST_2),
    (_LAST_3, _FIRST_3),
    (_SHAPE, _SHAPE),
)
_MIX = np.array([0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F], dtype=np.uint64)
_PUNCTUATION = '.,;:!?"()'
_CODE_VERSION = "automated-1"
_TOKENS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


class _Model(Protocol):
    """Scores rows, shape (n,): higher is more like a real row; NaN where there is nothing to judge."""

    def score(self, rows: pl.DataFrame) -> np.ndarray: ...


@dataclass(frozen=True)
class _Check:
    reason: str
    model: _Model
    threshold: float

    def rejects(self, rows: pl.DataFrame) -> np.ndarray:
        return self.model.score(rows) < self.threshold


@dataclass(frozen=True)
class AutomatedReviewer:
    """A fitted reviewer. name: automated:<version>; the version is the hash of the code version and the rows."""

    spec: DatasetSpec
    name: str
    note: str
    checks: tuple[_Check, ...]

    @classmethod
    def fit(cls, steering: pl.DataFrame, spec: DatasetSpec) -> AutomatedReviewer:
        """Fit on the steering split: example_id and the record's content columns.

        Fewer than LEAST_ROWS_FOR_MODELS rows leave typicality alone (every decision's reason says so). More than 3,000
        rows are sampled. Thresholds come from scores of rows the model did not see. SeedError below LEAST_ROWS rows.
        """
        if steering.height < LEAST_ROWS:
            raise SeedError(
                f"{spec.name}: the steering split has {steering.height} rows; automated review needs {LEAST_ROWS}: "
                "add seeds, or set review.mode: human"
            )
        version = digest_text(_CODE_VERSION, *sorted(steering["example_id"].to_list()), size=4)
        rows = _limit_rows(steering, spec)
        few = rows.height < LEAST_ROWS_FOR_MODELS
        checks = [*_text_checks(rows, spec), *_value_checks(rows, spec, few=few)]
        if not few:
            checks = [*_label_checks(rows, spec), *checks]
        note = f"typicality only: {rows.height} steering rows" if few else ""
        return cls(spec, f"{AUTOMATED}:{version}", note, tuple(checks))

    def decide(self, items: pl.DataFrame) -> pl.DataFrame:
        """Return one decision an item: DECISION_COLUMNS; the same items give the same rows.

        `items`: example_id, content_id, the record's content columns, and round if it is to be in the decisions.
        reason: the failed checks' codes joined by "; ", then the note about few rows. seconds is 0.0 and decided_at
        null (the store sets it).
        """
        codes = np.full(items.height, "", dtype=object)
        for check in self.checks:
            failed = check.rejects(items) & np.array([check.reason not in code for code in codes], dtype=bool)
            codes[failed] = [f"{code}; {check.reason}" if code else check.reason for code in codes[failed]]
        round_ = pl.col("round") if "round" in items.columns else pl.lit("")
        reason = pl.concat_str(
            pl.col("codes").replace("", None), pl.lit(self.note or None), separator="; ", ignore_nulls=True
        )
        decided = items.select(
            pl.lit(self.spec.name).alias("dataset"),
            round_.alias("round"),
            "example_id",
            pl.lit(self.name).alias("reviewer"),
            pl.lit(AUTOMATED).alias("reviewer_kind"),
            pl.col("content_id").alias("item_version"),
            pl.Series("codes", codes.tolist(), dtype=pl.String),
        ).with_columns(
            decision=pl.when(pl.col("codes") == "").then(pl.lit(ACCEPT)).otherwise(pl.lit(REJECT)),
            reason=reason.fill_null(""),
            seconds=pl.lit(0.0),
            decided_at=pl.lit(None, pl.String),
        )
        keys = decided.select("dataset", "round", "example_id", "reviewer", "item_version").iter_rows()
        ids = pl.Series("decision_id", [decision_id(*key) for key in keys], dtype=pl.String)
        return decided.with_columns(ids).select(*DECISION_COLUMNS)


def _limit_rows(steering: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    if steering.height <= _MOST_ROWS:
        return steering
    order = pl.Series(derive_uniforms(steering["example_id"], spec.seed, "review", "automated", "rows"))
    return steering.with_columns(_order=order).sort("_order").head(_MOST_ROWS).drop("_order")


# ---- which checks a record allows


def _label_checks(rows: pl.DataFrame, spec: DatasetSpec) -> list[_Check]:
    target = spec.target_field
    if target is None or target.type not in ("category", "boolean"):
        return []
    known = rows.filter(pl.col(target.name).is_not_null())
    if known[target.name].n_unique() < 2 or known.height < LEAST_ROWS_FOR_MODELS:
        return []
    fit = partial(_TextLabels.fit, spec=spec) if _has_text_input(spec) else None
    if fit is None:
        if len(_value_fields(spec)) < 2:
            return []
        model = _ForestLabels.fit(known, spec)
        return [_Check(LABEL_IMPLAUSIBLE, model, _threshold(model.unseen, 0.01))]
    scores = _score_unseen(fit, known, spec, strata=known[target.name].cast(pl.String).to_numpy())
    return [_Check(LABEL_IMPLAUSIBLE, fit(known), _threshold(scores, 0.01))]


def _text_checks(rows: pl.DataFrame, spec: DatasetSpec) -> list[_Check]:
    if not spec.text_fields:
        return []
    characters = partial(_Characters.fit, spec=spec)
    seen = _threshold(_score_unseen(characters, rows, spec), 0.005)
    return [_Check(NOT_FLUENT, characters(rows), seen), *_order_check(rows, spec)]


def _order_check(rows: pl.DataFrame, spec: DatasetSpec) -> list[_Check]:
    raw = _score_unseen(partial(_WordOrder.fit, spec=spec), rows, spec)
    words = _Words.read(rows, spec).lengths
    usable = np.isfinite(raw)
    if usable.sum() < LEAST_ROWS:
        return []
    model = _WordOrder.fit(rows, spec).expecting(raw[usable], words[usable])
    return [_Check(NOT_FLUENT, model, _threshold(model.standardize(raw, words), 0.01))]


def _value_checks(rows: pl.DataFrame, spec: DatasetSpec, *, few: bool) -> list[_Check]:
    checks: list[_Check] = []
    if len(_value_fields(spec)) >= 2 and not few:
        joint = _JointValues.fit(rows, spec)
        checks.append(_Check(ATYPICAL_VALUES, joint, _threshold(joint.unseen, 0.01)))
    if _number_fields(spec):
        fit = partial(_Distance.fit, spec=spec)
        checks.append(_Check(ATYPICAL_VALUES, fit(rows), _threshold(_score_unseen(fit, rows, spec), 0.005)))
    return checks


# ---- thresholds


def _threshold(scores: np.ndarray, share: float) -> float:
    """Return the value that `share` of real rows stay below.

    The empirical quantile where at least two rows lie below it; else the lower of the smallest score and the normal
    prediction bound mean + t·s·√(1 + 1/n), since a quantile cannot be read off so few rows.
    """
    from scipy.stats import t

    scores = scores[np.isfinite(scores)]
    n = len(scores)
    if n < LEAST_ROWS:
        return -np.inf
    if n * share >= 2:
        return float(np.quantile(scores, share))
    bound = scores.mean() + t.ppf(share, n - 1) * scores.std(ddof=1) * np.sqrt(1 + 1 / n)
    return float(min(scores.min(), bound))


def _score_unseen(
    fit: Callable[[pl.DataFrame], _Model], rows: pl.DataFrame, spec: DatasetSpec, strata: np.ndarray | None = None
) -> np.ndarray:
    """Return the score of every row from a model that was fitted on other rows, shape (n,)."""
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = KFold if strata is None else StratifiedKFold
    folds = kind(_FOLDS, shuffle=True, random_state=_random_state(spec, "folds"))
    scores = np.full(rows.height, np.nan)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = list(folds.split(np.zeros(rows.height), strata))
    for seen, unseen in splits:
        scores[unseen] = fit(rows[seen]).score(rows[unseen])
    return scores


def _random_state(spec: DatasetSpec, *purpose: object) -> int:
    return derive_seed(spec.seed, "review", "automated", *purpose) % 2**32


# ---- labels


@dataclass(frozen=True)
class _TextLabels:
    """Log-probability of the stated label by complement naive Bayes; labels it never saw are not judged."""

    spec: DatasetSpec
    model: Any

    @classmethod
    def fit(cls, rows: pl.DataFrame, spec: DatasetSpec) -> _TextLabels:
        from sklearn.compose import ColumnTransformer
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.naive_bayes import ComplementNB
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")  # noqa: S106
        characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
        categories = _label_categories(spec)
        encoder = OneHotEncoder(handle_unknown="ignore")
        features = ColumnTransformer(
            [("words", words, "_text"), ("characters", characters, "_text"), ("categories", encoder, categories)]
        )
        model = make_pipeline(features, ComplementNB(alpha=0.3))
        return cls(spec, model.fit(cls.features(rows, spec), _labels(rows, spec)))

    @staticmethod
    def features(rows: pl.DataFrame, spec: DatasetSpec) -> Any:
        return rows.select(
            content_text_expression(spec, roles=("input", "context")).fill_null("").alias("_text"),
            *(pl.col(name).cast(pl.String).fill_null("(none)") for name in _label_categories(spec)),
        ).to_pandas()

    def score(self, rows: pl.DataFrame) -> np.ndarray:
        if rows.is_empty():
            return np.empty(0)
        scores = self.model.predict_log_proba(self.features(rows, self.spec))
        return _stated(scores, self.model.classes_, _labels(rows, self.spec))


@dataclass(frozen=True)
class _ForestLabels:
    """Probability of the stated label by a random forest; `unseen`: out-of-bag scores of the rows it was fitted on."""

    spec: DatasetSpec
    values: _ValueMatrix
    model: Any
    unseen: np.ndarray

    @classmethod
    def fit(cls, rows: pl.DataFrame, spec: DatasetSpec) -> _ForestLabels:
        assert spec.target_field is not None
        values = _ValueMatrix.fit(rows, spec, without=spec.target_field.name)
        labels = _labels(rows, spec)
        model = _forest(spec, "labels").fit(values.transform(rows), labels)
        return cls(spec, values, model, _stated(model.oob_decision_function_, model.classes_, labels))

    def score(self, rows: pl.DataFrame) -> np.ndarray:
        if rows.is_empty():
            return np.empty(0)
        return _stated(
            self.model.predict_proba(self.values.transform(rows)), self.model.classes_, _labels(rows, self.spec)
        )


def _labels(rows: pl.DataFrame, spec: DatasetSpec) -> np.ndarray:
    assert spec.target_field is not None
    return rows[spec.target_field.name].cast(pl.String).fill_null("").to_numpy().astype(str)


def _stated(scores: np.ndarray, classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    position = {label: i for i, label in enumerate(classes)}
    column = np.array([position.get(label, -1) for label in labels])
    return np.where(column >= 0, scores[np.arange(len(labels)), column], np.nan)


def _has_text_input(spec: DatasetSpec) -> bool:
    return any(field.role in ("input", "context") for field in spec.text_fields)


def _label_categories(spec: DatasetSpec) -> list[str]:
    return [
        field.name
        for field in spec.content_fields
        if field.type in ("category", "boolean") and field is not spec.target_field
    ]


# ---- text


def _texts(rows: pl.DataFrame, spec: DatasetSpec) -> list[str]:
    text = content_text_expression(spec).fill_null("").str.slice(0, _MOST_CHARS)
    return rows.select(text.alias("text")).to_series().to_list()


@dataclass(frozen=True)
class _Characters:
    """Minus the logarithm of the nats per character of an interpolated n-gram model with Witten–Bell weights.

    grams[k], contexts[k]: sorted hashes and counts of the (k+1)-grams and of their k-character contexts; kinds[k]: how
    many different characters followed each context.
    """

    spec: DatasetSpec
    grams: tuple[tuple[np.ndarray, np.ndarray], ...]
    contexts: tuple[tuple[np.ndarray, np.ndarray], ...]
    kinds: tuple[np.ndarray, ...]
    alphabet: int

    @classmethod
    def fit(cls, rows: pl.DataFrame, spec: DatasetSpec) -> _Characters:
        hashes, scored, _ = _character_hashes(_texts(rows, spec))
        grams, contexts, kinds = [], [], []
        for k in range(_ORDER):
            context = hashes[k][scored - 1]
            found, first, counts = np.unique(hashes[k + 1][scored], return_index=True, return_counts=True)
            known, totals = np.unique(context, return_counts=True)
            grams.append((found, counts))
            contexts.append((known, totals))
            kinds.append(np.bincount(np.searchsorted(known, context[first]), minlength=len(known)))
        return cls(spec, tuple(grams), tuple(contexts), tuple(kinds), len(grams[0][0]) + 1)

    def score(self, rows: pl.DataFrame) -> np.ndarray:
        texts = _texts(rows, self.spec)
        if not texts:
            return np.empty(0)
        hashes, scored, owner = _character_hashes(texts)
        chance = np.full(len(scored), 1 / self.alphabet)
        for k in range(_ORDER):
            place, known = _look_up(self.contexts[k][0], hashes[k][scored - 1])
            total = np.where(known, self.contexts[k][1][place], 0)
            kinds = np.where(known, self.kinds[k][place], 0)
            gram, seen = _look_up(self.grams[k][0], hashes[k + 1][scored])
            count = np.where(seen, self.grams[k][1][gram], 0)
            chance = np.where(total > 0, (count + kinds * chance) / np.maximum(total + kinds, 1), chance)
        lengths = np.bincount(owner, minlength=len(texts))
        surprise = np.bincount(owner, weights=-np.log(chance), minlength=len(texts)) / lengths
        return -np.log(surprise)


def _character_hashes(texts: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return hashes[k][i] of the k characters that end at i, the positions to score, and the text each belongs to."""
    padded = ["\x02" * _ORDER + text + "\x03" for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in padded])
    owner = np.repeat(np.arange(len(texts)), lengths)
    inside = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    hashes = [np.zeros(len(codes), dtype=np.uint64)]
    for _ in range(_ORDER):
        shifted = np.concatenate([np.zeros(1, dtype=np.uint64), hashes[-1][:-1]])
        hashes.append(shifted * _MIX[0] + codes * _MIX[1] + _MIX[2])
    scored = np.flatnonzero(inside >= _ORDER)
    return hashes, scored, owner[scored]


def _look_up(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return place, keys[place] == wanted


@dataclass(frozen=True)
class _WordOrder:
    """How far a text's words stand out from shuffles of themselves, against what its length makes real texts reach.

    A logistic model tells real texts from shuffled ones by neighboring words, endings and shapes. z = (score of the
    text − mean score of 20 shuffles of it) / their standard deviation; a shuffled text has z ~ N(0, 1), a real one of
    m words z ~ N(gain·√m, 1 + spread²·m). The score is z, standardized for that length.
    """

    spec: DatasetSpec
    model: Any
    gain: float | None = None
    spread: float = 0.0

    @classmethod
    def fit(cls, rows: pl.DataFrame, spec: DatasetSpec) -> _WordOrder:
        from scipy.sparse import vstack
        from sklearn.linear_model import LogisticRegression

        text = _Words.read(rows, spec)
        features = text.neighbors(text.in_order()), text.neighbors(text.shuffled(spec, "noise", _NOISE_COPIES))
        truth = np.repeat([1, 0], [part.shape[0] for part in features])
        model = LogisticRegression(
            class_weight="balanced", solver="liblinear", dual=True, random_state=_random_state(spec, "order")
        )
        return cls(spec, model.fit(vstack(features), truth))

    def expecting(self, z: np.ndarray, words: np.ndarray) -> _WordOrder:
        """Return the model with gain and spread as out-of-fold z of real texts of so many words show them."""
        gain = float((z * np.sqrt(words)).sum() / words.sum())
        spread = float(np.sqrt(max(0.0, np.mean((z / np.sqrt(words) - gain) ** 2 - 1 / words))))
        return _WordOrder(self.spec, self.model, gain, spread)

    def standardize(self, z: np.ndarray, words: np.ndarray) -> np.ndarray:
        if self.gain is None:
            return z
        return (z - self.gain * np.sqrt(words)) / np.sqrt(1 + self.spread**2 * words)

    def score(self, rows: pl.DataFrame) -> np.ndarray:
        parts = [self._score_part(part) for part in rows.iter_slices(_PART)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _score_part(self, rows: pl.DataFrame) -> np.ndarray:
        text = _Words.read(rows, self.spec)
        own = self.model.decision_function(text.neighbors(text.in_order()))
        shuffles = text.neighbors(text.shuffled(self.spec, "null", _SHUFFLES))
        null = self.model.decision_function(shuffles).reshape(-1, _SHUFFLES)
        deviation = null.std(axis=1, ddof=1)
        judged = (text.lengths > 2) & (deviation > 1e-9)
        z = np.where(judged, (own - null.mean(axis=1)) / np.where(judged, deviation, 1.0), np.nan)
        return self.standardize(np.maximum(z, -6.0), text.lengths)


@dataclass(frozen=True)
class _Words:
    """Texts as words (Chinese and Japanese as characters), at most _MOST_WORDS each.

    forms: one row a known word, its hashed forms (in lower case without punctuation: whole, last three, last two,
    first three letters; and its shape as it stands); row 0 is the edge of a text. words: row numbers of all texts in
    turn; lengths: words a text, shape (n,); seeds: what a text's shuffles derive from.
    """

    forms: np.ndarray
    words: np.ndarray
    lengths: np.ndarray
    seeds: tuple[str, ...]

    @classmethod
    def read(cls, rows: pl.DataFrame, spec: DatasetSpec) -> _Words:
        texts = [_TOKENS.findall(text)[:_MOST_WORDS] for text in _texts(rows, spec)]
        place: dict[str, int] = {"": 0}
        words = [place.setdefault(word, len(place)) for text in texts for word in text]
        known = list(place)[1:]
        core = [word.lower().strip(_PUNCTUATION) or word for word in known]
        forms = [core, [w[-3:] for w in core], [w[-2:] for w in core], [w[:3] for w in core], map(_shape, known)]
        hashed = np.array([derive_seeds(["", *form]) for form in forms], dtype=np.uint64).T
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        return cls(hashed, np.array(words, dtype=np.int64), lengths, tuple("\x1f".join(text) for text in texts))

    def in_order(self) -> np.ndarray:
        """Return every text once, as it stands: positions in `words`, shape (1, len(words))."""
        return np.arange(len(self.words))[None, :]

    def shuffled(self, spec: DatasetSpec, purpose: str, copies: int) -> np.ndarray:
        """Return `copies` shuffles of every text, shape (copies, len(words)); each depends on its own text alone."""
        seeds = derive_seeds(self.seeds, spec.seed, "review", "automated", purpose)
        starts = np.cumsum(self.lengths) - self.lengths
        orders = [
            start + np.random.default_rng(seed).permuted(np.tile(np.arange(length), (copies, 1)), axis=1)
            for seed, start, length in zip(seeds, starts, self.lengths, strict=True)
        ]
        return np.hstack(orders) if orders else np.empty((copies, 0), dtype=np.int64)

    def neighbors(self, orders: np.ndarray) -> Any:
        """Return hashed features of neighboring words, unit rows: text 0 in each order, then text 1, …"""
        from scipy.sparse import csr_matrix
        from sklearn.preprocessing import normalize

        copies, texts = len(orders), len(self.lengths)
        ends = np.cumsum(self.lengths)
        framed = np.insert(self.words[orders], np.concatenate([ends - self.lengths, ends]), 0, axis=1)
        owner = np.repeat(np.arange(texts), self.lengths + 2)
        inner = owner[1:] == owner[:-1]
        left, right = self.forms[framed[:, :-1][:, inner]], self.forms[framed[:, 1:][:, inner]]
        salts = np.arange(len(_NEIGHBOR_FORMS), dtype=np.uint64) * _MIX[2]
        columns = [
            (left[..., i] * _MIX[0] + right[..., j] * _MIX[1] + salt) >> np.uint64(64 - _FEATURE_BITS)
            for (i, j), salt in zip(_NEIGHBOR_FORMS, salts, strict=True)
        ]
        rows = owner[1:][inner] * copies + np.arange(copies)[:, None]
        flat = np.concatenate([column.ravel() for column in columns]).astype(np.int32)
        where = np.tile(rows.ravel().astype(np.int32), len(columns))
        shape = (texts * copies, 2**_FEATURE_BITS)
        return normalize(csr_matrix((np.ones(len(flat), dtype=np.float32), (where, flat)), shape=shape), copy=False)


def _shape(word: str) -> str:
    return _letter_kind(word[0]) + _letter_kind(word[-1])


def _letter_kind(letter: str) -> str:
    if letter.isalpha():
        return "A" if letter.isupper() else "a"
    return "0" if letter.isdigit() else letter


# ---- values


def _number_fields(spec: DatasetSpec) -> list[str]:
    return [field.name for field in spec.content_fields if field.type in NUMERIC_TYPES or field.type == "date"]


def _value_fields(spec: DatasetSpec) -> list[str]:
    return [field.name for field in spec.content_fields if not field.is_free_text]


def _numbers(rows: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return the columns as floats, dates as days, shape (n, len(names)), missing values NaN."""
    physical = [pl.col(name).to_physical().cast(pl.Float64).fill_null(np.nan) for name in names]
    return rows.select(physical).to_numpy().reshape(rows.height, len(names))


@dataclass(frozen=True)
class _ValueMatrix:
    """The non-text fields as numbers for trees: categories by rank of frequency, unknown −1, missing NaN."""

    numbers: tuple[str, ...]
    codes: dict[str, dict[str, int]]

    @classmethod
    def fit(cls, rows: pl.DataFrame, spec: DatasetSpec, *, without: str | None = None) -> _ValueMatrix:
        names = [name for name in _value_fields(spec) if name != without]
        numbers = tuple(name for name in names if name in _number_fields(spec))
        codes: dict[str, dict[str, int]] = {}
        for name in names:
            if name not in numbers:
                values = rows[name].cast(pl.String).drop_nulls().value_counts().sort("count", name, descending=True)
                codes[name] = {value: i for i, value in enumerate(values[name])}
        return cls(numbers, codes)

    def transform(self, rows: pl.DataFrame) -> np.ndarray:
        coded = rows.select(
            pl.when(pl.col(name).is_not_null()).then(
                pl.col(name).cast(pl.String).replace_strict(codes, default=-1, return_dtype=pl.Float64)
            )
            for name, codes in self.codes.items()
        )
        texts = coded.fill_null(np.nan).to_numpy().reshape(rows.height, len(self.codes))
        return np.hstack([_numbers(rows, self.numbers), texts])


def _forest(spec: DatasetSpec, purpose: str, *, class_weight: str | None = None) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=150,
        min_samples_leaf=3,
        oob_score=True,
        class_weight=class_weight,
        random_state=_random_state(spec, purpose),
    )


@dataclass(frozen=True)
class _JointValues:
    """Probability that the fields belong to one row: a forest of real rows against rows made of parts.

    Half of those have every column shuffled, half take any known value for each field, rare ones as often as common.
    """

    values: _ValueMatrix
    model: Any
    unseen: np.ndarray

    @classmethod
    def fit(cls, rows: pl.DataFrame, spec: DatasetSpec) -> _JointValues:
        values = _ValueMatrix.fit(rows, spec)
        real = values.transform(rows)
        generator = np.random.default_rng(derive_seed(spec.seed, "review", "automated", "columns"))
        anything = [generator.choice(np.unique(column), len(column)) for column in real.T]
        noise = np.vstack([generator.permuted(real, axis=0), np.column_stack(anything)])
        truth = np.repeat([1, 0], [len(real), len(noise)])
        model = _forest(spec, "joint", class_weight="balanced").fit(np.vstack([real, noise]), truth)
        return cls(values, model, model.oob_decision_function_[: len(real), 1])

    def score(self, rows: pl.DataFrame) -> np.ndarray:
        return self.model.predict_proba(self.values.transform(rows))[:, 1] if rows.height else np.empty(0)


@dataclass(frozen=True)
class _Distance:
    """Minus log(1 + d²), d the Mahalanobis distance of the numbers from their mean; a missing number counts as it."""

    names: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    precision: np.ndarray

    @classmethod
    def fit(cls, rows: pl.DataFrame, spec: DatasetSpec) -> _Distance:
        names = tuple(_number_fields(spec))
        values = _numbers(rows, names)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=RuntimeWarning)  # a column without any value
            mean, scale = np.nan_to_num(np.nanmean(values, axis=0)), np.nan_to_num(np.nanstd(values, axis=0))
        scale = np.where(scale > 0, scale, 1.0)
        standard = np.nan_to_num((values - mean) / scale)
        covariance = standard.T @ standard / len(standard) + 0.01 * np.eye(len(names))
        return cls(names, mean, scale, np.linalg.inv(covariance))

    def score(self, rows: pl.DataFrame) -> np.ndarray:
        standard = np.nan_to_num((_numbers(rows, self.names) - self.mean) / self.scale)
        return -np.log1p(np.einsum("ij,jk,ik->i", standard, self.precision, standard))
