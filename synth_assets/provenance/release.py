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
from synth_assets.records import SYNTHETIC, canonical_expression, digest_text
from synth_assets.spec import DATASET_NAME, DatasetSpec
from synth_assets.store import MANIFEST, Lake, hash_file, round_index, write_atomically, write_parquet

DATA, CARD = "data/train.parquet", "README.md"
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

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the manifest, and so of all that it lists."""
        return hash_file(self.path / MANIFEST)

    def verify(self, fingerprint: str | None = None) -> None:
        """Raise StoreError unless the manifest's files, and no others, are there with their SHA-256, and counts hold.

        fingerprint: of the manifest when it was written, as the lake keeps it; without it a manifest that was changed
        together with the files passes.
        """
        if not (self.path / MANIFEST).is_file():
            raise StoreError(f"{self.path}/{MANIFEST}: missing; the release can be made again from the lake")
        if fingerprint is not None and self.fingerprint != fingerprint:
            raise StoreError(f"{self.path}/{MANIFEST}: changed since the release was written, as the lake knows it")
        listed = self.manifest["files"]
        entries = [p for p in self.path.rglob("*") if p.is_symlink() or not p.is_dir()]
        present = {str(p.relative_to(self.path)) for p in entries} - {MANIFEST}
        for name in sorted(present ^ set(listed)):
            raise StoreError(f"{self.path}/{name}: {'missing' if name in listed else 'not part of the release'}")
        for name, sha256 in listed.items():
            if hash_file(self.path / name) != sha256:
                raise StoreError(f"{self.path}/{name}: changed since the release was written")
        rows = self.read()
        counted = {"rows": rows.height, "synthetic_rows": int((rows["origin"] == SYNTHETIC).sum())}
        for name, count in counted.items():
            if self.manifest[name] != count:
                raise StoreError(f"{self.path}/{MANIFEST}: says {self.manifest[name]} {name}, the data hold {count}")


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
    """Write a release whole, and make it the latest unless that is of a later round.

    The version is <round>-<first 8 digits of the corpus digest>; the same corpus with the same card again is the same
    release, untouched, and with another card a release of its own. `pins`: asset → digest in the lake, which vacuum
    spares.
    """
    folder = root / dataset
    version = f"{round_}-{digest[:8]}"
    if (folder / version / MANIFEST).is_file() and (folder / version / CARD).read_text(encoding="utf-8") != card:
        version = f"{round_}-{digest_text(digest, card)[:8]}"
    target = folder / version
    incoming = folder / f".incoming-{uuid.uuid4().hex}"
    try:
        if not (target / MANIFEST).exists():
            (incoming / "data").mkdir(parents=True)
            write_parquet(incoming / DATA, corpus.sort("example_id"))
            write_parquet(incoming / "lineage.parquet", lineage)
            (incoming / CARD).write_text(card, encoding="utf-8")
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
            if target.exists():  # without a manifest it is none: what is left of it is kept, out of the way
                target.replace(folder / f".broken-{uuid.uuid4().hex}")
            incoming.replace(target)
        latest = folder / LATEST
        if not latest.is_file() or round_of_version(latest.read_text(encoding="ascii")) <= round_index(round_):
            write_atomically(latest, version)
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
    if _VERSION.match(version) and (folder / version).is_dir() and version not in known:
        raise StoreError(f"{folder / version}/{MANIFEST}: missing; the release can be made again from the lake")
    if version not in known:
        raise StoreError(f"{dataset}: no release '{version}'; there are {', '.join(known)}")
    return Release(dataset, version, folder / version)


def list_releases(root: Path, dataset: str) -> list[str]:
    """Return the complete versions of a data set, in round order."""
    found = [p.parent.name for p in (root / dataset).glob(f"*/{MANIFEST}") if _VERSION.match(p.parent.name)]
    return sorted(found, key=lambda name: (len(name), name))


def round_of_version(version: str) -> int:
    """Return the number of the round that a release is of."""
    return round_index(version.partition("-")[0])


def find_fingerprint(lake: Lake, release: Release) -> str | None:
    """Return the SHA-256 that a release's manifest had when it was written, None where the lake no longer knows."""
    round_ = release.version.partition("-")[0]
    for record in lake.partition_path("release", release.dataset, round_).glob("*/manifest.parquet"):
        found = pl.read_parquet(record).filter(pl.col("version") == release.version)
        if found.height and "manifest_sha256" in found.columns:
            return found["manifest_sha256"][0]
    return None


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
