"""Which releases hold rows that were recalled since: noted beside them, as a release itself never changes.

Here: finding, noting and reading that. Not here: what a recall touches (quarantine.py), releasing again (cli/).

    data/releases/<dataset>/_recalled.json
        touched    version → rows, and the recalls that touch them
        rejudged   version → reviewers without whose decisions the same rows were released once more
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets.errors import StoreError
from synth_assets.provenance.quarantine import match_quarantine
from synth_assets.provenance.release import Release, list_releases
from synth_assets.store import write_atomically

RECALLED = "_recalled.json"
_SHOWN = 3


@dataclass(frozen=True)
class Recalled:
    """What was recalled of a release: how many rows, and the recalls (kind, value, reason, who, at)."""

    rows: int
    recalls: list[dict[str, Any]]

    def __str__(self) -> str:
        told = [f"{recall['kind']} {recall['value']}: {recall['reason']}" for recall in self.recalls[:_SHOWN]]
        more = f" and {len(self.recalls) - _SHOWN} more" if len(self.recalls) > _SHOWN else ""
        return f"{self.rows:,} of its rows were recalled ({'; '.join(told)}{more})"


def note_recalled(root: Path, dataset: str, quarantine: pl.DataFrame) -> dict[str, Recalled]:
    """Find the releases that hold rows which the active entries touch, note them and return them by version.

    quarantine: kind, value, reason, who, at. Of a reviewer, the rows that rest on the reviewer's decisions or edits.
    """
    return _note(root, dataset, quarantine, _read(root, dataset)["rejudged"])


def confirm_release(root: Path, release: Release, quarantine: pl.DataFrame) -> None:
    """Note that a release was made under these entries: what it holds was judged without the recalled reviewers."""
    reviewers = quarantine.filter(pl.col("kind") == "reviewer")["value"].to_list()
    noted = _read(root, release.dataset)
    if reviewers and release.version in noted["touched"]:
        _note(root, release.dataset, quarantine, {**noted["rejudged"], release.version: reviewers})


def _note(root: Path, dataset: str, quarantine: pl.DataFrame, rejudged: dict[str, list[str]]) -> dict[str, Recalled]:
    found = {}
    for version in list_releases(root, dataset):
        lineage = Release(dataset, version, root / dataset / version).read_lineage()
        settled = (pl.col("kind") == "reviewer") & pl.col("value").is_in(rejudged.get(version, []))
        entries = quarantine.filter(~settled)
        touched = lineage.filter(match_recalls(lineage, entries))
        if touched.height:
            recalls = [entry for entry in entries.iter_slices(1) if match_recalls(touched, entry).any()]
            found[version] = Recalled(touched.height, pl.concat(recalls).to_dicts())
    file = root / dataset / RECALLED
    if found or rejudged:
        touched_by = {version: {"rows": one.rows, "recalls": one.recalls} for version, one in found.items()}
        content = {"touched": touched_by, "rejudged": rejudged}
        write_atomically(file, json.dumps(content, indent=1, default=str, ensure_ascii=False))
    else:
        file.unlink(missing_ok=True)
    return found


def match_recalls(lineage: pl.DataFrame, quarantine: pl.DataFrame) -> pl.Series:
    """Return for each row of a release's lineage whether an entry (columns kind, value) touches it."""
    touched = match_quarantine(lineage, quarantine)
    reviewers = quarantine.filter(pl.col("kind") == "reviewer")["value"].to_list()
    if reviewers and "decisions" in lineage.columns:
        said = [f'"reviewer":{json.dumps(name, ensure_ascii=False)}' for name in reviewers]
        judged = pl.col("decisions").str.contains_any(said)
        if "edited_by" in lineage.columns:
            judged = judged.fill_null(False) | pl.col("edited_by").is_in(reviewers)
        touched |= lineage.select(judged.fill_null(False)).to_series()
    return touched


def read_recalled(root: Path, dataset: str) -> dict[str, Recalled]:
    """Return what is noted of a data set's releases, by version; StoreError if the note cannot be read."""
    touched = _read(root, dataset)["touched"]
    return {version: Recalled(one["rows"], one["recalls"]) for version, one in touched.items()}


def _read(root: Path, dataset: str) -> dict[str, dict[str, Any]]:
    file = root / dataset / RECALLED
    if not file.is_file():
        return {"touched": {}, "rejudged": {}}
    try:
        noted = json.loads(file.read_text(encoding="utf-8"))
        return {"touched": dict(noted["touched"]), "rejudged": dict(noted["rejudged"])}
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{file}: is no note of recalls ({error}); remove it and run the recall job again") from error


def require_sound(root: Path, release: Release) -> None:
    """Raise StoreError if rows of a release were recalled."""
    recalled = read_recalled(root, release.dataset).get(release.version)
    if recalled is not None:
        raise StoreError(
            f"{release.dataset}: do not use the release {release.version} any more: {recalled}. `synth recall` or "
            f"`synth run {release.dataset}` releases again without them; to look at it all the same, name its version"
        )
