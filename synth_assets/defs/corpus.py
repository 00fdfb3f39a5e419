"""The quarantine snapshot and the corpus, with its gates as checks.

Here: the shell. Not here: selection (synth_assets/mixing), the gates' rules (synth_assets/provenance/gates.py).
"""

import dagster as dg
import polars as pl

from synth_assets.defs.partitions import DATASET_ROUNDS, DATASETS, dataset_of, round_of
from synth_assets.defs.resources import DATA_KINDS, OWNERS, Platform, commit, pins, plot_markdown
from synth_assets.mixing.selection import describe_strata, mix_corpus
from synth_assets.monitoring.plots import plot_strata
from synth_assets.provenance.gates import (
    CORPUS_GATES,
    Evidence,
    check_review,
    evaluate_gates,
    gather_evidence,
    require_gates,
)
from synth_assets.provenance.ledger import accepted_rounds, collect_accepted
from synth_assets.provenance.licenses import load_generators
from synth_assets.provenance.quarantine import drop_quarantined, drop_quarantined_seeds
from synth_assets.provenance.recalled import note_recalled
from synth_assets.records import RELEASE_COLUMNS, SYNTHETIC, polars_schema
from synth_assets.seeds.expectations import failed_expectations, run_expectations

GROUP = "corpus"


@dg.asset(partitions_def=DATASETS, group_name="provenance", owners=OWNERS, kinds=DATA_KINDS)
def quarantine(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Snapshot of the recalls in force: models, prompts, seeds, examples and reviewers. Nothing else reads ops.db.

    Which releases hold rows that they touch is noted beside the releases.
    """
    dataset = dataset_of(context)
    active = platform.decisions.quarantined(dataset)
    touched = note_recalled(platform.project.releases, dataset, active)
    told = {"releases_touched": "\n".join(f"{version}: {one}" for version, one in touched.items()) or "none"}
    return commit(context, platform, "quarantine", active, metadata={"recalls": active.height, **told})


@dg.asset(
    partitions_def=DATASET_ROUNDS,
    group_name=GROUP,
    owners=OWNERS,
    kinds=DATA_KINDS,
    deps=["seeds", "filtered", "review_outcome", "quarantine"],
    code_version="1",
)
def corpus(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """20–40 % real and 60–80 % synthetic rows of all accepted rounds so far; refuses to be published past a gate.

    After a rejected round it equals the one before; while no round was ever accepted it is empty.
    """
    dataset, round_ = dataset_of(context), round_of(context)
    lake, spec = platform.lake, platform.spec(dataset)
    recalled = platform.quarantine(dataset)
    seeds_version = lake.require("seeds", dataset)
    seeds = drop_quarantined_seeds(seeds_version.read(), recalled)
    accepted = collect_accepted(lake, spec, round_)
    if accepted is None:
        context.log.warning("no round has been accepted yet: the corpus stays empty")
        rows = pl.DataFrame(schema={**RELEASE_COLUMNS, **polars_schema(spec.released_fields)})
        strata = describe_strata(spec, rows, seeds)
    else:
        usable = drop_quarantined(accepted, recalled)
        mixed = mix_corpus(spec, seeds, usable.join(seeds, on="content_id", how="anti"))
        rows, strata = mixed.rows, mixed.strata
        evidence = gather_evidence(
            lake, spec, round_, rows, recalled, load_generators(platform.project.generators_file)
        )
        require_gates(evaluate_gates(evidence, for_release=False), f"corpus {dataset}|{round_}")
    synthetic = rows.filter(pl.col("origin") == SYNTHETIC)
    return commit(
        context,
        platform,
        "corpus",
        {"rows": rows, "strata": strata},
        meta=pins(seeds=seeds_version, quarantine=lake.current("quarantine", dataset)),
        metadata={
            "synthetic_rows": synthetic.height,
            "share": synthetic.height / max(rows.height, 1),
            "rounds": ", ".join(accepted_rounds(lake, dataset, round_)) or "none",
            "strata": plot_markdown("strata", plot_strata(strata)),
        },
    )


def read_evidence(context: dg.AssetCheckExecutionContext | dg.AssetExecutionContext, platform: Platform) -> Evidence:
    """Gather what the gates look at for the published corpus of the run's partition."""
    dataset, round_ = dataset_of(context), round_of(context)
    return gather_evidence(
        platform.lake,
        platform.spec(dataset),
        round_,
        platform.lake.read("corpus", dataset, round_),
        platform.quarantine(dataset),
        load_generators(platform.project.generators_file),
    )


@dg.multi_asset_check(
    name="gates",
    specs=[
        dg.AssetCheckSpec(
            f"gate_{name}",
            asset="corpus",
            partitions_def=DATASET_ROUNDS,
            blocking=True,
            description=(gate.__doc__ or "").split("\n")[0],
        )
        for name, gate in {**CORPUS_GATES, "review": check_review}.items()
    ],
)
def corpus_gates(context: dg.AssetCheckExecutionContext, platform: Platform):
    """Show what each gate says of the published corpus; the corpus and release bodies enforce the same functions."""
    evidence = read_evidence(context, platform)
    nothing_yet = evidence.corpus.is_empty() and not evidence.rounds
    for finding in evaluate_gates(evidence, for_release=False):
        yield dg.AssetCheckResult(
            asset_key="corpus",
            check_name=f"gate_{finding.gate}",
            passed=finding.passed or nothing_yet,
            metadata={"finding": finding.detail, "rows": finding.rows},
        )


@dg.asset_check(
    asset="corpus",
    partitions_def=DATASET_ROUNDS,
    description="Great Expectations suite generated from the record's schema.",
)
def corpus_expectations(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    dataset = dataset_of(context)
    rows = platform.lake.read("corpus", dataset, round_of(context))
    results = run_expectations(rows, platform.spec(dataset))
    failed = failed_expectations(results)
    return dg.AssetCheckResult(
        passed=failed.is_empty(),
        metadata={"expectations": results.height, "failed": dg.MetadataValue.json(failed.to_dicts())},
    )


ASSETS = [quarantine, corpus]
CHECKS = [corpus_gates, corpus_expectations]
