"""Personal data: no candidate may hold what the seed audit would hold a real row back for.

Here: the audit's detector applied to candidates. Not here: the detector (seeds/pii.py), spans of private seeds
(leakage.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.records import content_text_expression, digest_text
from synth_assets.seeds.detectors.spans import ACTIONABLE_SCORE
from synth_assets.seeds.pii import find_pii
from synth_assets.spec import DatasetSpec


@dataclass(frozen=True)
class PersonalData:
    """Rejects candidates in which the audit's detector finds personal data that the spec does not allow.

    score: the most certain finding's; evidence: its entity type, never the text.
    """

    spec: DatasetSpec
    name: str = "personal_data"

    @property
    def version(self) -> str:
        return digest_text("personal-data-1", self.spec.liabilities.model_dump_json(), size=6)

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        texts = candidates.select(content_text_expression(self.spec)).to_series()
        found = find_pii(texts).filter(~pl.col("entity").is_in(list(self.spec.liabilities.allow_entities)))
        worst = found.sort("score", descending=True).unique("row", maintain_order=True).select("row", "entity", "score")
        judged = (
            candidates.select("example_id")
            .with_row_index("row")
            .join(worst, on="row", how="left", maintain_order="left")
        )
        return verdicts_of(
            judged,
            passed=pl.col("score").fill_null(0.0) < ACTIONABLE_SCORE,
            score=pl.col("score").fill_null(0.0),
            threshold=ACTIONABLE_SCORE,
            reason=pl.lit("personal_data"),
            evidence=pl.col("entity"),
        )
