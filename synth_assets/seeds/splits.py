"""From audited rows to seeds: copies out, near-duplicates in clusters, clusters in three sticky splits.

Here: which real row is kept, its cluster and its split. Not here: dispositions (seeds/liabilities.py), the measure of
similarity (similarity/).

The rules, in order:

1. Rows of equal content become one. Content is equal when the other fields are equal and the text is equal but for
   case, spaces and Unicode form (without free text: the same content_id). The strictest disposition of the copies
   holds: what one source keeps private does not become free because it also lies somewhere else, for once in a corpus
   the two cannot be told apart. An excluded copy (consent withdrawn) excludes them all.
2. Of rows that differ in text alone, by less than NEAR_COPY allows in every text field, one is kept; but no row is
   dropped for one under a laxer disposition, as the leakage gate only protects what it can see.
3. Rows of near-equal text (spec.quality.near_duplicate_jaccard) are one cluster, whatever their labels, and a cluster
   lies in one split: otherwise sealed rows would be known from training. Text that many rows share word for word (a
   system prompt, "no remarks") ties nothing together. A row without free text is its own cluster.
4. A row of the previous version keeps its split. New rows follow their cluster; a new row that ties old rows of two
   splits together is rejected. New clusters go where their strata lack most rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from synth_assets.errors import SeedError
from synth_assets.records import (
    ALL_STRATUM,
    EXCLUDED,
    RELEASABLE,
    SEALED,
    SPLITS,
    STEERING,
    SYNTHESIS_ONLY,
    TRAIN,
    canonical_expression,
    derive_uniforms,
    messages_text,
)
from synth_assets.similarity import (
    comparison_texts,
    connected_components,
    find_stock_parts,
    keep_first,
    measure_jaccard,
    near_duplicate_pairs,
    normalize_text,
)
from synth_assets.spec import DatasetSpec

FRACTIONS: dict[str, float] = {TRAIN: 0.70, STEERING: 0.15, SEALED: 0.15}
"""Share of the rows of a stratum that each split is to hold, in the order of records.SPLITS."""
NEAR_COPY = 0.95
"""Jaccard similarity from which the second of two rows teaches nothing and is dropped."""
LEAST_ROWS = 10
"""Fewest rows that can be split."""
REJECTED_SCHEMA = {"example_id": pl.String, "reason": pl.String, "related_id": pl.String, "similarity": pl.Float64}

_STRICTNESS = {RELEASABLE: 0, SYNTHESIS_ONLY: 1, EXCLUDED: 2}
_NEW = -1


@dataclass(frozen=True)
class SeedSplit:
    """rows: the raw columns (all but is_private) + disposition, split, cluster; every example_id once, in id order.

    rejected: example_id, reason (excluded | exact_duplicate | near_duplicate | split_bridge), related_id (the row it
    repeats; of a bridge, an old row in the split it may not join; null where there is none), similarity.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame


def split_seeds(
    rows: pl.DataFrame, audit: pl.DataFrame, spec: DatasetSpec, previous: pl.DataFrame | None = None
) -> SeedSplit:
    """Return the seeds and the rejected rows: together every row once, whatever the order of the rows.

    `rows` are raw rows with ids; `audit` has example_id and disposition of each; `previous` has example_id and split
    of the last version's seeds. SeedError if fewer than LEAST_ROWS rows remain or a row was not audited.

    Splits are exact to the row where clusters are small: a stratum of 1 or 2 rows goes to train, of 3 or 4 it also
    has one sealed or steering row (in turn, over the strata), from 5 on all three splits.
    """
    prepared = _prepare(rows, audit, previous)
    frame, copies = _reject_copies(prepared, spec)
    pairs = _find_near_pairs(frame, spec)
    near_copies = _find_near_copies(frame, pairs, spec)
    pairs = _without(pairs, near_copies)
    bridges = _find_bridges(frame["old_split"].to_numpy(), pairs)
    pairs = _without(pairs, bridges)
    rejected = pl.concat(
        [copies, _rejections(frame, near_copies, "near_duplicate"), _rejections(frame, bridges, "split_bridge")]
    )
    _check_enough(rows.height, rejected)
    one, two = frame["old_split"].gather(pairs["left"]), frame["old_split"].gather(pairs["right"])
    ties = pairs.filter((one == two) | (one == _NEW) | (two == _NEW))  # old rows stay where they are, near or not
    clusters = connected_components(frame.height, ties)
    frame = frame.with_columns(cluster=frame["example_id"].gather(clusters))
    frame = frame.join(rejected, on="example_id", how="anti", maintain_order="left")
    splits = _assign_splits(frame, spec)
    order = [*(name for name in prepared.columns if name not in ("old_split", "strictness")), "split", "cluster"]
    return SeedSplit(frame.with_columns(splits).select(order), rejected.sort("example_id"))


def _prepare(rows: pl.DataFrame, audit: pl.DataFrame, previous: pl.DataFrame | None) -> pl.DataFrame:
    """Return the rows in id order with disposition, strictness:Int8 and old_split:Int8 (_NEW for new rows)."""
    old = pl.DataFrame(schema={"example_id": pl.String, "split": pl.String}) if previous is None else previous
    places = {name: place for place, name in enumerate(SPLITS)}
    frame = (
        rows.drop("is_private", strict=False)
        .join(audit.select("example_id", "disposition"), on="example_id", how="left")
        .join(old.select("example_id", old_split="split"), on="example_id", how="left")
        .with_columns(
            strictness=pl.col("disposition").replace_strict(_STRICTNESS, default=None, return_dtype=pl.Int8),
            old_split=pl.col("old_split").replace_strict(places, default=_NEW, return_dtype=pl.Int8),
        )
        .sort("example_id")
    )
    unknown = frame.filter(pl.col("strictness").is_null())
    if unknown.height:
        raise SeedError(
            f"seeds: {unknown.height:,} of {frame.height:,} rows have no disposition, the first is "
            f"{unknown['example_id'][0]}; run the liability audit over these rows first"
        )
    return frame


# ---- copies


def _reject_copies(frame: pl.DataFrame, spec: DatasetSpec) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keep one row of equal content, under the strictest disposition of its copies; return it and the rejected."""
    ranked = (
        frame.with_columns(key=_content_keys(frame, spec))
        .sort(pl.col("old_split") == _NEW, "strictness", "example_id")
        .with_columns(
            strictest=pl.col("strictness").max().over("key"),
            first=pl.col("example_id").first().over("key"),
            excluded=pl.col("example_id").filter(pl.col("disposition") == EXCLUDED).first().over("key"),
        )
    )
    is_copy = pl.col("example_id") != pl.col("first")
    lost = pl.col("excluded").is_not_null()
    by_itself = pl.col("disposition") == EXCLUDED
    rejected = ranked.filter(lost | is_copy).select(
        "example_id",
        reason=pl.when(lost).then(pl.lit("excluded")).otherwise(pl.lit("exact_duplicate")),
        related_id=pl.when(by_itself).then(None).when(lost).then("excluded").otherwise("first"),
        similarity=pl.when(by_itself).then(None).otherwise(1.0),
    )
    names = {strictness: name for name, strictness in _STRICTNESS.items()}
    kept = ranked.filter(~(lost | is_copy)).with_columns(
        strictness="strictest", disposition=pl.col("strictest").replace_strict(names, return_dtype=pl.String)
    )
    return kept.select(frame.columns).sort("example_id"), rejected


def _content_keys(frame: pl.DataFrame, spec: DatasetSpec) -> pl.Series:
    """Return what rows of equal content have in common: the canonical content with its text normalized."""
    if not spec.text_fields:
        return frame["content_id"]
    normalized = []
    for field in spec.text_fields:
        text = pl.col(field.name)
        if field.type == "messages":
            message = pl.element().struct
            text = text.list.eval(pl.struct(message.field("role"), normalize_text(message.field("content"))))
        else:
            text = normalize_text(text)
        normalized.append(text.alias(field.name))
    return frame.with_columns(normalized).select(canonical_expression(spec.fields).alias("key")).to_series()


# ---- near-duplicates


def _find_near_pairs(frame: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Return all pairs of rows of near-equal text: left < right (row numbers), jaccard."""
    texts = comparison_texts(frame, spec, find_stock_parts(frame, spec))
    members = pl.DataFrame({"text": texts}).with_row_index("row").drop_nulls()
    distinct = members.select(pl.col("text").unique(maintain_order=True))
    numbered = members.join(distinct.with_row_index("number"), on="text").select("row", "number")
    alike = near_duplicate_pairs(distinct["text"], threshold=spec.quality.near_duplicate_jaccard)
    same = distinct.select(left=pl.int_range(pl.len(), dtype=pl.UInt32)).with_columns(right="left", jaccard=pl.lit(1.0))
    pairs = (
        pl.concat([alike, same])
        .join(numbered.rename({"row": "one", "number": "left"}), on="left")
        .join(numbered.rename({"row": "two", "number": "right"}), on="right")
        .filter((pl.col("left") != pl.col("right")) | (pl.col("one") < pl.col("two")))
    )
    return pairs.select(
        left=pl.min_horizontal("one", "two"), right=pl.max_horizontal("one", "two"), jaccard="jaccard"
    ).sort("left", "right")


def _find_near_copies(frame: pl.DataFrame, pairs: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Return a pair (left: kept, right: to drop, jaccard) for every new row that all but repeats a kept one."""
    least = max(NEAR_COPY, spec.quality.near_duplicate_jaccard)
    close = pairs.filter(pl.col("jaccard") >= least)
    told = frame.select(_all_but_text(spec)).to_series()
    close = close.filter(told.gather(close["left"]) == told.gather(close["right"]))
    for field in spec.text_fields:
        column = messages_text(pl.col(field.name)) if field.type == "messages" else pl.col(field.name)
        text = frame.select(column).to_series()
        measured = pl.Series(measure_jaccard(text.gather(close["left"]), text.gather(close["right"])))
        close = close.with_columns(jaccard=pl.min_horizontal("jaccard", measured)).filter(pl.col("jaccard") >= least)
    # rows are kept in this order: old before new, lax before strict, then by id
    row_of = frame.select(pl.arg_sort_by(pl.col("old_split") == _NEW, "strictness", "example_id")).to_series()
    rank_of = row_of.arg_sort()
    one, two = rank_of.gather(close["left"]).rename("one"), rank_of.gather(close["right"]).rename("two")
    ranked = close.select(left=pl.min_horizontal(one, two), right=pl.max_horizontal(one, two), jaccard="jaccard")
    first, second = frame[row_of.gather(ranked["left"])], frame[row_of.gather(ranked["right"])]
    may_go = (second["old_split"] == _NEW) & (first["strictness"] >= second["strictness"])
    found = keep_first(ranked.filter(may_go))
    return found.with_columns(left=row_of.gather(found["left"]), right=row_of.gather(found["right"]))


def _all_but_text(spec: DatasetSpec) -> pl.Expr:
    """Return what must be equal in near copies as one String: stratum, the other fields, the roles of messages."""
    labels = [field for field in spec.content_fields if not field.is_free_text]
    roles = [
        pl.col(field.name).list.eval(pl.element().struct.field("role")).list.join(",")
        for field in spec.text_fields
        if field.type == "messages"
    ]
    told = [pl.col("stratum"), *([canonical_expression(labels)] if labels else []), *roles]
    return pl.concat_str([part.fill_null("") for part in told], separator="\n")


def _without(pairs: pl.DataFrame, dropped: pl.DataFrame) -> pl.DataFrame:
    gone = dropped["right"].implode()
    return pairs.filter(~pl.col("left").is_in(gone) & ~pl.col("right").is_in(gone))


def _rejections(frame: pl.DataFrame, dropped: pl.DataFrame, reason: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "example_id": frame["example_id"].gather(dropped["right"]),
            "reason": pl.Series([reason] * dropped.height, dtype=pl.String),
            "related_id": frame["example_id"].gather(dropped["left"]),
            "similarity": dropped["jaccard"],
        },
        schema=REJECTED_SCHEMA,
    )


def _find_bridges(old_split: np.ndarray, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return (left: old row, right: new row to drop, jaccard) for every new row that ties two splits together.

    The strongest links are followed first (Kruskal's spanning forest), so a row joins the split it resembles most,
    and of a chain between two splits only the row at its weakest link goes. Row by row, as every link rests on those
    before it; only groups that touch two splits get here.
    """
    contested = _contested_pairs(old_split, pairs).sort(["jaccard", "left", "right"], descending=[True, False, False])
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        while parent.setdefault(row, row) != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    anchor: dict[int, int] = {}  # root → an old row of its tree
    conflicts = []
    for left, right, jaccard in contested.iter_rows():
        roots = [root(left), root(right)]
        for row, top in zip((left, right), roots, strict=True):
            if old_split[row] != _NEW:
                anchor.setdefault(top, row)
        if roots[0] == roots[1]:
            continue
        anchors = [anchor[top] for top in roots if top in anchor]
        if len({old_split[row] for row in anchors}) > 1:
            conflicts.append((left, right, jaccard))
            continue
        parent[roots[1]] = roots[0]
        if anchors:
            anchor[roots[0]] = anchors[0]
    dropped: dict[int, tuple[int, float]] = {}
    for left, right, jaccard in conflicts:
        if left in dropped or right in dropped:
            continue
        bridge, other = (right, left) if old_split[right] == _NEW else (left, right)
        if old_split[bridge] == _NEW:
            dropped[bridge] = (other if old_split[other] != _NEW else anchor[root(other)], jaccard)
    return pl.DataFrame(
        {
            "left": [related for related, _ in dropped.values()],
            "right": list(dropped),
            "jaccard": [jaccard for _, jaccard in dropped.values()],
        },
        schema={"left": pl.UInt32, "right": pl.UInt32, "jaccard": pl.Float64},
    )


def _contested_pairs(old_split: np.ndarray, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs in components that hold old rows of more than one split."""
    component = connected_components(len(old_split), pairs)
    held = pl.DataFrame({"component": component, "split": old_split}).filter(pl.col("split") != _NEW)
    torn = held.group_by("component").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)["component"]
    return pairs.filter(pl.Series(np.isin(component[pairs["left"].to_numpy()], torn.to_numpy()), dtype=pl.Boolean))


# ---- splits


def _assign_splits(frame: pl.DataFrame, spec: DatasetSpec) -> pl.Series:
    """Return the split of every row. If all strata are too small for sealed or steering rows, they count as one."""
    splits = _fill_splits(frame, frame["stratum"], spec)
    if splits.n_unique() < len(SPLITS):
        everything = pl.Series("stratum", [ALL_STRATUM] * frame.height, dtype=pl.String)
        splits = _fill_splits(frame, everything, spec)
    return splits


def _fill_splits(frame: pl.DataFrame, strata: pl.Series, spec: DatasetSpec) -> pl.Series:
    """Place new clusters, large before small and then in hash order, where their strata lack most rows."""
    counts = dict(strata.value_counts().iter_rows())
    lack = _targets(counts, spec)
    clusters = (
        frame.select("cluster", "old_split", stratum=strata)
        .group_by("cluster")
        .agg(pl.col("old_split").max(), "stratum", size=pl.len())
        .sort("cluster")
    )
    placed: dict[str, int] = {}
    clusters = clusters.with_columns(chance=pl.Series(derive_uniforms(clusters["cluster"], spec.seed, "split")))
    ordered = clusters.sort([pl.col("old_split") == _NEW, "size", "chance"], descending=[False, True, False])
    for cluster, old_split, members in ordered.select("cluster", "old_split", "stratum").iter_rows():
        wanted = [sum(lack[stratum][place] for stratum in members) for place in range(len(SPLITS))]
        split = wanted.index(max(wanted)) if old_split == _NEW else old_split
        placed[cluster] = split
        for stratum in members:
            lack[stratum][split] -= 1
    named = {cluster: SPLITS[split] for cluster, split in placed.items()}
    return frame["cluster"].replace_strict(named, return_dtype=pl.String).alias("split")


def _targets(counts: dict[str, int], spec: DatasetSpec) -> dict[str, list[int]]:
    """Return the rows each split is to hold of each stratum: largest remainders, ties where most is lacking overall.

    Without that last rule, strata of 3 rows would all give their odd row to the same split.
    """
    names = pl.Series(sorted(counts), dtype=pl.String)
    order = names.gather(np.argsort(derive_uniforms(names, spec.seed, "split_strata"), kind="stable"))
    owed = [0.0] * len(SPLITS)
    targets: dict[str, list[int]] = {}
    for stratum in order:
        exact = [counts[stratum] * FRACTIONS[split] for split in SPLITS]
        whole = [int(value + 1e-9) for value in exact]
        rest = [round(value - count, 9) for value, count in zip(exact, whole, strict=True)]
        by_claim = sorted(range(len(SPLITS)), key=lambda place: (-rest[place], -round(owed[place], 9), place))
        for place in by_claim[: counts[stratum] - sum(whole)]:
            whole[place] += 1
        owed = [debt + value - count for debt, value, count in zip(owed, exact, whole, strict=True)]
        targets[stratum] = whole
    return targets


def _check_enough(total: int, rejected: pl.DataFrame) -> None:
    left = total - rejected.height
    if left >= LEAST_ROWS:
        return
    reasons = dict(rejected["reason"].value_counts(sort=True).iter_rows())
    why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items())) or "none was rejected"
    what = "no row is releasable or synthesis_only" if left == 0 else f"only {left} rows are left"
    raise SeedError(
        f"seeds: {what} of {total:,} ({why}); at least {LEAST_ROWS} different rows are needed for training, steering "
        "and sealed ones. Add rows; where rows were excluded, see the reasons in liability_audit and the liabilities "
        "and consent settings of dataset.yaml"
    )
