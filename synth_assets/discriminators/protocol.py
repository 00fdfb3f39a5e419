"""The one protocol of all discriminators, and the verdict frame.

Here: what a discriminator takes and gives. Not here: any rule (one file each beside this one), their order (cascade).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import polars as pl

VERDICT_SCHEMA: dict[str, pl.DataType] = {
    "example_id": pl.String(),
    "discriminator": pl.String(),
    "version": pl.String(),
    "passed": pl.Boolean(),
    "score": pl.Float64(),
    "threshold": pl.Float64(),
    "reason": pl.String(),
    "evidence": pl.String(),
}


class Discriminator(Protocol):
    """Decides on candidates; `name` and `version` (code and settings) stand on every verdict."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        """Return one row a candidate, in order: example_id, passed, score, threshold, reason, evidence.

        reason is empty for what passed; evidence too, but for a judge, who always says why.
        """
        ...


@runtime_checkable
class Extendable(Protocol):
    """A discriminator that compares with what the round has kept so far."""

    def extended(self, kept: pl.DataFrame) -> Discriminator:
        """Return one that knows these rows too; kept: example_id, content_id and the content columns."""
        ...


def verdicts_of(
    candidates: pl.DataFrame, *, passed: pl.Expr, score: pl.Expr, threshold: float, reason: pl.Expr, evidence: pl.Expr
) -> pl.DataFrame:
    """Return judge()'s frame from expressions over the candidates; reason and evidence are kept for rejects only."""
    return candidates.select(
        "example_id",
        passed=passed.fill_null(False),
        score=score.cast(pl.Float64),
        threshold=pl.lit(threshold, dtype=pl.Float64),
        reason=reason,
        evidence=evidence,
    ).with_columns(
        pl.when("passed").then(pl.lit("")).otherwise(pl.col(name)).fill_null("").alias(name)
        for name in ("reason", "evidence")
    )
