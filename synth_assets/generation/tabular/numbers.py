"""The numeric part of the tabular model: real marginals joined by a Gaussian copula within groups of rows.

Here: the fitted model, sampling from it, its tables. Not here: the estimates (tabular_marginals, tabular_dependence),
categories (tabular_categories), constraints and frames (tabular_engine).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from synth_assets.generation.tabular.dependence import MIN_NOISE, fit_effects, fit_factors
from synth_assets.generation.tabular.marginals import (
    TERMS,
    Grid,
    find_grid,
    fit_quantiles,
    latent_quantiles,
    score_normally,
    snap,
)
from synth_assets.spec import FieldSpec

MIN_ROWS = 4  # fewer rows have no marginals of their own
MIN_GAIN = 0.05  # least part of a latent effect that ties leave visible


@dataclass(frozen=True)
class NumberModel:
    """Numbers by name. Group 0 stands for all rows.

    knots: (latent, value) by number and group. noise: latent standard deviation, shape (groups, numbers). effects: by
    variable and whether by group, see fit_effects. factors: shape (factors, numbers, numbers), indexed by factor_of.
    """

    grids: dict[str, Grid]
    knots: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]
    noise: np.ndarray
    effects: dict[tuple[str, bool], np.ndarray]
    factor_of: np.ndarray
    factors: np.ndarray

    @property
    def names(self) -> list[str]:
        return list(self.grids)

    @classmethod
    def fit(
        cls,
        fields: list[FieldSpec],
        origins: list[int],
        values: np.ndarray,
        groups: np.ndarray,
        variables: list[str],
        codes: np.ndarray,
        sizes: list[int],
    ) -> NumberModel:
        """Fit marginals, effects and correlations.

        values: shape (rows, numbers), less the number's origin, NaN for missing. groups: shape (rows,), 0 for rows of
        strata that are too small for a model of their own. codes: shape (rows, variables). Rows must be in a stable
        order.
        """
        n, width = values.shape
        known = ~np.isnan(values)
        grids = {field.name: find_grid(values[known[:, j], j], field, origins[j]) for j, field in enumerate(fields)}
        members = {int(group): np.flatnonzero(groups == group) for group in np.unique(groups)}
        scores, usable, coefficients = _score_groups(values, known, members)
        gains = np.ones((max(members) + 1, width))
        for group, coefficient in coefficients.items():
            gains[group] = np.maximum(coefficient[0], MIN_GAIN)
        effects = fit_effects(codes, sizes, groups, scores / gains[groups], usable)
        means = np.zeros((n, width))
        for (i, by_group), effect in effects.items():
            means += effect[groups * sizes[i] + codes[:, i] if by_group else codes[:, i]]
        count = max(members) + 1
        noise = np.ones((count, width))
        knots: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = {}
        for group in range(count):
            rows = members[group] if group else np.arange(n)
            noise[group] = np.round(np.sqrt(np.maximum(1 - means[rows].var(axis=0), MIN_NOISE**2)), 9)
            for j, field in enumerate(fields):
                here = rows[known[rows, j]]
                if len(here) < MIN_ROWS:
                    here = np.flatnonzero(known[:, j])
                probability, value = fit_quantiles(values[here, j])
                knots[field.name, group] = latent_quantiles(probability, means[rows, j], noise[group, j]), value
        factors, factor_of = fit_factors(scores, usable, coefficients, means, members)
        named = {(variables[i], by_group): effect for (i, by_group), effect in effects.items()}
        return cls(grids, knots, noise, {key: named[key] for key in sorted(named)}, factor_of, factors)

    def sample(
        self, groups: np.ndarray, codes: Mapping[str, np.ndarray], normals: Callable[[int], np.ndarray], scale: float
    ) -> np.ndarray:
        """Return values, shape (numbers, rows).

        normals(j) is one standard normal a row for number j; scale multiplies the latent noise. Every step works row
        by row in a fixed order, without matrix products, so a row does not depend on the rows beside it.
        """
        shape = (len(self.grids), len(groups))
        kinds = self.factor_of[groups]
        order = np.argsort(kinds, kind="stable")
        latent = np.empty(shape)
        for j in range(shape[0]):
            latent[j] = normals(j)[order]
        bounds = np.searchsorted(kinds[order], np.arange(len(self.factors) + 1))
        for factor, low, high in zip(self.factors, bounds, bounds[1:], strict=False):
            _correlate(latent[:, low:high], factor)
        values = np.empty(shape)
        values[:, order] = latent
        values *= self.noise.T[:, groups] * scale
        for (name, by_group), effect in self.effects.items():
            level = groups * (len(effect) // len(self.noise)) + codes[name] if by_group else codes[name]
            for j in np.flatnonzero(effect.any(axis=0)):
                values[j] += effect[level, j]
        for j, (grid, lookup) in enumerate(zip(self.grids.values(), self._lookups, strict=True)):
            values[j] = snap(lookup(values[j], groups), grid)
        return values

    @cached_property
    def _lookups(self) -> list[_Lookup]:
        count = len(self.factor_of)
        return [_Lookup.build([self.knots[name, group] for group in range(count)]) for name in self.grids]

    def to_tables(self) -> dict[str, pl.DataFrame]:
        """Return the model as frames."""
        grids = [{"field": name, "number": j, **vars(grid)} for j, (name, grid) in enumerate(self.grids.items())]
        sizes = [len(z) for z, _ in self.knots.values()]
        knots = {
            "field": np.repeat([name for name, _ in self.knots], sizes),
            "group": np.repeat([group for _, group in self.knots], sizes),
            "z": np.concatenate([z for z, _ in self.knots.values()]) if self.knots else [],
            "value": np.concatenate([value for _, value in self.knots.values()]) if self.knots else [],
        }
        effects = [
            _melt(effect, "level", "number").select(
                pl.lit(name).alias("variable"), pl.lit(by_group).alias("by_group"), pl.all()
            )
            for (name, by_group), effect in self.effects.items()
        ]
        return {
            "numbers": pl.DataFrame(grids, schema=_NUMBERS),
            "knots": pl.DataFrame(knots, schema=_KNOTS),
            "noise": _melt(self.noise, "group", "number"),
            "effects": pl.concat([pl.DataFrame(schema=_EFFECTS), *effects]),
            "groups": pl.DataFrame({"group": range(len(self.factor_of)), "factor": self.factor_of}, schema=_GROUPS),
            "factors": _melt(self.factors, "factor", "number", "other"),
        }

    @classmethod
    def from_tables(cls, tables: Mapping[str, pl.DataFrame], sizes: Mapping[str, int]) -> NumberModel:
        """Rebuild the model; sizes gives the levels of every variable."""
        rows = tables["numbers"].sort("number").drop("number").iter_rows(named=True)
        grids = {row.pop("field"): Grid(**row) for row in rows}
        # both columns never fall along a quantile function, so sorting by both restores the order
        ordered = tables["knots"].sort("field", "group", "z", "value")
        knots = {
            (str(name), int(group)): (part["z"].to_numpy(), part["value"].to_numpy())
            for (name, group), part in ordered.group_by("field", "group", maintain_order=True)
        }
        factor_of = tables["groups"].sort("group")["factor"].to_numpy().astype(np.int64)
        groups, width = len(factor_of), len(grids)
        effects = {
            (str(name), bool(by_group)): _unmelt(part, sizes[str(name)] * (groups if by_group else 1), width)
            for (name, by_group), part in tables["effects"].group_by("variable", "by_group")
        }
        # the order of the sum of effects is part of the result
        effects = {(name, by_group): effects[name, by_group] for name, by_group in sorted(effects)}
        factors = _unmelt(tables["factors"], int(factor_of.max()) + 1, width, width)
        return cls(grids, knots, _unmelt(tables["noise"], groups, width), effects, factor_of, factors)


_NUMBERS = {
    "field": pl.String(),
    "number": pl.Int32(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "decimals": pl.Int32(),
    "digits": pl.Int32(),
    "origin": pl.Int64(),
}
_KNOTS = {"field": pl.String(), "group": pl.Int32(), "z": pl.Float64(), "value": pl.Float64()}
_EFFECTS = {
    "variable": pl.String(),
    "by_group": pl.Boolean(),
    "level": pl.Int32(),
    "number": pl.Int32(),
    "value": pl.Float64(),
}
_GROUPS = {"group": pl.Int32(), "factor": pl.Int32()}


def _melt(array: np.ndarray, *axes: str) -> pl.DataFrame:
    """Return the entries that are not 0: one Int32 column an axis, and `value`."""
    places = np.nonzero(array)
    columns = {axis: place.astype(np.int32) for axis, place in zip(axes, places, strict=True)}
    return pl.DataFrame({**columns, "value": array[places]})


def _unmelt(table: pl.DataFrame, *shape: int) -> np.ndarray:
    array = np.zeros(shape)
    axes = [column for column in table.columns if column not in ("variable", "by_group", "value")]
    array[tuple(table[axis].to_numpy() for axis in axes)] = table["value"].to_numpy()
    return array


@dataclass(frozen=True)
class _Lookup:
    """The quantile functions of one number for all groups, laid side by side on one axis."""

    low: np.ndarray
    high: np.ndarray
    base: np.ndarray
    z: np.ndarray
    value: np.ndarray

    @classmethod
    def build(cls, knots: list[tuple[np.ndarray, np.ndarray]]) -> _Lookup:
        low, high = np.array([z[0] for z, _ in knots]), np.array([z[-1] for z, _ in knots])
        base = np.concatenate([[0.0], np.cumsum(np.ceil(high - low) + 1)[:-1]])
        z = np.concatenate([z - z[0] + start for (z, _), start in zip(knots, base, strict=True)])
        return cls(low, high, base, z, np.concatenate([value for _, value in knots]))

    def __call__(self, latent: np.ndarray, groups: np.ndarray) -> np.ndarray:
        low, high = self.low[groups], self.high[groups]
        # beyond the extremes the latent is mirrored, so that no extreme value becomes a spike
        latent = np.where(latent < low, 2 * low - latent, latent)
        latent = np.where(latent > high, 2 * high - latent, latent)
        return np.interp(np.maximum(latent, low) - low + self.base[groups], self.z, self.value)


def _correlate(latent: np.ndarray, factor: np.ndarray) -> None:
    """Replace independent normals, shape (numbers, rows), by correlated ones; last row first, so in place."""
    part = np.empty(latent.shape[1])
    for i in range(len(latent) - 1, -1, -1):
        latent[i] *= factor[i, i]
        for j in np.flatnonzero(factor[i, :i]):
            np.multiply(latent[j], factor[i, j], out=part)
            latent[i] += part


def _score_groups(
    values: np.ndarray, known: np.ndarray, members: Mapping[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, dict[int, np.ndarray]]:
    """Return (scores, which of them count, Hermite coefficients (TERMS, numbers) a group); scores within groups."""
    scores, usable = np.zeros(values.shape), known.copy()
    coefficients: dict[int, np.ndarray] = {}
    for group, rows in members.items():
        coefficients[group] = np.zeros((TERMS, values.shape[1]))
        for j in range(values.shape[1]):
            here = rows[known[rows, j]]
            if len(here) < MIN_ROWS:
                usable[rows, j] = False
            else:
                scores[here, j], coefficients[group][:, j] = score_normally(values[here, j])
    return scores, usable, coefficients
