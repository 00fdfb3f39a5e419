"""The method card and the release.

Here: the shell. Not here: what a card says, what a release holds (synth_assets/provenance).
"""

import json

import dagster as dg
import polars as pl

from synth_assets.defs.corpus import read_evidence
from synth_assets.defs.partitions import DATASET_ROUNDS, dataset_of, round_of
from synth_assets.defs.resources import OWNERS, Platform, commit, pins
from synth_assets.errors import GateError
from synth_assets.monitoring.measures import REPORTS
from synth_assets.provenance.gates import corpus_terms, evaluate_gates, require_gates, require_reports
from synth_assets.provenance.ledger import build_lineage
from synth_assets.provenance.method_card import collect_facts, render_card
from synth_assets.provenance.recalled import confirm_release
from synth_assets.provenance.release import write_release

GROUP = "provenance"
_COMMON = {"partitions_def": DATASET_ROUNDS, "group_name": GROUP, "owners": OWNERS}


@dg.asset(**_COMMON, kinds={"markdown"}, deps=["corpus", *REPORTS], code_version="1")
def method_card(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """How this corpus was made, for users, regulators and auditors: facts as JSON and as a readable card."""
    dataset, round_ = dataset_of(context), round_of(context)
    terms = corpus_terms(read_evidence(context, platform))
    facts = collect_facts(
        platform.lake, platform.spec(dataset), round_, license_=terms.license, obligations=list(terms.obligations)
    )
    card = render_card(facts)
    table = pl.DataFrame({"card": [card], "facts": [json.dumps(facts, sort_keys=True, default=str)]})
    meta = pins(corpus=platform.lake.require("corpus", dataset, round_))
    return commit(context, platform, "method_card", table, meta=meta, metadata={"card": dg.MetadataValue.md(card)})


@dg.asset(
    **_COMMON, kinds={"parquet"}, deps=["corpus", "method_card", "review_outcome", "quarantine"], code_version="1"
)
def release(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Immutable export of an accepted round's corpus with lineage, card and manifest; every gate is evaluated anew."""
    dataset, round_ = dataset_of(context), round_of(context)
    lake, spec = platform.lake, platform.spec(dataset)
    require_gates(evaluate_gates(read_evidence(context, platform), for_release=True), f"release {dataset}|{round_}")
    corpus, card = lake.require("corpus", dataset, round_), lake.require("method_card", dataset, round_)
    facts = json.loads(card.read()["facts"].item())
    if card.meta["corpus_digest"] != corpus.digest:
        raise GateError(f"release {dataset}|{round_}: the method card describes another corpus; materialize it again")
    reports = {name: lake.require(name, dataset, round_) for name in REPORTS}
    require_reports(spec, {name: version.read("metrics") for name, version in reports.items()})
    rows = corpus.read()
    pinned = pins(corpus=corpus, method_card=card, seeds=lake.current("seeds", dataset), **reports)
    written = write_release(
        platform.project.releases,
        dataset,
        round_,
        rows,
        build_lineage(lake, spec, rows, lake.read("seeds", dataset)),
        card=card.read()["card"].item(),
        facts=facts,
        digest=corpus.digest,
        pins=pinned,
    )
    confirm_release(platform.project.releases, written, platform.quarantine(dataset))
    manifest = written.manifest
    record = {key: manifest[key] for key in ("version", "rows", "real_rows", "synthetic_rows", "share")}
    return commit(
        context,
        platform,
        "release",
        {"manifest": pl.DataFrame([{**record, "digest": corpus.digest, "manifest_sha256": written.fingerprint}])},
        meta=pinned,
        metadata={**record, "folder": dg.MetadataValue.path(str(written.path))},
    )


@dg.asset_check(
    asset="release", partitions_def=DATASET_ROUNDS, description="Every file has the checksum of the manifest."
)
def release_intact(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    from synth_assets.errors import StoreError
    from synth_assets.provenance.release import find_release

    dataset = dataset_of(context)
    record = platform.lake.read("release", dataset, round_of(context), "manifest").row(0, named=True)
    version = record["version"]
    try:
        find_release(platform.project.releases, dataset, version).verify(record["manifest_sha256"])
    except StoreError as error:
        return dg.AssetCheckResult(passed=False, metadata={"problem": str(error)})
    return dg.AssetCheckResult(passed=True, metadata={"version": version})


ASSETS = [method_card, release]
CHECKS = [release_intact]
