"""The work of a review: the drawn examples with what a reviewer may see of them, indexed for single look-ups.

Here: content, seeds and verdicts by example. Not here: who reviews what (desk.py), how it looks (items.py).
"""

from __future__ import annotations

from functools import cached_property
from itertools import accumulate
from typing import Any, Protocol

import polars as pl

from synth_assets.errors import StoreError
from synth_assets.records import RELEASABLE
from synth_assets.spec import DatasetSpec

RANDOM = "random"
VERDICT_COLUMNS = ("discriminator", "passed", "score", "threshold", "reason", "evidence")
MOST_CHOICES = 200


class ReviewWork:
    """The examples of a review, in serving order; a position is a place in that order.

    sample: example_id, part, priority, optionally reviews (how many each wants, 1 by default). content: example_id,
    content_id, the record's fields, optionally prompted_by. seeds: example_id, disposition and the fields; only
    releasable ones are ever shown. verdicts: example_id and VERDICT_COLUMNS. StoreError if content is missing.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        sample: pl.DataFrame,
        content: pl.DataFrame,
        *,
        seeds: pl.DataFrame | None = None,
        verdicts: pl.DataFrame | None = None,
    ) -> None:
        self.spec = spec
        reviews = pl.col("reviews") if "reviews" in sample.columns else pl.lit(1)
        order = sample.sort("priority").select("example_id", "part", reviews=reviews.cast(pl.Int64).clip(lower_bound=1))
        names = [field.name for field in spec.content_fields]
        shown = content.select("example_id", "content_id", *names, pl.col("^prompted_by$"))
        self._rows = order.join(shown, on="example_id", how="inner", maintain_order="left").rechunk()
        if self._rows.height != order.height:
            raise StoreError(
                f"the content of {order.height - self._rows.height} drawn examples is missing; materialize "
                "review_sample again"
            )
        self.ids: list[str] = self._rows["example_id"].to_list()
        self.versions: list[str] = self._rows["content_id"].to_list()
        self.wanted: list[int] = self._rows["reviews"].to_list()
        self.is_random: list[bool] = (self._rows["part"] == RANDOM).to_list()
        self.random_until = list(accumulate(self.is_random))  # how many of the random part lie up to a position
        self.position = {key: place for place, key in enumerate(self.ids)}
        self._seeds = self._index_seeds(seeds)
        self._verdicts = self._index_verdicts(verdicts)

    def __len__(self) -> int:
        return len(self.ids)

    def content(self, position: int) -> dict[str, Any]:
        """Return the values of the record's fields."""
        row = self._rows.row(position, named=True)
        return {field.name: row[field.name] for field in self.spec.content_fields}

    def seeds(self, position: int) -> tuple[list[dict[str, Any]], int]:
        """Return the seeds an example came from that may be shown, and how many more there are that may not."""
        if "prompted_by" not in self._rows.columns:
            return [], 0
        ids = dict.fromkeys(self._rows.row(position, named=True)["prompted_by"] or [])
        if self._seeds is None:
            return [], len(ids)
        frame, place = self._seeds
        shown = [frame.row(place[key], named=True) for key in ids if key in place]
        return shown, len(ids) - len(shown)

    def verdicts(self, position: int) -> list[dict[str, Any]]:
        """Return what each discriminator said."""
        if self._verdicts is None:
            return []
        frame, spans = self._verdicts
        start, length = spans.get(self.ids[position], (0, 0))
        return frame.slice(start, length).to_dicts()

    @cached_property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """The values a category may be given: the spec's, else those seen in the drawn examples if they are few."""
        found: dict[str, tuple[str, ...]] = {}
        for field in self.spec.content_fields:
            if field.type == "category":
                seen = self._rows[field.name].drop_nulls().unique().sort().to_list()
                values = field.values or (tuple(seen) if len(seen) <= MOST_CHOICES else ())
                found[field.name] = tuple(values)
        return found

    def _index_seeds(self, seeds: pl.DataFrame | None) -> tuple[pl.DataFrame, dict[str, int]] | None:
        if seeds is None or "prompted_by" not in self._rows.columns:
            return None
        used = self._rows["prompted_by"].explode().drop_nulls().unique()
        names = [field.name for field in self.spec.content_fields]
        open_ = (pl.col("disposition") == RELEASABLE) & pl.col("example_id").is_in(used.implode())
        frame = seeds.filter(open_).select("example_id", *names).unique("example_id", keep="first").rechunk()
        return frame.drop("example_id"), {key: place for place, key in enumerate(frame["example_id"])}

    def _index_verdicts(self, verdicts: pl.DataFrame | None) -> tuple[pl.DataFrame, dict[str, tuple[int, int]]] | None:
        if verdicts is None:
            return None
        drawn = verdicts.join(self._rows.select("example_id"), on="example_id", how="semi")
        frame = drawn.select("example_id", *VERDICT_COLUMNS).sort("example_id", "discriminator").rechunk()
        runs = frame["example_id"].rle().struct.unnest()
        starts = runs["len"].cast(pl.Int64).cum_sum() - runs["len"].cast(pl.Int64)
        spans = zip(runs["value"], zip(starts, runs["len"], strict=True), strict=True)
        return frame.drop("example_id"), dict(spans)


class WorkSource(Protocol):
    """Where the work comes from, and what became of the review."""

    def version(self) -> str:
        """Name the present version of the drawn sample; it changes when the sample is enlarged."""
        ...

    def load(self) -> ReviewWork:
        """Read the present version."""
        ...

    def outcome(self) -> str:
        """Return how the review ended (accept, reject), "" while it is open."""
        ...
