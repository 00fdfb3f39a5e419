"""A small lake that SQL models are tested on: two data sets, one with an accepted and a rejected round.

Here: the tables, written by Lake.write, with counts that can be checked by hand. Not here: assertions.

    support r000   30 completions; rules reject 4, duplicates 5, labels 1 → 20 survivors, 16 kept and 4 reserve;
                   review rejects 1 of 4, one reserve row takes its place → 16 synthetic and 7 real rows in the corpus
    support r001   10 completions, rules reject 2, the review rejects the round → the corpus stays as it was
    table r000     planned and generated, not reviewed; its field `text` is a number, unlike that of support
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from synth_assets.monitoring.trends import TREND_SCHEMA
from synth_assets.records import LINEAGE_COLUMNS, RELEASE_COLUMNS
from synth_assets.store import Lake

STRATA = ("delivery", "refund")


def build_lake(root: Path) -> Lake:
    """Write the lake under a folder."""
    lake = Lake(root)
    _write_seeds(lake)
    _write_round(lake, "support", "r000", made=30, failures={"rules": 4, "duplicates": 5, "labels": 1}, kept=16)
    _write_round(lake, "support", "r001", made=10, failures={"rules": 2, "duplicates": 0, "labels": 0}, kept=8)
    _write_round(lake, "table", "r000", made=6, failures={"rules": 1}, kept=5)
    _write_reviews(lake)
    return lake


def example_ids(dataset: str, round_: str, count: int) -> list[str]:
    """Return the ids of a round's completions in request order."""
    return [f"{dataset}-{round_}-{number:03d}" for number in range(count)]


def make_candidates(dataset: str, round_: str, count: int) -> pl.DataFrame:
    """Return completions with all lineage columns; every third is of the stratum refund."""
    numbers = pl.Series(range(count), dtype=pl.Int64)
    frame = pl.DataFrame({"example_id": example_ids(dataset, round_, count)}).with_columns(
        content_id=pl.format("content-{}", "example_id"),
        origin=pl.lit("synthetic"),
        stratum=pl.when(numbers % 3 == 0).then(pl.lit("refund")).otherwise(pl.lit("delivery")),
        round=pl.lit(round_),
        request_id=pl.format("request-{}", "example_id"),
        attempt=pl.lit(0),
        prompted_by=pl.lit(["seed-00", "seed-01"]),
        generator_id=pl.lit("embedded-text-1"),
        trained_on=pl.lit("seeds-digest"),
        prompt_id=pl.lit("prompt-1"),
        parameters=pl.lit("{}"),
        seed=numbers,
        watermark_key_id=pl.lit(None, dtype=pl.String),
        parents=pl.lit([], dtype=pl.List(pl.String)),
        finish_reason=pl.lit("stop"),
        prompt_tokens=pl.lit(100),
        output_tokens=pl.lit(20),
    )
    text = numbers if dataset == "table" else pl.Series([f"message {number}" for number in numbers])
    columns = ["example_id", "content_id", "origin", "stratum", *LINEAGE_COLUMNS]
    return frame.select(columns).cast(dict(LINEAGE_COLUMNS)).with_columns(text.alias("text"))


def make_corpus(synthetic: pl.DataFrame, real: list[str]) -> pl.DataFrame:
    """Return a corpus of synthetic candidates and of real rows of the stratum delivery."""
    made = synthetic.with_columns(
        seed_ids="prompted_by", review_status=pl.lit("batch_accepted"), weight=pl.lit(1.0)
    ).select(*RELEASE_COLUMNS)
    own = pl.DataFrame({"example_id": real}).with_columns(
        content_id=pl.format("content-{}", "example_id"),
        origin=pl.lit("real"),
        stratum=pl.lit("delivery"),
        review_status=pl.lit("real"),
        weight=pl.lit(1.0),
    )
    return pl.concat([made, own], how="diagonal").select(list(RELEASE_COLUMNS)).cast(dict(RELEASE_COLUMNS))


def _write_seeds(lake: Lake) -> None:
    ids = [f"seed-{number:02d}" for number in range(20)]
    raw = pl.DataFrame({"example_id": ids}).with_columns(
        content_id=pl.format("content-{}", "example_id"), origin=pl.lit("real"), stratum=pl.lit("delivery")
    )
    unread = pl.DataFrame(
        {
            "source_file": ["a.jsonl"] * 3,
            "source_line": [1, 2, 3],
            "reason": ["bad_json", "bad_json", "own_synthetic"],
            "detail": ["", "", ""],
            "raw": ["", "", ""],
        }
    )
    splits = ["train"] * 11 + ["steering"] * 2 + ["sealed"] * 2
    dispositions = ["releasable"] * 10 + ["synthesis_only"] + ["releasable"] * 4
    rejected = pl.DataFrame(
        {
            "example_id": ids[15:],
            "reason": ["excluded", "exact_duplicate", "exact_duplicate", "near_duplicate", "near_duplicate"],
            "related_id": [None, *ids[:4]],
            "similarity": [None, 1.0, 1.0, 0.9, 0.85],
        }
    )
    kept = raw.head(15).with_columns(split=pl.Series(splits), disposition=pl.Series(dispositions))
    lake.write("raw_seeds", "support", None, {"rows": raw, "rejected": unread})
    lake.write("seeds", "support", None, {"rows": kept, "rejected": rejected})


def _write_round(lake: Lake, dataset: str, round_: str, *, made: int, failures: dict[str, int], kept: int) -> None:
    candidates = make_candidates(dataset, round_, made)
    survivors, verdicts = candidates, []
    for name, failing in failures.items():
        passed = pl.int_range(survivors.height) >= failing
        verdicts.append(
            survivors.select("example_id").with_columns(
                discriminator=pl.lit(name),
                version=pl.lit("1"),
                passed=passed,
                score=pl.lit(0.5),
                threshold=pl.lit(0.5),
                reason=pl.when(passed).then(pl.lit("")).otherwise(pl.lit(name)),
                evidence=pl.lit(""),
            )
        )
        survivors = survivors.slice(failing)
    state = pl.when(pl.int_range(survivors.height) < kept).then(pl.lit("kept")).otherwise(pl.lit("reserve"))
    half = made // 2
    usage = pl.DataFrame(
        {
            "wave": [0, 1],
            "requests": [half, made - half],
            "completions": [half, made - half],
            "accepted": [survivors.height, 0],
            "prompt_tokens": [100 * half, 100 * (made - half)],
            "output_tokens": [20 * half, 20 * (made - half)],
            "seconds": [10.0, 26.0],
            "generator_id": ["embedded-text-1"] * 2,
        }
    )
    plan = pl.DataFrame(
        {
            "stratum": list(STRATA),
            "real_train": [11, 0],
            "releasable": [10, 0],
            "target": [12, 4],
            "weight": [0.75, 0.25],
            "binding": [False, False],
        }
    )
    lake.write("plan", dataset, round_, {"rows": plan, "settings": pl.DataFrame({"engine": ["embedded"]})})
    lake.write("candidates", dataset, round_, candidates, ledger={"usage": usage})
    lake.write("verdicts", dataset, round_, pl.concat(verdicts))
    lake.write("filtered", dataset, round_, survivors.with_columns(state=state, quality=pl.lit(0.5)))


def _write_reviews(lake: Lake) -> None:
    first = lake.read("filtered", "support", "r000")
    sample = first["example_id"].head(4).to_list()
    write_review(lake, "r000", sample, resolutions=["reject", "accept", "accept", "accept"], decision="accept")
    accepted = first.filter(pl.col("example_id") != sample[0]).head(16)
    corpus = make_corpus(accepted, [f"seed-{number:02d}" for number in range(7)])
    second = lake.read("filtered", "support", "r001")["example_id"].head(4).to_list()
    write_review(lake, "r001", second, resolutions=["reject", "reject", "reject", "accept"], decision="reject")
    for round_ in ("r000", "r001"):
        lake.write("corpus", "support", round_, corpus)
    lake.write("trends", "support", None, make_trends())


def write_review(lake: Lake, round_: str, sample: list[str], *, resolutions: list[str], decision: str) -> None:
    """Write review_sample and review_outcome of a round of support: one human decision on each row of the sample."""
    defects = resolutions.count("reject")
    count = len(sample)
    outcome = pl.DataFrame(
        {
            "decision": [decision],
            "n_planned": [count],
            "n_reviewed": [count],
            "n_open": [0],
            "defects": [defects],
            "defect_rate": [defects / count],
            "bound_low": [0.0],
            "bound_high": [0.9],
            "certified": [False],
            "automated": [False],
            "agreement": pl.Series([None], dtype=pl.Float64),
            "reviewer_minutes": [3.0 * count],
            "note": [""],
        }
    )
    decisions = pl.DataFrame(
        {
            "example_id": sample,
            "reviewer": ["ada"] * count,
            "reviewer_kind": ["human"] * count,
            "decision": resolutions,
            "reason": [""] * count,
            "item_version": [f"content-{example_id}" for example_id in sample],
        }
    )
    resolved = pl.DataFrame({"example_id": sample, "resolution": resolutions})
    lake.write("review_sample", "support", round_, pl.DataFrame({"example_id": sample, "part": ["random"] * count}))
    lake.write("review_outcome", "support", round_, {"rows": outcome, "decisions": decisions, "resolutions": resolved})


def make_trends() -> pl.DataFrame:
    """Return two rounds of headline numbers: one that grows into its bar, one of a field."""
    rows = [
        {"round": "r000", "report": "shift_report", "metric": "psi", "field": "text", "value": 0.10, "level": "ok"},
        {"round": "r001", "report": "shift_report", "metric": "psi", "field": "text", "value": 0.16, "level": "watch"},
        {
            "round": "r000",
            "report": "collapse_report",
            "metric": "distinct_2",
            "field": "",
            "value": 0.5,
            "level": "ok",
        },
        {
            "round": "r001",
            "report": "collapse_report",
            "metric": "distinct_2",
            "field": "",
            "value": 0.2,
            "level": "act",
        },
    ]
    return pl.DataFrame(rows, schema=TREND_SCHEMA)
