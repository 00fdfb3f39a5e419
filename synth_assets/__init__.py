"""synth-assets: a supply chain for synthetic training data, on Dagster.

Here: the small public API. Everything else is reached through `synth`, the Dagster UI, or the stage packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from synth_assets.provenance.release import Release
    from synth_assets.spec import DatasetSpec

__all__ = ["load_spec", "open_lineage", "open_release"]


def open_release(dataset: str, version: str | None = None) -> pl.DataFrame:
    """Return a released corpus as a polars frame, the latest version by default.

    Columns: example_id, content_id, origin, stratum, round, generator_id, prompt_id, seed_ids, review_status, weight
    and the record's own fields. StoreError if there is no such release, or if rows of the latest were recalled since;
    of a version that is named the recall is only warned of (UserWarning).

    >>> open_release("support").filter(pl.col("origin") == "synthetic")  # doctest: +SKIP
    """
    return _open(dataset, version).read()


def open_lineage(dataset: str, version: str | None = None) -> pl.DataFrame:
    """Return the full lineage of a release, one row an example of it; recalls: see open_release."""
    return _open(dataset, version).read_lineage()


def _open(dataset: str, version: str | None) -> Release:
    import warnings

    from synth_assets.project import find_project
    from synth_assets.provenance.recalled import read_recalled, require_sound
    from synth_assets.provenance.release import find_release

    root = find_project().releases
    release = find_release(root, dataset, version)
    if version is None:
        require_sound(root, release)
    elif (recalled := read_recalled(root, dataset).get(version)) is not None:
        warnings.warn(f"{dataset} {version}: {recalled}", stacklevel=3)
    return release


def load_spec(dataset: str) -> DatasetSpec:
    """Return the DatasetSpec of data/seeds/<dataset>/dataset.yaml; SpecError says what is wrong with it."""
    from synth_assets.project import find_project

    return find_project().spec(dataset)
