"""Looking for a data set's watermark: in a release, whose real rows are the control, or in any file of the same fields.

Here: which rows are tested for which mark, with what is known of how they were made. Not here: the marks and their
statistics (generation/watermark), printing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from synth_assets.errors import EngineError, SeedError
from synth_assets.generation.engines import EMBEDDED, resolve_engine
from synth_assets.generation.language.model_files import find_model, find_snapshot
from synth_assets.generation.watermark.detection import detect_answers, detect_texts
from synth_assets.generation.watermark.evidence import Detection
from synth_assets.generation.watermark.keys import Key, load_key
from synth_assets.generation.watermark.rows import detect_rows, read_row_mark
from synth_assets.project import Project
from synth_assets.provenance.release import Release
from synth_assets.records import REAL, SYNTHETIC, polars_schema
from synth_assets.spec import DatasetSpec
from synth_assets.store import Lake

TOKENS = "tokens"
ROWS = "row values"


@dataclass(frozen=True)
class Finding:
    """One test: which rows, for which mark, and what came of it."""

    rows: str
    mark: str
    detection: Detection


def search_release(project: Project, release: Release, spec: DatasetSpec, key: Key) -> list[Finding]:
    """Test a release's synthetic rows by engine for the mark that engine puts on, and its real rows as the control.

    A language model's rows are tested on the tokens it wrote, as long as the lake has them.
    """
    corpus = release.read()
    lineage = release.read_lineage()
    made = corpus.filter(pl.col("origin") == SYNTHETIC).join(
        lineage.select("example_id", "parameters"), on="example_id", how="left", maintain_order="left"
    )
    embedded = pl.col("generator_id").str.starts_with(f"{EMBEDDED}-")
    findings: list[Finding] = []
    for (parameters,), part in made.filter(embedded).group_by("parameters", maintain_order=True):
        mark = read_row_mark(str(parameters))
        layout = mark[2] if mark else None
        seeds = _seeds(project.lake, spec)
        found = detect_rows(part, spec, key, layout=layout, seeds=seeds, draws=mark[1] if mark else None)
        findings.append(Finding("synthetic", ROWS, found))
    written = made.filter(~embedded)
    real = corpus.filter(pl.col("origin") == REAL)
    if written.height:
        tokenizer = _find_tokenizer(project, spec)
        told = written.join(_written_tokens(project.lake, spec, written), on="example_id", maintain_order="left")
        known = told.height == written.height
        found = (detect_answers if known else detect_texts)(told if known else written, spec, key, tokenizer)
        findings.append(Finding("synthetic", TOKENS, found))
        findings.append(Finding("real (control)", TOKENS, detect_texts(real, spec, key, tokenizer)))
    else:
        findings.append(Finding("real (control)", ROWS, detect_rows(real, spec, key)))
    return findings


def search_file(project: Project, spec: DatasetSpec, key: Key, path: Path) -> list[Finding]:
    """Test the rows of a JSONL, CSV or Parquet file for the mark of the data set's engine; SeedError names a fault."""
    rows = _read_file(spec, path)
    if resolve_engine(spec) == EMBEDDED:
        return [Finding(path.name, ROWS, detect_rows(rows, spec, key, seeds=_seeds(project.lake, spec)))]
    return [Finding(path.name, TOKENS, detect_texts(rows, spec, key, _find_tokenizer(project, spec)))]


def require_key(project: Project, spec: DatasetSpec) -> Key:
    """Return the data set's key; EngineError where it has none."""
    if spec.generation.watermark is None:
        raise EngineError(f"{spec.name}: dataset.yaml has no generation.watermark, so there is no mark to look for")
    return load_key(spec.generation.watermark, project.root)


def _seeds(lake: Lake, spec: DatasetSpec) -> pl.DataFrame | None:
    seeds = lake.current("seeds", spec.name)
    return None if seeds is None else seeds.read()


def _written_tokens(lake: Lake, spec: DatasetSpec, rows: pl.DataFrame) -> pl.DataFrame:
    tables = [pl.DataFrame(schema={"example_id": pl.String, "output_token_ids": pl.List(pl.Int32)})]
    for round_ in rows["round"].unique().sort():
        candidates = lake.current("candidates", spec.name, round_)
        if candidates is not None and "completions" in candidates.manifest["tables"]:
            tables.append(candidates.read("completions").select("example_id", "output_token_ids"))
    return pl.concat(tables).drop_nulls()


def _find_tokenizer(project: Project, spec: DatasetSpec) -> Path:
    if spec.generation.model is None:
        raise EngineError(f"{spec.name}: generation.model is not set, so its tokenizer is not known")
    place = find_model(spec.generation, project.root)
    folder = find_snapshot(place, spec.generation.revision)
    if folder is None:
        raise EngineError(
            f"{spec.name}: the tokenizer of {place.reference} is not on this disk; download the model, or set "
            "generation.model to a folder with its tokenizer.json"
        )
    return folder


def _read_file(spec: DatasetSpec, path: Path) -> pl.DataFrame:
    readers = {
        ".jsonl": pl.read_ndjson,
        ".ndjson": pl.read_ndjson,
        ".parquet": pl.read_parquet,
        ".csv": lambda source: pl.read_csv(source, separator=spec.source.csv.delimiter, infer_schema=False),
    }
    if path.suffix not in readers:
        raise SeedError(f"{path}: a .jsonl, .csv or .parquet file is expected")
    try:
        frame = readers[path.suffix](path)
        names = {field.name: field.source or field.name for field in spec.content_fields}
        present = {
            name: name if name in frame.columns else source
            for name, source in names.items()
            if name in frame.columns or source in frame.columns
        }
        kinds = polars_schema(spec.content_fields)
        rows = frame.select(pl.col(column).cast(kinds[name]).alias(name) for name, column in present.items())
    except FileNotFoundError:
        raise SeedError(f"{path}: there is no such file") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SeedError(f"{path}: cannot be read as rows of {spec.name}: {error}") from error
    if not rows.width:
        raise SeedError(f"{path}: has none of the fields {', '.join(names)}")
    return rows
