"""The closed-set part of the tabular model: categories, booleans, two-valued numbers and what is missing.

Here: a tree of conditional frequency tables (Chow and Liu 1968, with a second parent where the rows support one), its
fit and its sampling. Not here: numbers with many values (tabular_numbers), constraints and frames (tabular_engine).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

# rows × pairs of variables that the search for parents may look at; wide tables are searched on fewer rows
SEARCH_WORK = 200_000_000
ROWS_A_LEVEL = 5
SECOND_PARENTS = 8  # variables tried as second parent
NO_PARENT = -1
DEPTHS = 4  # of tables: (), (group), (group, a), (group, a, b)

Uniforms = Callable[[int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Table:
    """Counts of one variable in its contexts at one depth: () · (group) · (group, a) · (group, a, b).

    Entries lie context after context, repeated ones first: `kept` is the weight of values seen at least twice in the
    context, `total` all of it. What one single row has in its context is not drawn from there (the Good–Turing mass
    of the unseen); it is drawn at the next depth, from the rows that came down this way, so shares are kept.
    """

    contexts: np.ndarray
    start: np.ndarray
    kept: np.ndarray
    total: np.ndarray
    ends: np.ndarray
    codes: np.ndarray


@dataclass(frozen=True)
class CategoryModel:
    """Closed-set variables by name. Codes index `levels[name]`, in which a null may stand for "missing"."""

    levels: dict[str, pl.Series]
    order: tuple[int, ...]
    parents: dict[int, tuple[int, int]]
    counts: pl.DataFrame
    tables: dict[tuple[int, int, bool], _Table]

    @property
    def names(self) -> list[str]:
        return list(self.levels)

    @property
    def streams(self) -> int:
        """How many random numbers a row needs."""
        return DEPTHS * len(self.levels)

    @classmethod
    def fit(
        cls, levels: Mapping[str, pl.Series], codes: np.ndarray, groups: np.ndarray, temperature: float
    ) -> CategoryModel:
        """Fit structure and tables.

        codes: shape (rows, variables), in the order of `levels`. groups: shape (rows,), 0 for rows of strata that are
        too small for a model of their own; group 0's tables count every row. Rows must be in a stable order.
        """
        sizes = [len(series) for series in levels.values()]
        order, parents = find_parents(codes, sizes, groups)
        own = np.flatnonzero(groups > 0)
        rows = np.concatenate([own, np.arange(len(groups))])
        context_groups = np.concatenate([groups[own], np.zeros(len(groups), dtype=groups.dtype)])
        frames = [
            frame
            for i in range(len(sizes))
            for frame in _count(i, parents[i], sizes, context_groups, codes[rows], len(own))
        ]
        counts = pl.concat(frames) if frames else pl.DataFrame(schema=_COUNTS)
        return cls(dict(levels), order, parents, counts, build_tables(counts, temperature))

    def sample(self, groups: np.ndarray, uniforms: Uniforms) -> np.ndarray:
        """Return codes, shape (rows, variables), int32. uniforms(stream, rows): one number in (0, 1) a row."""
        sizes = [len(series) for series in self.levels.values()]
        codes = np.zeros((len(groups), len(sizes)), dtype=np.int32)
        for position in self.order:
            pending, fallen = np.arange(len(groups)), np.zeros(len(groups), dtype=bool)
            depths = [depth for depth in reversed(range(DEPTHS)) if (position, depth, False) in self.tables]
            for depth in depths:
                keys = context_keys(depth, self.parents[position], sizes, groups[pending], codes[pending])
                weights = uniforms(position * DEPTHS + depth, pending)
                hit, found = np.zeros(len(pending), dtype=bool), np.zeros(len(pending), dtype=bool)
                for came_down in (False, True):
                    part = np.flatnonzero(fallen == came_down)
                    table = self.tables.get((position, depth, came_down), self.tables[position, depth, False])
                    found[part], hit[part], drawn = draw(table, keys[part], weights[part])
                    codes[pending[part[hit[part]]], position] = drawn
                fallen = (fallen | (found & (depth == depths[0])))[~hit]
                pending = pending[~hit]
        return codes

    def decode(self, name: str, codes: np.ndarray) -> pl.Series:
        """Return the values of one variable."""
        return self.levels[name].gather(codes).alias(name)

    def to_tables(self) -> dict[str, pl.DataFrame]:
        """Return the model as frames."""
        rank = {position: rank for rank, position in enumerate(self.order)}
        variables = [
            {
                "field": name,
                "variable": i,
                "rank": rank[i],
                "parent": self.parents[i][0],
                "parent_2": self.parents[i][1],
            }
            for i, name in enumerate(self.levels)
        ]
        levels = [
            pl.DataFrame(
                {
                    "variable": pl.repeat(i, len(series), dtype=pl.Int32, eager=True),
                    "code": pl.int_range(len(series), dtype=pl.Int32, eager=True),
                    "value": series.to_physical().cast(pl.String),
                }
            )
            for i, series in enumerate(self.levels.values())
        ]
        return {
            "variables": pl.DataFrame(variables, schema=_VARIABLES),
            "levels": pl.concat(levels) if levels else pl.DataFrame(schema=_LEVELS),
            "counts": self.counts,
        }

    @classmethod
    def from_tables(
        cls, tables: Mapping[str, pl.DataFrame], types: Mapping[str, pl.DataType], temperature: float
    ) -> CategoryModel:
        """Rebuild the model; `types` gives the polars type of every variable."""
        levels: dict[str, pl.Series] = {}
        variables = tables["variables"].sort("variable")
        for row in variables.iter_rows(named=True):
            values = tables["levels"].filter(pl.col("variable") == row["variable"]).sort("code")["value"]
            dtype = types[row["field"]]
            if dtype == pl.Boolean:
                levels[row["field"]] = values == "true"
            elif dtype == pl.Date:
                levels[row["field"]] = values.cast(pl.Int32).cast(pl.Date)
            else:
                levels[row["field"]] = values.cast(dtype)
        counts = tables["counts"].sort("variable", "depth", "came_down", "context", "code")
        return cls(
            levels,
            tuple(variables.sort("rank")["variable"]),
            {row["variable"]: (row["parent"], row["parent_2"]) for row in variables.iter_rows(named=True)},
            counts,
            build_tables(counts, temperature),
        )


_VARIABLES = {
    "field": pl.String(),
    "variable": pl.Int32(),
    "rank": pl.Int32(),
    "parent": pl.Int32(),
    "parent_2": pl.Int32(),
}
_LEVELS = {"variable": pl.Int32(), "code": pl.Int32(), "value": pl.String()}
_COUNTS = {
    "variable": pl.Int32(),
    "depth": pl.Int32(),
    "came_down": pl.Boolean(),
    "context": pl.Int64(),
    "code": pl.Int32(),
    "count": pl.Int64(),
}


def context_keys(
    depth: int, parents: tuple[int, int], sizes: list[int], groups: np.ndarray, codes: np.ndarray
) -> np.ndarray:
    """Return one integer a row that names its context at this depth."""
    keys = np.zeros(len(groups), dtype=np.int64) if depth == 0 else groups.astype(np.int64)
    for parent in parents[: max(depth - 1, 0)]:
        keys = keys * sizes[parent] + codes[:, parent]
    return keys


def _count(
    variable: int, parents: tuple[int, int], sizes: list[int], groups: np.ndarray, codes: np.ndarray, own: int
) -> Iterator[pl.DataFrame]:
    """Yield the counts (_COUNTS) of one variable, deepest first: of all rows, and of the rows that came down.

    The first `own` rows stand in their groups, the others in group 0.
    """
    deepest = 1 + sum(parent != NO_PARENT for parent in parents)
    size = sizes[variable]
    came_down = np.ones(len(groups), dtype=bool)
    for depth in range(deepest, -1, -1):
        joint = context_keys(depth, parents, sizes, groups, codes) * size + codes[:, variable]
        counted = np.ones(len(groups), dtype=bool)
        if depth == 0:
            counted[own or len(groups) :] = False
        for fallen in (False, True) if depth < deepest else (False,):
            part = np.flatnonzero(counted & came_down if fallen else counted)
            values, index, count = np.unique(joint[part], return_inverse=True, return_counts=True)
            yield pl.DataFrame(
                {
                    "variable": pl.repeat(variable, len(values), dtype=pl.Int32, eager=True),
                    "depth": pl.repeat(depth, len(values), dtype=pl.Int32, eager=True),
                    "came_down": pl.repeat(fallen, len(values), dtype=pl.Boolean, eager=True),
                    "context": values // size,
                    "code": (values % size).astype(np.int32),
                    "count": count.astype(np.int64),
                }
            )
            if fallen or depth == deepest:
                came_down[part[count[index] > 1]] = False


def build_tables(counts: pl.DataFrame, temperature: float) -> dict[tuple[int, int, bool], _Table]:
    """Return the tables to sample from; counts are tempered as count^(1/temperature)."""
    tables: dict[tuple[int, int, bool], _Table] = {}
    for (variable, depth, came_down), part in counts.group_by("variable", "depth", "came_down"):
        context, count = part["context"].to_numpy(), part["count"].to_numpy()
        rare = (count < 2) & (depth != 0)
        order = np.lexsort((part["code"].to_numpy(), rare, context))
        context, rare = context[order], rare[order]
        weight = count[order] ** (1.0 / temperature)
        contexts, first = np.unique(context, return_index=True)
        ends = np.cumsum(weight)
        tables[int(variable), int(depth), bool(came_down)] = _Table(
            contexts,
            start=ends[first] - weight[first],
            kept=np.add.reduceat(np.where(rare, 0.0, weight), first),
            total=np.add.reduceat(weight, first),
            ends=ends,
            codes=part["code"].to_numpy()[order],
        )
    return tables


def draw(table: _Table, keys: np.ndarray, uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (rows whose context is known, rows served, the codes of those served)."""
    index = np.minimum(np.searchsorted(table.contexts, keys), len(table.contexts) - 1)
    weight = uniforms * table.total[index]
    found = table.contexts[index] == keys
    hit = found & (weight < table.kept[index])
    served = index[hit]
    entry = np.searchsorted(table.ends, table.start[served] + weight[hit], side="right")
    return found, hit, table.codes[np.minimum(entry, len(table.codes) - 1)]


def find_parents(
    codes: np.ndarray, sizes: list[int], groups: np.ndarray
) -> tuple[tuple[int, ...], dict[int, tuple[int, int]]]:
    """Return (variables, parents first; two parents of each, -1 for none).

    The first parent comes from the maximum spanning tree of mutual information within groups, the second is the
    earlier variable that adds most given the first. Both must beat the bias of the estimate (Miller–Madow) twice
    over, and variables with fewer than ROWS_A_LEVEL rows a level stay alone.
    """
    width = codes.shape[1]
    rows = slice(None, max(500, SEARCH_WORK // max(width * width, 1)))
    codes, groups = codes[rows].astype(np.int64), groups[rows].astype(np.int64)
    gain = _mutual_information(codes, sizes, groups)
    order: list[int] = []
    parents: dict[int, tuple[int, int]] = {}
    link, score = np.full(width, NO_PARENT), np.full(width, -1.0)
    for _ in range(width):
        chosen = int(np.argmax(score if score.max() > 0 else np.where(np.isneginf(score), score, gain.sum(axis=1))))
        parents[chosen] = (int(link[chosen]), NO_PARENT)
        order.append(chosen)
        score[chosen] = -np.inf
        closer = (gain[chosen] > score) & (gain[chosen] > 0) & ~np.isneginf(score)
        link[closer], score[closer] = chosen, gain[chosen][closer]
    for rank, i in enumerate(order):
        first = parents[i][0]
        if first == NO_PARENT:
            continue
        linked = sorted((j for j in order[:rank] if j != first and gain[i, j] > 0), key=lambda j: (-gain[i, j], j))
        context = groups * sizes[first] + codes[:, first]
        columns = [i, *linked[:SECOND_PARENTS]]
        extra = _mutual_information(codes[:, columns], [sizes[j] for j in columns], context, only=0)[0]
        if extra.max(initial=0) > 0:
            parents[i] = (first, columns[int(np.argmax(extra))])
    return tuple(order), parents


def _mutual_information(codes: np.ndarray, sizes: list[int], given: np.ndarray, only: int | None = None) -> np.ndarray:
    """Return I(i; j | given) in nats less twice its expected bias, shape (variables, variables); only: one row."""
    n, width = codes.shape
    _, context = np.unique(given, return_inverse=True)
    base, base_cells = _entropy(context)
    keys = [context * size + codes[:, i] for i, size in enumerate(sizes)]
    single = [_entropy(key) for key in keys]
    gain = np.zeros((width, width))
    for i in range(width) if only is None else (only,):
        for j in range(i) if only is None else range(width):
            if i == j or max(sizes[i], sizes[j]) * ROWS_A_LEVEL > n or min(sizes[i], sizes[j]) < 2:
                continue
            joint, cells = _entropy(keys[i] * sizes[j] + codes[:, j])
            bias = (cells - single[i][1] - single[j][1] + base_cells) / (2 * n)
            gain[i, j] = gain[j, i] = single[i][0] + single[j][0] - joint - base - 2 * bias
    return gain


def _entropy(keys: np.ndarray) -> tuple[float, int]:
    top = int(keys.max(initial=0)) + 1
    counts = np.bincount(keys) if top <= 4 * len(keys) + 1000 else np.unique(keys, return_counts=True)[1]
    counts = counts[counts > 0]
    share = counts / len(keys)
    return float(-(share * np.log(share)).sum()), len(counts)
