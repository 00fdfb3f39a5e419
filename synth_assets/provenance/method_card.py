"""The method card: how a corpus was made, for people who must answer for it.

Here: the facts (JSON) and their rendering (Markdown). Not here: measuring them.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from synth_assets.monitoring.measures import REPORTS
from synth_assets.provenance.ledger import EDITED_BY_PERSON
from synth_assets.records import SYNTHETIC
from synth_assets.spec import DatasetSpec
from synth_assets.store import Lake


def collect_facts(
    lake: Lake, spec: DatasetSpec, round_: str, *, license_: str, obligations: list[str]
) -> dict[str, Any]:
    """Return the facts of a round's corpus as JSON-ready values, read from the lake alone."""
    corpus = lake.read("corpus", spec.name, round_)
    mix = lake.read("corpus", spec.name, round_, "strata")
    synthetic = corpus.filter(pl.col("origin") == SYNTHETIC)
    audit = lake.read("liability_audit", spec.name, table="report")
    seeds = lake.read("seeds", spec.name)
    rounds = sorted(synthetic["round"].unique().to_list())
    return {
        "dataset": spec.name,
        "round": round_,
        "description": spec.description,
        "license": license_,
        "obligations": obligations,
        "source": {
            "title": spec.source.title or spec.name,
            "url": spec.source.url,
            "license": spec.source.license,
            "consent_basis": spec.source.consent.basis,
            "jurisdiction": list(spec.source.jurisdiction),
            "contact": spec.source.contact,
            "collected": [str(day) for day in (spec.source.collected_from, spec.source.collected_to) if day],
        },
        "rows": corpus.height,
        "synthetic_rows": synthetic.height,
        "edited_rows": int((synthetic["review_status"] == EDITED_BY_PERSON).sum()),
        "share": synthetic.height / corpus.height if corpus.height else 0.0,
        "seeds": dict(seeds.group_by("split").len().sort("split").iter_rows()),
        "dispositions": dict(seeds.group_by("disposition").len().sort("disposition").iter_rows()),
        "pii_not_covered": audit.filter(pl.col("kind") == "not_covered")["name"].to_list(),
        "synthetic_only_strata": list(spec.strata.synthetic_only),
        "strata": mix.to_dicts(),
        "generators": sorted(synthetic["generator_id"].unique().to_list()),
        "prompts": sorted(synthetic["prompt_id"].unique().to_list()),
        "rounds": [_round_facts(lake, spec.name, name) for name in rounds],
        "contract": spec.quality.model_dump(mode="json"),
        "reports": {
            name: _headlines(version.read("metrics"))
            for name in REPORTS
            if (version := lake.current(name, spec.name, round_)) is not None
        },
    }


def _round_facts(lake: Lake, dataset: str, round_: str) -> dict[str, Any]:
    outcome = lake.read("review_outcome", dataset, round_).row(0, named=True)
    candidates = lake.require("candidates", dataset, round_)
    verdicts = lake.require("verdicts", dataset, round_).scan()
    rejected = verdicts.filter(~pl.col("passed")).group_by("discriminator", "reason").len().collect()
    return {
        "round": round_,
        "candidates": candidates.rows(),
        "rejected": rejected.sort("discriminator", "reason").to_dicts(),
        "kept": lake.read("filtered", dataset, round_).filter(pl.col("state") == "kept").height,
        "engine": candidates.meta.get("engine"),
        "model": candidates.meta.get("model"),
        "review": outcome,
    }


def _headlines(metrics: pl.DataFrame) -> list[dict[str, Any]]:
    """Return what is not plainly ok, and the metrics of the whole corpus."""
    chosen = metrics.filter((pl.col("level") != "ok") | (pl.col("stratum").fill_null("").is_in(["", "all"])))
    return chosen.head(60).to_dicts()


def render_card(facts: dict[str, Any]) -> str:
    """Return the card as Markdown with a YAML header that data set hubs understand."""
    source, share = facts["source"], facts["share"]
    lines = [
        "---",
        f"pretty_name: {facts['dataset']}",
        f"license: {facts['license']!r}",
        "annotations_creators: [machine-generated]",
        "tags: [synthetic]",
        "---",
        "",
        f"# {facts['dataset']}, {facts['round']}",
        "",
        facts["description"] or "(no description given)",
        "",
        f"{facts['rows']:,} rows, of which {facts['synthetic_rows']:,} ({share:.1%}) are synthetic. They carry "
        "`origin = synthetic` and the ids of generator, prompt and seeds; `lineage.parquet` has the rest.",
        "",
        "## Sources and rights",
        "",
        f"- Source: {source['title']} {source['url']}".rstrip(),
        f"- License of the seeds: {source['license']}; outbound: {facts['license']}",
        f"- Legal basis: {source['consent_basis']}; jurisdiction: {', '.join(source['jurisdiction']) or 'not stated'}",
        f"- Contact: {source['contact'] or 'not stated'}",
        *(f"- Obligation: {text}" for text in facts["obligations"]),
        f"- Seed rows by disposition: {_join(facts['dispositions'])}; by split: {_join(facts['seeds'])}",
        f"- Personal data the audit did NOT look for: {', '.join(facts['pii_not_covered']) or 'none'}",
        "",
        "## How the synthetic rows were made",
        "",
        f"- Generators: {', '.join(facts['generators']) or 'none'}",
        f"- Prompts or plans: {', '.join(facts['prompts']) or 'none'}",
        f"- Rows that a reviewer has edited: {facts['edited_rows']:,}",
        "",
        "| round | candidates | kept | review | decision | defects | certified |",
        "|---|---|---|---|---|---|---|",
        *(_round_line(r) for r in facts["rounds"]),
        "",
        "## Mix",
        "",
        f"Strata without real rows: {', '.join(facts['synthetic_only_strata']) or 'none'}",
        "",
        "| stratum | real | synthetic | share |",
        "|---|---|---|---|",
        *(f"| {s['stratum']} | {s['real']} | {s['synthetic']} | {s['share']:.2f} |" for s in facts["strata"]),
        "",
        "## Measured against real data",
        "",
    ]
    for name, metrics in facts["reports"].items():
        lines += [
            f"### {name}",
            "",
            "| metric | field | value | real against real | threshold | level |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_metric_line(m) for m in metrics if m["value"] is not None][:25]
        lines.append("")
    lines += [
        "## Limits",
        "",
        "The measures above compare with the real rows of this project only. A passed privacy test shows that these "
        "tests found nothing; it proves nothing more.",
        "",
    ]
    return "\n".join(lines)


def _round_line(r: dict[str, Any]) -> str:
    review = r["review"]
    kind = "automated" if review["automated"] else "people"
    certified = "yes" if review["certified"] else "no"
    return (
        f"| {r['round']} | {r['candidates']:,} | {r['kept']:,} | {kind}, {review['n_reviewed']} rows | "
        f"{review['decision']} | {review['defects']} | {certified} |"
    )


def _metric_line(m: dict[str, Any]) -> str:
    null = "" if m["null_low"] is None else f"{m['null_low']:.3g}–{m['null_high']:.3g}"
    threshold = "" if m["threshold"] is None else f"{m['threshold']:.3g}"
    return f"| {m['metric']} | {m['field'] or ''} | {m['value']:.3g} | {null} | {threshold} | {m['level']} |"


def _join(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
