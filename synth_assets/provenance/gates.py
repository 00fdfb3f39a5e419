"""The gates: what must hold before a corpus is published or released, evaluated from the lake itself.

Here: one function a gate, and gathering what they look at. Not here: how the checks show in Dagster (defs/corpus.py).
A failed check in the orchestrator stops one run only; these run again inside the bodies of corpus and release.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from synth_assets.errors import GateError
from synth_assets.mixing.selection import describe_strata
from synth_assets.provenance.ledger import accepted_rounds, read_edits
from synth_assets.provenance.licenses import GeneratorTerms, Terms, combine_terms
from synth_assets.provenance.quarantine import drop_quarantined_seeds, match_quarantine
from synth_assets.records import REAL, RELEASABLE, SYNTHETIC, TRAIN
from synth_assets.review.decisions import ACCEPT
from synth_assets.review.fixes import FIX_COLUMNS
from synth_assets.spec import MAX_SHARE, MIN_SHARE, UNKNOWN_LICENSE, DatasetSpec
from synth_assets.store import Lake, Version

_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """What one gate found. `detail` names rows and what to do when it did not pass."""

    gate: str
    passed: bool
    detail: str
    rows: int = 0


@dataclass(frozen=True)
class RoundEvidence:
    """What one accepted round left in the lake; lineage: of its candidates and of what reviewers made of them."""

    round: str
    settings: dict[str, object]
    outcome: dict[str, object]
    sampled_from: str | None
    candidates: Version
    filtered_digest: str
    contract: Version | None
    lineage: pl.DataFrame
    members: pl.DataFrame
    edits: pl.DataFrame


@dataclass(frozen=True)
class Evidence:
    """Everything the gates look at; `seeds` are all seed rows, `rejected` those that were kept out."""

    spec: DatasetSpec
    round: str
    corpus: pl.DataFrame
    seeds: pl.DataFrame
    rounds: tuple[RoundEvidence, ...]
    current_decision: str | None
    quarantine: pl.DataFrame
    registry: tuple[GeneratorTerms, ...]


def gather_evidence(
    lake: Lake,
    spec: DatasetSpec,
    round_: str,
    corpus: pl.DataFrame,
    quarantine: pl.DataFrame,
    registry: tuple[GeneratorTerms, ...],
) -> Evidence:
    """Read from the lake what the gates need for a corpus (RELEASE_COLUMNS and the released fields)."""
    rounds = tuple(_gather_round(lake, spec, name) for name in accepted_rounds(lake, spec.name, round_))
    outcome = lake.current("review_outcome", spec.name, round_)
    return Evidence(
        spec=spec,
        round=round_,
        corpus=corpus,
        seeds=lake.read("seeds", spec.name),
        rounds=rounds,
        current_decision=outcome.read()["decision"].item() if outcome else None,
        quarantine=quarantine,
        registry=registry,
    )


def _gather_round(lake: Lake, spec: DatasetSpec, round_: str) -> RoundEvidence:
    settings = lake.read("plan", spec.name, round_, "settings").row(0, named=True)
    candidates = lake.require("candidates", spec.name, round_)
    contract = lake.partition_path("quality_contract", spec.name) / str(settings["contract_digest"])
    sample = lake.current("review_sample", spec.name, round_)
    outcome = lake.require("review_outcome", spec.name, round_)
    told = ("example_id", "generator_id", "prompt_id", "prompted_by", "trained_on", "seed")
    made = [candidates.scan().select(told)]
    edits = read_edits(outcome)
    if edits.height:
        made.append(outcome.scan("edited").select(told))
    return RoundEvidence(
        round=round_,
        settings=settings,
        outcome=outcome.read().row(0, named=True),
        sampled_from=sample.meta.get("filtered_digest") if sample else None,
        candidates=candidates,
        filtered_digest=lake.require("filtered", spec.name, round_).digest,
        contract=lake.version("quality_contract", spec.name, None, contract.name) if contract.exists() else None,
        lineage=pl.concat(made).collect(),
        members=candidates.read("members"),
        edits=edits,
    )


def evaluate_gates(evidence: Evidence, *, for_release: bool) -> list[Finding]:
    """Return one finding a gate, in a fixed order: clearance, contract, mix, sealed, quarantine, license, review."""
    findings = [gate(evidence) for gate in CORPUS_GATES.values()]
    findings.append(check_review(evidence, for_release=for_release))
    return findings


def require_gates(findings: list[Finding], what: str) -> None:
    """Raise GateError naming every gate that did not pass."""
    failed = [finding for finding in findings if not finding.passed]
    if failed:
        lines = "\n".join(f"  {finding.gate}: {finding.detail}" for finding in failed)
        raise GateError(f"{what} refused by {len(failed)} gate(s):\n{lines}")


def require_reports(spec: DatasetSpec, reports: dict[str, pl.DataFrame]) -> None:
    """Raise GateError if a report (asset name → metric frame) that the contract lets block has a metric at `act`."""
    levels = {
        "shift_report": spec.quality.shift_level,
        "collapse_report": spec.quality.collapse_level,
        "privacy_report": spec.quality.privacy_level,
        "student_report": spec.quality.student_level,
    }
    blocking = [
        f"  {name}: {row['metric']} {row['field'] or ''} {row['stratum'] or ''} = {row['value']:.4g}: {row['note']}"
        for name, metrics in reports.items()
        if levels[name] == "block"
        for row in metrics.filter(pl.col("level") == "act").to_dicts()
    ]
    if blocking:
        listed = "\n".join(blocking[:10])
        raise GateError(f"{spec.name}: the quality contract blocks this release:\n{listed}")


def check_clearance(evidence: Evidence) -> Finding:
    """Real rows are releasable, licensed and consented; synthetic rows have full lineage; nothing private leaves."""
    spec, corpus = evidence.spec, evidence.corpus
    hidden = [field.name for field in spec.fields if field.role in ("id", "sensitive") and field.name in corpus.columns]
    if hidden:
        return Finding(
            "clearance", False, f"columns that never leave are in the corpus: {', '.join(hidden)}", corpus.height
        )
    seeds = evidence.seeds.select("example_id", "disposition", "license", "consent")
    real = corpus.filter(pl.col("origin") == REAL).join(seeds, on="example_id", how="left")
    unclear = real.filter(
        (pl.col("disposition") != RELEASABLE).fill_null(True)
        | pl.col("license").fill_null("").is_in(["", UNKNOWN_LICENSE])
        | pl.col("consent").fill_null("").is_in(["", "unknown"])
    )
    if not unclear.is_empty():
        return _fail(
            "clearance", unclear, "real rows are not releasable (private, unlicensed, without consent or unknown)"
        )
    private = evidence.seeds.filter(pl.col("disposition") != RELEASABLE)["content_id"]
    copied = corpus.filter(pl.col("content_id").is_in(private.implode()))
    if not copied.is_empty():
        return _fail("clearance", copied, "rows equal a private seed")
    made = corpus.filter(pl.col("origin") == SYNTHETIC)
    lineage = pl.concat([r.lineage for r in evidence.rounds]) if evidence.rounds else None
    if lineage is not None:
        made = made.select("example_id", "round").join(lineage, on="example_id", how="left")
    bare = made.filter(
        pl.any_horizontal(pl.col("generator_id", "prompt_id", "round").is_null())
        | (pl.col("prompted_by" if lineage is not None else "seed_ids").list.len().fill_null(0) == 0)
    )
    if not bare.is_empty():
        return _fail("clearance", bare, "synthetic rows without full lineage in an accepted round")
    return Finding(
        "clearance", True, f"{real.height:,} real rows releasable, {made.height:,} synthetic rows traced", corpus.height
    )


def check_contract(evidence: Evidence) -> Finding:
    """Every round's candidates carry the digests its plan pinned, and the contract is older than the candidates."""
    for r in evidence.rounds:
        pinned = {key: r.settings[key] for key in ("seeds_digest", "contract_digest", "spec_digest")}
        carried = {key: r.candidates.meta.get(key) for key in pinned}
        if pinned != carried:
            changed = ", ".join(key for key in pinned if pinned[key] != carried[key])
            return Finding(
                "contract",
                False,
                f"{r.round}: candidates were made with another {changed} than planned; run the round again",
            )
        if r.contract is None:
            return Finding("contract", False, f"{r.round}: the pinned quality contract is not in the lake")
        if r.contract.manifest["written_at"] > r.candidates.manifest["written_at"]:
            return Finding("contract", False, f"{r.round}: the quality contract was written after the candidates")
    return Finding("contract", True, f"{len(evidence.rounds)} accepted round(s) made under their frozen contract")


def check_mix(evidence: Evidence) -> Finding:
    """Synthetic share in [0.60, 0.80] by rows and by weight; real floor met; strata without real rows declared."""
    spec, corpus = evidence.spec, evidence.corpus
    synthetic = corpus["origin"] == SYNTHETIC
    if corpus.is_empty() or not corpus["weight"].sum():
        return Finding("mix", False, "the corpus is empty: no round has been accepted yet")
    weights = corpus["weight"].to_numpy()
    by_rows = float(synthetic.sum()) / corpus.height
    by_weight = float(weights[synthetic.to_numpy()].sum() / weights.sum())
    if not (MIN_SHARE <= by_rows <= MAX_SHARE and MIN_SHARE <= by_weight <= MAX_SHARE):
        return Finding(
            "mix",
            False,
            f"synthetic share is {by_rows:.3f} by rows, {by_weight:.3f} by weight; allowed is {MIN_SHARE}–{MAX_SHARE}. "
            "Too low: generate more or lower mix.real_floor; too high: add releasable real rows",
            corpus.height,
        )
    if weights.max() > spec.mix.upsampling_cap + 1e-9:
        return Finding(
            "mix", False, f"a row weighs {weights.max():.2f}; mix.upsampling_cap is {spec.mix.upsampling_cap}"
        )
    repeated = corpus.filter(corpus["example_id"].is_duplicated() | corpus["content_id"].is_duplicated())
    if not repeated.is_empty():
        return _fail("mix", repeated, "rows stand more than once")
    strata = describe_strata(spec, corpus, drop_quarantined_seeds(evidence.seeds, evidence.quarantine))
    short = strata.filter((pl.col("real") < pl.col("floor")) & (pl.col("synthetic") + pl.col("real") > 0))
    if not short.is_empty():
        return Finding("mix", False, f"real floor not met in {', '.join(short['stratum'].head(_SHOWN))}", short.height)
    bare = strata.filter((pl.col("real") == 0) & (pl.col("synthetic") > 0) & ~pl.col("synthetic_only"))
    if not bare.is_empty():
        return Finding(
            "mix",
            False,
            f"no real row in {', '.join(bare['stratum'].head(_SHOWN))}; declare it synthetic_only",
            bare.height,
        )
    return Finding("mix", True, f"synthetic share {by_rows:.3f} by rows, {by_weight:.3f} by weight", corpus.height)


def check_sealed(evidence: Evidence) -> Finding:
    """No steering or sealed row is in the corpus, was an exemplar, or was in a generator's training set."""
    held = evidence.seeds.filter(pl.col("split") != TRAIN)
    ids, contents = held["example_id"].implode(), held["content_id"].implode()
    inside = evidence.corpus.filter(
        pl.col("example_id").is_in(ids) | ((pl.col("origin") == REAL) & pl.col("content_id").is_in(contents))
    )
    if not inside.is_empty():
        return _fail("sealed", inside, "steering or sealed rows are in the corpus")
    for r in evidence.rounds:
        members = r.members.filter(pl.col("example_id").is_in(ids))
        if not members.is_empty():
            return _fail("sealed", members, f"{r.round}: a generator was fitted on steering or sealed rows")
        prompted = r.lineage.select(pl.col("prompted_by").explode().unique().alias("example_id"))
        used = prompted.filter(pl.col("example_id").is_in(ids))
        if not used.is_empty():
            return _fail("sealed", used, f"{r.round}: steering or sealed rows were exemplars")
    return Finding("sealed", True, f"{held.height:,} steering and sealed rows untouched", held.height)


def check_quarantine(evidence: Evidence) -> Finding:
    """No recalled model, prompt, seed, example or reviewer has touched a row of the corpus, nor what it was made of."""
    corpus, recalls = evidence.corpus, evidence.quarantine
    touched = corpus.filter(match_quarantine(corpus, recalls))
    if not touched.is_empty():
        return _fail("quarantine", touched, "recalled rows are in the corpus; materialize it again")
    edits = pl.concat([pl.DataFrame(schema=FIX_COLUMNS), *(r.edits for r in evidence.rounds)])
    values = {kind: recalls.filter(pl.col("kind") == kind)["value"].implode() for kind in ("example", "reviewer")}
    recalled = edits.filter(
        pl.col("reviewer").is_in(values["reviewer"]) | pl.col("original_id").is_in(values["example"])
    )
    fixes = corpus.join(recalled, on="example_id", how="semi")
    if not fixes.is_empty():
        return _fail("quarantine", fixes, "rows that a recalled reviewer edited, or edits of recalled rows, are in it")
    return Finding("quarantine", True, f"{recalls.height} recall(s) in force, none touches a row")


def check_license(evidence: Evidence) -> Finding:
    """The terms of every seed and generator in the corpus are known and allow training."""
    terms = corpus_terms(evidence)
    if terms.blockers:
        return Finding("license", False, "; ".join(terms.blockers))
    return Finding("license", True, f"outbound license {terms.license}")


def corpus_terms(evidence: Evidence) -> Terms:
    """Return the combined Terms of the corpus: seeds that are in it or conditioned it, and its generators."""
    present = evidence.corpus.filter(pl.col("origin") == REAL).select("example_id")
    licenses = evidence.seeds.join(present, on="example_id", how="semi")["license"]
    used = set(evidence.corpus["generator_id"].drop_nulls().to_list())
    rows = [
        {"engine": r.candidates.meta.get("engine"), "model": r.candidates.meta.get("model")}
        for r in evidence.rounds
        if used & set(r.lineage["generator_id"].unique().to_list())
    ]
    generators = pl.DataFrame(rows, schema={"engine": pl.String, "model": pl.String})
    return combine_terms(licenses, generators, evidence.registry, declared=evidence.spec.source.license)


def check_review(evidence: Evidence, *, for_release: bool) -> Finding:
    """Only accepted rounds are in the corpus, each judged on its present rows; a release needs its own accepted."""
    rounds = {r.round: r for r in evidence.rounds}
    present = set(evidence.corpus["round"].drop_nulls().to_list())
    foreign = sorted(present - set(rounds))
    if foreign:
        return Finding("review", False, f"rows of rounds without a standing accepted review: {', '.join(foreign)}")
    for r in evidence.rounds:
        if r.sampled_from is not None and r.sampled_from != r.filtered_digest:
            return Finding(
                "review", False, f"{r.round}: the reviewed sample was drawn from other rows; draw and review it again"
            )
    if for_release and evidence.current_decision != ACCEPT:
        state = evidence.current_decision or "open"
        return Finding(
            "review", False, f"the review of {evidence.round} is {state}; only an accepted round is released"
        )
    automated = sum(bool(r.outcome["automated"]) for r in evidence.rounds)
    return Finding("review", True, f"{len(rounds)} accepted round(s), {automated} by automated review")


CORPUS_GATES: dict[str, Callable[[Evidence], Finding]] = {
    "clearance": check_clearance,
    "contract": check_contract,
    "mix": check_mix,
    "sealed": check_sealed,
    "quarantine": check_quarantine,
    "license": check_license,
}
GATES = (*CORPUS_GATES, "review")


def _fail(gate: str, rows: pl.DataFrame, text: str) -> Finding:
    shown = ", ".join(rows["example_id"].head(_SHOWN).to_list())
    return Finding(gate, False, f"{rows.height:,} {text}: {shown}{' …' if rows.height > _SHOWN else ''}", rows.height)
