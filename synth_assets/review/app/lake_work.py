"""A round's review work as the lake holds it.

Here: reading the drawn sample with its content, seeds and verdicts, and whether the round is closed. Not here: what is
done with them (desk.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from synth_assets.errors import StoreError
from synth_assets.generation.waves import KEPT
from synth_assets.records import derive_uniforms
from synth_assets.review.app.work import ReviewWork
from synth_assets.review.controls import CONTROLS
from synth_assets.spec import DatasetSpec
from synth_assets.store import Lake, Version


@dataclass(frozen=True)
class LakeWork:
    """A WorkSource on the lake. StoreError where nothing was drawn for the round yet.

    Controls, where the sample holds any, have their content in its table CONTROLS (controls.draw_controls). Seeds and
    verdicts they have none: those of a kept row of their stratum stand beside them, so that a missing panel tells
    nothing.
    """

    lake: Lake
    spec: DatasetSpec
    round: str

    def version(self) -> str:
        """Return the digest of the present sample."""
        return self._sample().digest

    def load(self) -> ReviewWork:
        """Read the sample and what belongs to it; seeds are those that the round's plan pinned."""
        name = self.spec.name
        version = self._sample()
        sample = version.read()
        drawn = sample.select("example_id")
        rows = self.lake.require("filtered", name, self.round).scan()
        content = rows.join(drawn.lazy(), on="example_id", how="semi").collect()
        told_by = content.select("example_id", lender="example_id")
        if CONTROLS in version.manifest["tables"]:
            controls = self._disguise(version.read(CONTROLS), rows, drawn["example_id"])
            told_by = pl.concat([told_by, controls.select("example_id", "lender")])
            content = pl.concat([content, controls.drop("lender")], how="diagonal")
        verdicts = self.lake.current("verdicts", name, self.round)
        seeds = self._seeds()
        return ReviewWork(
            self.spec,
            sample,
            content,
            seeds=seeds.read() if seeds else None,
            verdicts=_tell(verdicts, told_by) if verdicts else None,
        )

    def outcome(self) -> str:
        """Return the decision of a closed round, else ""."""
        closed = self.lake.current("round_close", self.spec.name, self.round)
        return closed.read()["decision"].item() if closed else ""

    def _sample(self) -> Version:
        found = self.lake.current("review_sample", self.spec.name, self.round)
        if found is None:
            raise StoreError(
                f"{self.spec.name} {self.round}: no sample is drawn yet; `synth run {self.spec.name}` gets there"
            )
        return found

    def _disguise(self, controls: pl.DataFrame, rows: pl.LazyFrame, drawn: pl.Series) -> pl.DataFrame:
        """Return the controls' content + prompted_by and lender, the kept row of their stratum whose panels they show.

        Rows that nobody reviews lend first, and each to one control as far as there are enough.
        """
        fits = (pl.col("state") == KEPT) & pl.col("stratum").is_in(controls["stratum"].unique().implode())
        lenders = rows.filter(fits).select("stratum", "prompted_by", lender="example_id").collect().sort("lender")
        lenders = (
            lenders.with_columns(
                _drawn=pl.col("lender").is_in(drawn.implode()),
                _order=pl.Series(derive_uniforms(lenders["lender"], self.spec.seed, "review", self.round, "lenders")),
            )
            .sort("_drawn", "_order")
            .with_columns(_place=pl.int_range(pl.len()).over("stratum"))
        )
        return (
            controls.join(lenders.group_by("stratum").len(), on="stratum", how="left", maintain_order="left")
            .with_columns(_place=pl.int_range(pl.len()).over("stratum") % pl.col("len"))
            .join(lenders, on=["stratum", "_place"], how="left", maintain_order="left")
            .with_columns(
                pl.col("prompted_by").list.filter(~pl.element().is_in(controls["source_id"].to_list())),
            )
            .select(
                "example_id", "content_id", *(field.name for field in self.spec.content_fields), "prompted_by", "lender"
            )
        )

    def _seeds(self) -> Version | None:
        plan = self.lake.current("plan", self.spec.name, self.round)
        if plan is None:
            return self.lake.current("seeds", self.spec.name)
        pinned: pl.DataFrame = plan.read("settings")
        return self.lake.version("seeds", self.spec.name, None, pinned["seeds_digest"].item())


def _tell(verdicts: Version, told_by: pl.DataFrame) -> pl.DataFrame:
    """Return the verdicts of every item: those of its lender."""
    found = verdicts.scan().rename({"example_id": "lender"}).join(told_by.lazy(), on="lender", how="inner")
    return found.drop("lender").collect()
