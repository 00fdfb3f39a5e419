"""The lineage ledger: for every row of a corpus, everything that made it.

Here: reviews as they stand after recalls, collecting accepted rows and their lineage from the lake, and tracing one
example. Not here: gates, the release.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from synth_assets.errors import StoreError
from synth_assets.generation.waves import KEPT
from synth_assets.mixing.acceptance import accept_rows
from synth_assets.provenance.quarantine import match_quarantine
from synth_assets.records import LINEAGE_COLUMNS, REAL, SYNTHETIC
from synth_assets.review.decisions import ACCEPT, HUMAN, resolve_examples
from synth_assets.review.fixes import ACCEPTED, FIX_COLUMNS
from synth_assets.spec import DatasetSpec
from synth_assets.store import Lake, Version

EDITED_BY_PERSON = "edited_by_person"
REVOKED = "revoked"


@dataclass(frozen=True)
class StandingReview:
    """A concluded review without what recalled reviewers did.

    decision: accept, reject, or revoked where an accepted batch rests on them: an example that they decided was decided
    by nobody else. (Where others decided it too, defects can only become fewer, so the batch stays accepted.)
    resolutions: as the review_outcome has them: a recall takes rows out and lets none in. decisions: without those of
    recalled reviewers. edits: review.fixes.FIX_COLUMNS; fixes: the accepted ones as examples, with the columns of
    candidates and quality; both empty where there are none.
    """

    decision: str
    automated: bool
    decisions: pl.DataFrame
    resolutions: pl.DataFrame
    edits: pl.DataFrame
    fixes: pl.DataFrame


def read_review(lake: Lake, dataset: str, round_: str) -> StandingReview:
    """Return the review of a round as it stands; StoreError where it is not concluded."""
    outcome = lake.require("review_outcome", dataset, round_)
    snapshot = lake.current("quarantine", dataset)
    entries = pl.DataFrame(schema={"kind": pl.String, "value": pl.String}) if snapshot is None else snapshot.read()
    recalled = entries.filter(pl.col("kind") == "reviewer")["value"].implode()
    told = outcome.read().row(0, named=True)
    stored = outcome.read("decisions")
    decisions = stored.filter(~pl.col("reviewer").is_in(recalled))
    lost = resolve_examples(stored).join(resolve_examples(decisions), on=["example_id", "resolved_by"], how="anti")
    edits = read_edits(outcome).filter(~pl.col("reviewer").is_in(recalled))
    return StandingReview(
        decision=REVOKED if told["decision"] == ACCEPT and lost.height else told["decision"],
        automated=bool(told["automated"]),
        decisions=decisions,
        resolutions=outcome.read("resolutions"),
        edits=edits,
        fixes=_fixes(outcome, edits),
    )


def read_edits(outcome: Version) -> pl.DataFrame:
    """Return what became of the edits of a concluded review: review.fixes.FIX_COLUMNS."""
    return outcome.read("edits") if "edits" in outcome.manifest["tables"] else pl.DataFrame(schema=FIX_COLUMNS)


def _fixes(outcome: Version, edits: pl.DataFrame) -> pl.DataFrame:
    good = edits.filter(pl.col("state") == ACCEPTED)
    if good.is_empty():
        return pl.DataFrame(schema={"example_id": pl.String, **LINEAGE_COLUMNS})
    return outcome.read("edited").join(good, on="example_id", how="semi", maintain_order="left")


def planned_digests(lake: Lake) -> set[str]:
    """Return every lake digest that a plan pins: its round reads these seeds, not the newest, until its review ends."""
    plans = [
        lake.read("plan", name, round_, "settings")
        for name in lake.datasets("plan")
        for round_ in lake.rounds("plan", name)
    ]
    pins = ("seeds_digest", "contract_digest", "feedback_digest")
    return {digest for settings in plans for digest in settings.select(pins).row(0) if digest}


def accepted_rounds(lake: Lake, dataset: str, through: str) -> list[str]:
    """Return the rounds up to `through` whose review stands as accepted, in order."""
    return [
        round_
        for round_ in lake.rounds("review_outcome", dataset)
        if _order(round_) <= _order(through) and read_review(lake, dataset, round_).decision == ACCEPT
    ]


def collect_accepted(lake: Lake, spec: DatasetSpec, through: str) -> pl.DataFrame | None:
    """Return what all accepted rounds up to `through` contribute: candidate columns, quality and review_status.

    The fixes of reviewers stand in the place of their originals. Equal content is kept once, from the earliest round.
    None if no round was accepted.
    """
    frames = []
    for round_ in accepted_rounds(lake, spec.name, through):
        review = read_review(lake, spec.name, round_)
        filtered = _put_fixes(lake.read("filtered", spec.name, round_), review.fixes)
        rows = accept_rows(filtered, review.resolutions, automated=review.automated)
        fixed = pl.col("example_id").is_in(review.fixes["example_id"].implode())
        frames.append(
            rows.with_columns(review_status=pl.when(fixed).then(pl.lit(EDITED_BY_PERSON)).otherwise("review_status"))
        )
    if not frames:
        return None
    return pl.concat(frames, how="diagonal_relaxed").unique("content_id", keep="first", maintain_order=True)


def _put_fixes(filtered: pl.DataFrame, fixes: pl.DataFrame) -> pl.DataFrame:
    """Return the filtered rows with each fix in the place of its original, so that no reserve row takes it."""
    if fixes.is_empty():
        return filtered
    placed = filtered.with_row_index("_row")
    originals = placed.select("_row", _original="example_id")
    fixed = fixes.with_columns(state=pl.lit(KEPT), _original=pl.col("parents").list.first()).join(
        originals, on="_original"
    )
    others = placed.join(fixed.select("_row"), on="_row", how="anti", maintain_order="left")
    return pl.concat([others, fixed.select(placed.columns)]).sort("_row").drop("_row")


def collect_generated(lake: Lake, spec: DatasetSpec, through: str) -> pl.DataFrame | None:
    """Return the candidates of all rounds up to `through`, rejected or not: example_id, content_id, content columns."""
    columns = ["example_id", "content_id", *(field.name for field in spec.content_fields)]
    rounds = [name for name in lake.rounds("candidates", spec.name) if name <= through]
    frames = [lake.read("candidates", spec.name, name).select(columns) for name in rounds]
    return pl.concat(frames) if frames else None


def collect_reviews(lake: Lake, spec: DatasetSpec, through: str) -> pl.DataFrame | None:
    """Return what people, but for recalled ones, decided in all rounds up to `through`.

    Columns: example_id, the content columns, accepted:Boolean.
    """
    frames = []
    for round_ in lake.rounds("review_outcome", spec.name):
        if round_ > through:
            continue
        people = read_review(lake, spec.name, round_).decisions.filter(pl.col("reviewer_kind") == HUMAN)
        resolved = resolve_examples(people).select("example_id", accepted=pl.col("resolution") == ACCEPT)
        columns = [field.name for field in spec.content_fields]
        rows = lake.read("filtered", spec.name, round_).select("example_id", *columns)
        frames.append(rows.join(resolved, on="example_id", how="inner", maintain_order="left"))
    return pl.concat(frames) if frames else None


def build_lineage(lake: Lake, spec: DatasetSpec, corpus: pl.DataFrame, seeds: pl.DataFrame) -> pl.DataFrame:
    """Return one row a corpus row: identity, LINEAGE_COLUMNS, license and consent or discriminators and decisions.

    Real rows: source_file, source_line, license, consent, split. Synthetic rows: discriminators (JSON name → version),
    decisions (JSON list) and run, the Dagster run that generated them. Fixes of reviewers: also edited_by, who wrote
    it, and edit_id; their decisions and run are those of the original (parents).
    """
    identity = corpus.select("example_id", "content_id", "origin", "stratum", "review_status")
    real = identity.filter(pl.col("origin") == REAL).join(
        seeds.select("example_id", "source_file", "source_line", "license", "consent", "split"), on="example_id"
    )
    frames = [real]
    for round_ in corpus.filter(pl.col("origin") == SYNTHETIC)["round"].unique().sort().to_list():
        frames.append(_round_lineage(lake, spec, identity, round_))
    return pl.concat(frames, how="diagonal_relaxed").sort("example_id")


def _round_lineage(lake: Lake, spec: DatasetSpec, identity: pl.DataFrame, round_: str) -> pl.DataFrame:
    candidates, outcome = (lake.require(name, spec.name, round_) for name in ("candidates", "review_outcome"))
    review = read_review(lake, spec.name, round_)
    decided = (
        review.decisions.group_by("example_id")
        .agg(decisions=pl.struct("reviewer", "reviewer_kind", "decision", "reason").struct.json_encode())
        .select(reviewed="example_id", decisions=pl.format("[{}]", pl.col("decisions").list.sort().list.join(", ")))
    )
    made = candidates.read().select("example_id", *LINEAGE_COLUMNS, reviewed="example_id")
    made = made.with_columns(discriminators=pl.lit(_versions(lake.require("verdicts", spec.name, round_).scan())))
    if review.fixes.height:
        editors = review.edits.select("example_id", "edit_id", reviewed="original_id", edited_by="reviewer")
        fixes = review.fixes.select("example_id", *LINEAGE_COLUMNS).join(editors, on="example_id")
        fixes = fixes.with_columns(discriminators=pl.lit(_versions(outcome.scan("edited_verdicts"))))
        made = pl.concat([made, fixes], how="diagonal")
    return (
        identity.join(made, on="example_id")
        .join(decided, on="reviewed", how="left")
        .drop("reviewed")
        .with_columns(run=pl.lit(candidates.meta.get("run"), dtype=pl.String))
    )


def _versions(verdicts: pl.LazyFrame) -> str:
    """Return the discriminators behind verdicts as JSON: name → version."""
    found = verdicts.select("discriminator", "version").unique().collect()
    return json.dumps(dict(found.iter_rows()), sort_keys=True)


def trace_example(lake: Lake, dataset: str, example_id: str) -> dict[str, Any]:
    """Return what is known of one example: row, verdicts, decisions, exemplars, corpora; StoreError if nothing.

    A fix of a reviewer comes with its edit and with its original, whose decisions it tells; an original with the edits
    that were made of it.
    """
    seeds = lake.current("seeds", dataset)
    if seeds is not None:
        found = seeds.read().filter(pl.col("example_id") == example_id)
        if not found.is_empty():
            known = {"origin": REAL, "example": found.to_dicts()[0]}
            return {**known, **_recalls(lake, dataset, found), "corpora": _corpora(lake, dataset, example_id)}
    for round_ in lake.rounds("candidates", dataset):
        candidates = lake.require("candidates", dataset, round_)
        outcome = lake.current("review_outcome", dataset, round_)
        edits = pl.DataFrame(schema=FIX_COLUMNS) if outcome is None else read_edits(outcome)
        edits = edits.filter((pl.col("example_id") == example_id) | (pl.col("original_id") == example_id))
        example, verdicts = _row(candidates.scan(), example_id), lake.require("verdicts", dataset, round_).scan()
        of_fix: dict[str, Any] = {}
        reviewed_id = example_id
        if example is None and outcome is not None and edits.height:
            reviewed_id = edits["original_id"].item()
            example, verdicts = _row(outcome.scan("edited"), example_id), outcome.scan("edited_verdicts")
            of_fix = {"original": _row(candidates.scan(), reviewed_id)}
        if example is None:
            continue
        decisions = []
        if outcome is not None:
            decisions = outcome.read("decisions").filter(pl.col("example_id") == reviewed_id).to_dicts()
        exemplars = pl.DataFrame()
        if seeds is not None:
            exemplars = seeds.read().filter(pl.col("example_id").is_in(example["prompted_by"]))
        return {
            "origin": SYNTHETIC,
            "example": example,
            **of_fix,
            "verdicts": verdicts.filter(pl.col("example_id") == example_id).collect().to_dicts(),
            "exemplars": exemplars.to_dicts(),
            "decisions": decisions,
            **({"edits": edits.to_dicts()} if edits.height else {}),
            "plan": lake.read("plan", dataset, round_, "settings").to_dicts()[0],
            "run": candidates.meta.get("run"),
            **_recalls(lake, dataset, pl.DataFrame([example])),
            "corpora": _corpora(lake, dataset, example_id),
        }
    raise StoreError(
        f"{dataset}: no example '{example_id}' among seeds and candidates; `synth sql` can search the lake"
    )


def _recalls(lake: Lake, dataset: str, row: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the recalls in force that touch a row, if any."""
    snapshot = lake.current("quarantine", dataset)
    entries = [] if snapshot is None else list(snapshot.read().iter_slices(1))
    known = pl.DataFrame(schema={"generator_id": pl.String, "prompt_id": pl.String, "prompted_by": pl.List(pl.String)})
    row = pl.concat([known, row], how="diagonal_relaxed")
    touching = [entry.to_dicts()[0] for entry in entries if match_quarantine(row, entry).any()]
    return {"recalls": touching} if touching else {}


def _row(rows: pl.LazyFrame, example_id: str) -> dict[str, Any] | None:
    return next(iter(rows.filter(pl.col("example_id") == example_id).collect().to_dicts()), None)


def _corpora(lake: Lake, dataset: str, example_id: str) -> list[str]:
    return [
        round_
        for round_ in lake.rounds("corpus", dataset)
        if lake.require("corpus", dataset, round_).scan().filter(pl.col("example_id") == example_id).collect().height
    ]


def _order(round_: str) -> tuple[int, str]:
    return len(round_), round_
