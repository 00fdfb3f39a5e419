"""The release: an immutable folder with the data, the lineage, the card and a manifest of checksums.

Here: writing one whole or not at all, opening and verifying it. Not here: whether it may be written (gates.py).

    data/releases/<dataset>/<version>/data/train.parquet, lineage.parquet, README.md, card.json, manifest.json
    data/releases/<dataset>/_latest        the newest version's name
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets.errors import StoreError
from synth_assets.records import SYNTHETIC, canonical_expression
from synth_assets.spec import DATASET_NAME, DatasetSpec
from synth_assets.store import MANIFEST, hash_file, write_atomically, write_parquet

DATA = "data/train.parquet"
LATEST = "_latest"
_VERSION = re.compile(r"^r[0-9]{3,6}-[0-9a-f]{8}$")


@dataclass(frozen=True)
class Release:
    """One released version on disk."""

    dataset: str
    version: str
    path: Path

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))

    def read(self) -> pl.DataFrame:
        """Return the corpus: RELEASE_COLUMNS and the released fields, one row an example."""
        return pl.read_parquet(self.path / DATA)

    def read_lineage(self) -> pl.DataFrame:
        return pl.read_parquet(self.path / "lineage.parquet")

    def verify(self) -> None:
        """Raise StoreError unless every file of the manifest is there with its SHA-256, and no other file is."""
        listed = self.manifest["files"]
        present = {str(p.relative_to(self.path)) for p in self.path.rglob("*") if p.is_file()} - {MANIFEST}
        for name in sorted(present ^ set(listed)):
            raise StoreError(f"{self.path}/{name}: {'missing' if name in listed else 'not part of the release'}")
        for name, sha256 in listed.items():
            if hash_file(self.path / name) != sha256:
                raise StoreError(f"{self.path}/{name}: changed since the release was written")


def write_release(
    root: Path,
    dataset: str,
    round_: str,
    corpus: pl.DataFrame,
    lineage: pl.DataFrame,
    *,
    card: str,
    facts: dict[str, Any],
    digest: str,
    pins: dict[str, str],
) -> Release:
    """Write a release whole and make it the latest; the version is <round>-<first 8 digits of the corpus digest>.

    The same corpus again is the same release, untouched. `pins`: asset → digest in the lake, which vacuum spares.
    """
    version = f"{round_}-{digest[:8]}"
    folder = root / dataset
    target = folder / version
    incoming = folder / f".incoming-{uuid.uuid4().hex}"
    try:
        if not (target / MANIFEST).exists():
            (incoming / "data").mkdir(parents=True)
            write_parquet(incoming / DATA, corpus.sort("example_id"))
            write_parquet(incoming / "lineage.parquet", lineage)
            (incoming / "README.md").write_text(card, encoding="utf-8")
            (incoming / "card.json").write_text(json.dumps(facts, indent=1, default=str), encoding="utf-8")
            files = sorted(p for p in incoming.rglob("*") if p.is_file())
            synthetic = int((corpus["origin"] == SYNTHETIC).sum())
            manifest = {
                "dataset": dataset,
                "version": version,
                "round": round_,
                "rows": corpus.height,
                "real_rows": corpus.height - synthetic,
                "synthetic_rows": synthetic,
                "share": synthetic / corpus.height,
                "corpus_digest": digest,
                "pins": pins,
                "schema": {name: str(dtype) for name, dtype in corpus.schema.items()},
                "files": {str(p.relative_to(incoming)): hash_file(p) for p in files},
            }
            write_atomically(incoming / MANIFEST, json.dumps(manifest, indent=1))
            for file in incoming.rglob("*"):
                if file.is_file():
                    _sync(file)
            incoming.replace(target)
        write_atomically(folder / LATEST, version)
    except OSError as error:
        raise StoreError(
            f"{target}: cannot write the release: {error.strerror or error}; nothing was changed"
        ) from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return Release(dataset, version, target)


def find_release(root: Path, dataset: str, version: str | None = None) -> Release:
    """Return a release (the latest by default); StoreError lists what there is."""
    if not DATASET_NAME.match(dataset):
        raise StoreError(f"'{dataset}' is no data set name")
    folder = root / dataset
    known = list_releases(root, dataset)
    if not known:
        released = ", ".join(sorted(p.parent.name for p in root.glob(f"*/{LATEST}"))) or "none"
        raise StoreError(
            f"'{dataset}' has no release yet; released data sets: {released}. `synth run {dataset}` makes one"
        )
    version = version or (folder / LATEST).read_text(encoding="ascii").strip()
    if version not in known:
        raise StoreError(f"{dataset}: no release '{version}'; there are {', '.join(known)}")
    return Release(dataset, version, folder / version)


def list_releases(root: Path, dataset: str) -> list[str]:
    """Return the complete versions of a data set, in round order."""
    found = [p.parent.name for p in (root / dataset).glob(f"*/{MANIFEST}") if _VERSION.match(p.parent.name)]
    return sorted(found, key=lambda name: (len(name), name))


def pinned_digests(root: Path) -> set[str]:
    """Return every lake digest that a release pins."""
    manifests = root.glob(f"*/*/{MANIFEST}")
    return {digest for path in manifests for digest in json.loads(path.read_text(encoding="utf-8"))["pins"].values()}


def returned_rows(root: Path, spec: DatasetSpec, rows: pl.DataFrame) -> pl.Series:
    """Return for each row whether it equals a synthetic row this project ever released: our own text coming back.

    Compared over the released fields, since ids and sensitive fields are never exported.
    """
    fields = [field for field in spec.released_fields if field.name in rows.columns]
    names = [field.name for field in fields]
    released = [
        frame.filter(pl.col("origin") == SYNTHETIC).select(canonical_expression(fields).alias("key"))
        for version in list_releases(root, spec.name)
        if set(names) <= set((frame := Release(spec.name, version, root / spec.name / version).read()).columns)
    ]
    if not released:
        return pl.repeat(False, rows.height, dtype=pl.Boolean, eager=True)
    return rows.select(canonical_expression(fields).is_in(pl.concat(released)["key"].unique().implode())).to_series()


def _sync(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
