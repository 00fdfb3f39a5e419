"""Seeds-side assets: raw_seeds, liability_audit, seeds, quality_contract (partitioned by data set), and their checks.

Here: the shell. Not here: reading, auditing, splitting (synth_assets/seeds).
"""

import dagster as dg
import polars as pl

from synth_assets.defs.partitions import DATASETS, dataset_of
from synth_assets.defs.resources import DATA_KINDS, OWNERS, Platform, commit, pins
from synth_assets.provenance.quarantine import drop_quarantined_seeds
from synth_assets.provenance.release import returned_rows
from synth_assets.records import add_real_ids
from synth_assets.seeds.contract import freeze_contract
from synth_assets.seeds.expectations import failed_expectations, run_expectations
from synth_assets.seeds.liabilities import audit_liabilities
from synth_assets.seeds.reading import fingerprint, read_seeds
from synth_assets.seeds.splits import split_seeds

GROUP = "seeds"
_COMMON = {"partitions_def": DATASETS, "group_name": GROUP, "owners": OWNERS, "kinds": DATA_KINDS}


@dg.asset(**_COMMON, code_version="1")
def raw_seeds(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Files of data/seeds/<dataset>/ as typed records; bad rows and our own output kept apart with a reason."""
    dataset = dataset_of(context)
    spec, folder = platform.spec(dataset), platform.project.seed_folder(dataset)
    reading = read_seeds(spec, folder)
    rows = add_real_ids(reading.rows, spec)
    own = returned_rows(platform.project.releases, spec, rows)
    rejected = pl.concat(
        [
            reading.rejected,
            rows.filter(own).select(
                "source_file",
                "source_line",
                reason=pl.lit("own_synthetic"),
                detail=pl.lit("equals a synthetic row that this project released"),
                raw=pl.col("content_id"),
            ),
        ]
    )
    return commit(
        context,
        platform,
        "raw_seeds",
        {
            "rows": rows.filter(~own),
            "rejected": rejected,
            "files": reading.files,
            "source": pl.DataFrame({"fingerprint": [fingerprint(spec, folder)]}),
        },
        metadata={"rejected": rejected.height, "files": reading.files.height},
    )


@dg.asset(**_COMMON, deps=[raw_seeds], code_version="1")
def liability_audit(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Per row: personal data, license, consent → releasable, synthesis_only or excluded; what was not looked for."""
    dataset = dataset_of(context)
    audit = audit_liabilities(platform.lake.read("raw_seeds", dataset), platform.spec(dataset))
    counts = dict(audit.rows.group_by("disposition").len().iter_rows())
    return commit(context, platform, "liability_audit", {"rows": audit.rows, "report": audit.report}, metadata=counts)


@dg.asset(**_COMMON, deps=[raw_seeds, liability_audit, "quarantine"], code_version="1")
def seeds(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Deduplicated real rows in three sticky splits: train, steering, sealed. A row keeps its split for good."""
    dataset = dataset_of(context)
    lake, spec = platform.lake, platform.spec(dataset)
    raw = lake.read("raw_seeds", dataset)
    usable = drop_quarantined_seeds(raw, platform.quarantine(dataset))
    recalled = raw.join(usable, on="example_id", how="anti")
    audit = lake.read("liability_audit", dataset).filter(pl.col("example_id").is_in(usable["example_id"].implode()))
    previous = lake.current("seeds", dataset)
    split = split_seeds(usable, audit, spec, previous.read() if previous else None)
    rejected = pl.concat(
        [
            split.rejected,
            recalled.select(
                "example_id",
                reason=pl.lit("quarantined"),
                related_id=pl.lit(None, dtype=pl.String),
                similarity=pl.lit(None, dtype=pl.Float64),
            ),
        ],
        how="vertical_relaxed",
    )
    counts = dict(split.rows.group_by("split").len().iter_rows())
    return commit(
        context,
        platform,
        "seeds",
        {"rows": split.rows, "rejected": rejected},
        meta=pins(raw_seeds=lake.current("raw_seeds", dataset)),
        metadata={**counts, "rejected": rejected.height, "strata": split.rows["stratum"].n_unique()},
    )


@dg.asset(**_COMMON, deps=[seeds], code_version="1")
def quality_contract(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """The thresholds that "good" means, frozen and hashed before the first candidate exists."""
    return commit(context, platform, "quality_contract", freeze_contract(platform.spec(dataset_of(context))))


@dg.asset_check(asset="raw_seeds", partitions_def=DATASETS, description="Every row of every file was read or rejected.")
def raw_seeds_conserved(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    """rows + rejected = what the files held (the file ledger counts rows and rejects per file)."""
    raw = platform.lake.require("raw_seeds", dataset_of(context))
    files = raw.read("files")
    counted = int(files["rows"].sum()) + int(files["rejected"].sum())
    kept, rejected = raw.rows(), raw.rows("rejected")
    return dg.AssetCheckResult(
        passed=counted == kept + rejected, metadata={"in_files": counted, "kept": kept, "rejected": rejected}
    )


@dg.asset_check(
    asset="seeds", partitions_def=DATASETS, description="Rows in = rows out + rejected, each with a reason."
)
def seeds_conserved(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    dataset = dataset_of(context)
    current = platform.lake.require("seeds", dataset)
    before = platform.lake.require("raw_seeds", dataset).rows()
    kept, rejected = current.rows(), current.rows("rejected")
    return dg.AssetCheckResult(
        passed=before == kept + rejected, metadata={"in": before, "kept": kept, "rejected": rejected}
    )


@dg.asset_check(
    asset="seeds", partitions_def=DATASETS, description="Splits are disjoint and no cluster straddles them."
)
def seeds_splits_disjoint(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    rows = platform.lake.read("seeds", dataset_of(context))
    straddling = rows.group_by("cluster").agg(n=pl.col("split").n_unique()).filter(pl.col("n") > 1).height
    repeated = rows.height - rows["example_id"].n_unique()
    return dg.AssetCheckResult(
        passed=straddling == 0 and repeated == 0, metadata={"straddling": straddling, "repeated": repeated}
    )


@dg.asset_check(
    asset="seeds", partitions_def=DATASETS, description="Great Expectations suite generated from the record's schema."
)
def seeds_expectations(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    dataset = dataset_of(context)
    results = run_expectations(platform.lake.read("seeds", dataset), platform.spec(dataset))
    failed = failed_expectations(results)
    return dg.AssetCheckResult(
        passed=failed.is_empty(),
        metadata={"expectations": results.height, "failed": dg.MetadataValue.json(failed.to_dicts())},
    )


ASSETS = [raw_seeds, liability_audit, seeds, quality_contract]
CHECKS = [raw_seeds_conserved, seeds_conserved, seeds_splits_disjoint, seeds_expectations]
