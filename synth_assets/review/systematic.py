"""Systematic defects: which prompt, generator, stratum or reason is wrong more often than the rest.

Here: exact tests of every cell against the rest, with control of multiplicity, and what to do about what is named. Not
here: whether the batch is accepted (acceptance.py), recalls themselves (provenance/).

Every set of rows that shares a value of prompt, generator or stratum, or of several of them, is tested against all
other rows of its part: for any defect and for each reason (Fisher's exact test, one-sided, the hypergeometric upper
tail). A reason by itself is tested against the tolerated rate (exact binomial). The random part and the risk part are
tested apart: within a part rows are compared with rows drawn in the same way, whatever the weights.

Multiplicity: the family-wise error over all tests of a review is at most ALPHA. Half of it is for single values and any
reason, which are few, so that a bad prompt is not missed among a thousand narrow cells; a quarter each for single
values with one reason and for crossed cells. Within these, Bonferroni's correction as Tarone (1990, "A modified
Bonferroni method for discrete data") sharpens it: tests that could not come out significant with their margins,
whatever the decisions had been, do not count. A value is named only if it also stands out among the rows that no
stronger named value explains, and instead of a cell the wider one around it, if that stands out without the cell, too.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from synth_assets.review.acceptance import RANDOM, RISK

ALPHA = 0.05
FACTORS = ("prompt_id", "generator_id", "stratum")
CROSS = " × "
SHARES = {"value": 0.5, "reason": 0.25, "cell": 0.25}  # of ALPHA
ANY_REASON = ""
NO_REASON = "(no reason given)"
REASON = "reason"

SYSTEMATIC_SCHEMA = pl.Schema(
    {
        "part": pl.String,
        "factor": pl.String,
        "value": pl.String,
        "reason": pl.String,
        "reviewed": pl.Int64,
        "defects": pl.Int64,
        "rate": pl.Float64,
        "rest_rate": pl.Float64,
        "p_value": pl.Float64,
        "p_adjusted": pl.Float64,
        "named": pl.Boolean,
        "advice": pl.String,
    }
)


def find_systematic(
    judged: pl.DataFrame, reasons: pl.DataFrame, *, tolerated: float, alpha: float = ALPHA
) -> pl.DataFrame:
    """Return one row a test of a cell with at least one defect, strongest first; columns SYSTEMATIC_SCHEMA.

    `judged`: example_id, part, stratum, generator_id, prompt_id, reviewed:Boolean, defect:Boolean, as
    acceptance.judge_sample returns them; `reasons`: example_id, reason, one row a reason that people gave for a defect.
    factor: prompt_id, generator_id, stratum, several joined by " × ", or "reason"; reason: "" for any defect.
    rest_rate: of all other rows of the part; of a reason by itself the tolerated rate. p_adjusted: p_value times the
    number of tests of its kind that could have been significant, by the kind's share of the error.

    {"part": "random", "factor": "prompt_id", "value": "p3", "reason": "", "reviewed": 50, "defects": 15, "rate": 0.3,
    "rest_rate": 0.02, "p_value": 1e-10, "p_adjusted": 1e-8, "named": True, "advice": "recall prompt p3: …"}
    """
    rows = (
        judged.filter("reviewed")
        .select("example_id", "part", "defect", *(pl.col(name).fill_null("(none)") for name in FACTORS))
        .with_columns(pl.col("defect").cast(pl.Int64))
    )
    given = _reasons_of(rows, reasons)
    tests = [
        test
        for part in (RANDOM, RISK)
        for test in _test_part(rows.filter(pl.col("part") == part), given, part, tolerated)
        if test.height  # rows that are all of one cell have nothing to be compared with
    ]
    if not tests:
        return pl.DataFrame(schema=SYSTEMATIC_SCHEMA)
    kind = (
        pl.when(pl.col("size_of_factor") > 1)
        .then(pl.lit("cell"))
        .when(pl.col("reason") == ANY_REASON)
        .then(pl.lit("value"))
        .otherwise(pl.lit("reason"))
    )
    table = pl.concat(tests).with_columns(kind=kind)
    table = (
        pl.concat([_adjust(part, alpha) for part in table.partition_by("kind", maintain_order=True)])
        .filter(pl.col("defects") > 0)
        .sort("p_adjusted", "p_value", "size_of_factor", "reviewed", "part", "factor", "value", "reason")
    )
    named = _name(table, rows, given, tolerated, alpha)
    return (
        table.with_columns(named=pl.Series(named, dtype=pl.Boolean))
        .with_columns(advice=pl.when("named").then(_advice()).otherwise(pl.lit("")))
        .select(SYSTEMATIC_SCHEMA.names())
        .cast(dict(SYSTEMATIC_SCHEMA))  # type: ignore[arg-type]
    )


def _reasons_of(rows: pl.DataFrame, reasons: pl.DataFrame) -> pl.DataFrame:
    """Return example_id, reason: every reason given for a defect, and "" once for each defect."""
    defects = rows.filter(pl.col("defect") == 1).select("example_id")
    told = reasons.select(
        "example_id", reason=pl.col("reason").fill_null("").str.strip_chars().str.to_lowercase().replace("", NO_REASON)
    ).unique()
    return pl.concat(
        [
            defects.with_columns(reason=pl.lit(ANY_REASON)),
            told.join(defects, on="example_id", how="semi"),
        ]
    )


def _test_part(rows: pl.DataFrame, given: pl.DataFrame, part: str, tolerated: float) -> list[pl.DataFrame]:
    """Return all tests of a part, the reasons by themselves included."""
    found = given.join(rows.select("example_id", *FACTORS), on="example_id")
    if found.is_empty():
        return []
    totals = found.group_by("reason").agg(total=pl.len())
    cells = _distinct_cells(rows)
    table = _count_cells(cells, found).join(totals, on="reason").with_columns(part=pl.lit(part), n=rows.height)
    tests = [_fisher(table)]
    if part == RANDOM:
        tests.append(_test_reasons(totals, rows.height, tolerated))
    return tests


def _distinct_cells(rows: pl.DataFrame) -> dict[tuple[str, ...], pl.DataFrame]:
    """Return the cells by the factors that make them: the factors, reviewed. A set of rows that two combinations make
    (every prompt has one generator, say) is kept under the shorter one alone; the set of all rows is no cell."""
    seen: set[tuple[int, int]] = set()
    cells: dict[tuple[str, ...], pl.DataFrame] = {}
    marked = rows.with_columns(mark=pl.col("example_id").hash() % (1 << 40))
    for size in range(1, len(FACTORS) + 1):
        for names in combinations(FACTORS, size):
            table = marked.group_by(names).agg(reviewed=pl.len(), mark=pl.col("mark").sum()).sort(names)
            keys = list(zip(table["reviewed"], table["mark"], strict=True))
            fresh = [key not in seen and key[0] < rows.height for key in keys]
            seen.update(keys)
            cells[names] = table.filter(pl.Series(fresh, dtype=pl.Boolean)).drop("mark")
    return cells


def _count_cells(cells: dict[tuple[str, ...], pl.DataFrame], found: pl.DataFrame) -> pl.DataFrame:
    """Return factor, size_of_factor, FACTORS (null where any value will do), value, reason, reviewed, defects."""
    kinds = found.select("reason").unique()
    tables = []
    for names, cell in cells.items():
        counts = found.group_by(*names, "reason").agg(defects=pl.len())
        others = [pl.lit(None, pl.String).alias(name) for name in FACTORS if name not in names]
        tables.append(
            cell.join(kinds, how="cross")
            .join(counts, on=[*names, "reason"], how="left")
            .with_columns(
                *others,
                pl.col("defects").fill_null(0).cast(pl.Int64),
                factor=pl.lit(CROSS.join(names)),
                size_of_factor=pl.lit(len(names)),
                value=pl.concat_str([pl.col(name) for name in names], separator=CROSS),
            )
            .select(
                "factor", "size_of_factor", *FACTORS, "value", "reason", pl.col("reviewed").cast(pl.Int64), "defects"
            )
        )
    return pl.concat(tables)


def _fisher(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table with rest_rate, p_value, and the smallest p_value its margins allow."""
    from scipy.stats import hypergeom

    n, total = table["n"].to_numpy(), table["total"].to_numpy()
    reviewed, defects = table["reviewed"].to_numpy(), table["defects"].to_numpy()
    most = np.minimum(reviewed, total)
    return table.with_columns(
        rate=pl.col("defects") / pl.col("reviewed"),
        rest_rate=(pl.col("total") - pl.col("defects")) / (pl.col("n") - pl.col("reviewed")),
        p_value=pl.Series(hypergeom.sf(defects - 1, n, total, reviewed)),
        smallest=pl.Series(hypergeom.pmf(most, n, total, reviewed)),
    ).drop("n", "total")


def _test_reasons(totals: pl.DataFrame, n: int, tolerated: float) -> pl.DataFrame:
    from scipy.stats import binom

    named = totals.filter(pl.col("reason") != ANY_REASON)
    defects = named["total"].to_numpy()
    return named.select(
        pl.lit(REASON).alias("factor"),
        pl.lit(1).alias("size_of_factor"),
        *(pl.lit(None, pl.String).alias(name) for name in FACTORS),
        pl.col("reason").alias("value"),
        "reason",
        pl.lit(n, pl.Int64).alias("reviewed"),
        pl.col("total").cast(pl.Int64).alias("defects"),
        pl.lit(RANDOM).alias("part"),
        (pl.col("total") / n).alias("rate"),
        pl.lit(tolerated).alias("rest_rate"),
        pl.Series("p_value", binom.sf(defects - 1, n, tolerated), dtype=pl.Float64),
        pl.lit(0.0).alias("smallest"),
    )


def _adjust(tests: pl.DataFrame, alpha: float) -> pl.DataFrame:
    """Return tests of one kind + p_adjusted; 1 for those that could not have been significant."""
    share = SHARES[tests["kind"][0]]
    count = _tarone(tests["smallest"].to_numpy(), alpha * share)
    adjusted = (pl.col("p_value") * count / share).clip(0, 1)
    testable = pl.col("smallest") <= alpha * share / count
    return tests.with_columns(p_adjusted=pl.when(testable).then(adjusted).otherwise(1.0))


def _tarone(smallest: np.ndarray, alpha: float) -> int:
    """Return the smallest k for which at most k tests could reach alpha / k."""
    ordered = np.sort(smallest)
    for k in range(1, len(ordered) + 1):
        if np.searchsorted(ordered, alpha / k, side="right") <= k:
            return k
    return max(len(ordered), 1)


def _name(table: pl.DataFrame, rows: pl.DataFrame, given: pl.DataFrame, tolerated: float, alpha: float) -> list[bool]:
    """Return which rows of the table (strongest first) are named.

    A loop over the few significant ones on purpose: each is judged on the rows that those before it leave.
    """
    from scipy.stats import binom

    named = [False] * table.height
    strong = table.filter(pl.col("p_adjusted") <= alpha).to_dicts()
    masks = [_mark(test, rows, given) for test in strong]
    left = np.ones(rows.height, dtype=bool)
    for i, (test, (inside, wrong)) in enumerate(zip(strong, masks, strict=True)):
        if test["factor"] == REASON:
            here = inside & left
            named[i] = bool(binom.sf((wrong & here).sum() - 1, here.sum(), tolerated) <= alpha)
            continue
        part = (rows["part"] == test["part"]).to_numpy() & left
        if named[i] or not _stands_out(inside, wrong, part, alpha):
            continue
        wider = (
            j
            for j, (around, faulty) in enumerate(masks)
            if strong[j]["factor"] != REASON
            and not named[j]
            and (around & part).sum() > (inside & part).sum()
            and not (inside & part & ~around).any()
            and _stands_out(around & ~inside, faulty, part & ~inside, alpha)
        )
        chosen = next(wider, i)
        named[chosen] = True
        left &= ~masks[chosen][0]
    return named


def _mark(test: dict[str, Any], rows: pl.DataFrame, given: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows lie in the cell of a test, and which are wrong in its sense."""
    wrong = given.filter(pl.col("reason") == test["reason"])["example_id"]
    same = [pl.col(name) == test[name] for name in FACTORS if test[name] is not None]
    marks = rows.select(
        inside=pl.all_horizontal(pl.col("part") == test["part"], *same),
        wrong=pl.col("example_id").is_in(wrong.implode()),
    )
    return marks["inside"].to_numpy(), marks["wrong"].to_numpy()


def _stands_out(inside: np.ndarray, wrong: np.ndarray, among: np.ndarray, alpha: float) -> bool:
    """Whether a cell holds significantly many of the wrong rows, among the rows given."""
    from scipy.stats import hypergeom

    hits, size = (inside & wrong & among).sum(), (inside & among).sum()
    return bool(hits and hypergeom.sf(hits - 1, among.sum(), (wrong & among).sum(), size) <= alpha)


def _advice() -> pl.Expr:
    prompt, generator, stratum = (pl.col(name) for name in FACTORS)
    what = pl.when(pl.col("reason") == ANY_REASON).then(pl.lit("")).otherwise(pl.format(" ({})", "reason"))
    where = pl.format(
        ": {} of {} {}wrong{}, {} elsewhere",
        "defects",
        "reviewed",
        pl.when(pl.col("part") == RISK).then(pl.lit("risky rows ")).otherwise(pl.lit("")),
        what,
        pl.format("{}%", (pl.col("rest_rate") * 100).round(1)),
    )
    by_prompt = pl.format("recall prompt {}{}", prompt, where)
    in_stratum = pl.when(stratum.is_null()).then(pl.lit("")).otherwise(pl.format(" in stratum {}", stratum))
    in_generator = pl.when(generator.is_null()).then(pl.lit("")).otherwise(pl.format(" with generator {}", generator))
    return (
        pl.when(pl.col("factor") == REASON)
        .then(
            pl.format(
                "{} of {} are wrong by '{}' alone, more than the tolerated {}%: make it a rule of the quality contract",
                "defects",
                "reviewed",
                "reason",
                (pl.col("rest_rate") * 100).round(1),
            )
        )
        .when(prompt.is_not_null() & generator.is_null() & stratum.is_null())
        .then(by_prompt)
        .when(prompt.is_not_null())
        .then(pl.format("look at prompt {}{}{}{}", prompt, in_generator, in_stratum, where))
        .when(generator.is_not_null() & stratum.is_null())
        .then(pl.format("recall generator {}{}", generator, where))
        .when(generator.is_not_null())
        .then(pl.format("look at generator {}{}{}", generator, in_stratum, where))
        .otherwise(pl.format("look at stratum {}{}", stratum, where))
    )
