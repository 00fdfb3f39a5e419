"""A round's review work as the lake holds it.

Here: reading the drawn sample with its content, seeds and verdicts, and whether the round is closed. Not here: what is
done with them (desk.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from synth_assets.errors import StoreError
from synth_assets.review.app.work import ReviewWork
from synth_assets.spec import DatasetSpec
from synth_assets.store import Lake, Version

CONTROLS = "controls"


@dataclass(frozen=True)
class LakeWork:
    """A WorkSource on the lake. StoreError where nothing was drawn for the round yet.

    Controls, where the sample holds any, have their content in its table CONTROLS (controls.draw_controls).
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
        drawn = sample.select("example_id").lazy()
        content = (
            self.lake.require("filtered", name, self.round).scan().join(drawn, on="example_id", how="semi").collect()
        )
        if CONTROLS in version.manifest["tables"]:
            content = pl.concat([content, self._disguise(version.read(CONTROLS), content)], how="diagonal")
        verdicts = self.lake.current("verdicts", name, self.round)
        seeds = self._seeds()
        return ReviewWork(
            self.spec,
            sample,
            content,
            seeds=seeds.read() if seeds else None,
            verdicts=verdicts.scan().join(drawn, on="example_id", how="semi").collect() if verdicts else None,
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

    def _disguise(self, controls: pl.DataFrame, content: pl.DataFrame) -> pl.DataFrame:
        """Return controls with the seeds of a drawn example of their stratum, so that a missing panel tells nothing."""
        lenders = content.select("stratum", "prompted_by").unique("stratum", keep="first", maintain_order=True)
        source = pl.col("source_id")
        return (
            controls.join(lenders, on="stratum", how="left", maintain_order="left")
            .with_columns(pl.col("prompted_by").list.set_difference(pl.concat_list(source)))
            .select("example_id", "content_id", *(field.name for field in self.spec.content_fields), "prompted_by")
        )

    def _seeds(self) -> Version | None:
        plan = self.lake.current("plan", self.spec.name, self.round)
        if plan is None:
            return self.lake.current("seeds", self.spec.name)
        pinned: pl.DataFrame = plan.read("settings")
        return self.lake.version("seeds", self.spec.name, None, pinned["seeds_digest"].item())
