"""synth-assets: a supply chain for synthetic training data, on Dagster.

Here: the small public API. Everything else is reached through `synth`, the Dagster UI, or the stage packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from synth_assets.spec import DatasetSpec

__all__ = ["load_spec", "open_lineage", "open_release"]


def open_release(dataset: str, version: str | None = None) -> pl.DataFrame:
    """Return a released corpus as a polars frame, the latest version by default.

    Columns: example_id, content_id, origin, stratum, round, generator_id, prompt_id, seed_ids, review_status, weight
    and the record's own fields. StoreError if there is no such release.

    >>> open_release("support").filter(pl.col("origin") == "synthetic")  # doctest: +SKIP
    """
    from synth_assets.project import find_project
    from synth_assets.provenance.release import find_release

    return find_release(find_project().releases, dataset, version).read()


def open_lineage(dataset: str, version: str | None = None) -> pl.DataFrame:
    """Return the full lineage of a release, one row an example of it."""
    from synth_assets.project import find_project
    from synth_assets.provenance.release import find_release

    return find_release(find_project().releases, dataset, version).read_lineage()


def load_spec(dataset: str) -> DatasetSpec:
    """Return the DatasetSpec of data/seeds/<dataset>/dataset.yaml; SpecError says what is wrong with it."""
    from synth_assets.project import find_project

    return find_project().spec(dataset)
