"""The embedded tabular generator: a copula with real marginals within strata, fitted on the training rows.

Here: fitting from seeds, completing requests, constraints, the artifact. Not here: the model of numbers
(tabular_numbers) and of closed-set fields (tabular_categories), and nothing for free text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from synth_assets.errors import EngineError
from synth_assets.generation.requests import INVALID, STOP, GeneratorInfo
from synth_assets.generation.tabular.categories import CategoryModel
from synth_assets.generation.tabular.columns import Table, to_type
from synth_assets.generation.tabular.numbers import MIN_ROWS, NumberModel
from synth_assets.records import POLARS_TYPES, STRATUM_SEPARATOR, digest_text
from synth_assets.spec import DatasetSpec, FieldSpec
from synth_assets.store import digest_tables

CODE_VERSION = "copula-1"
FRAME_ROWS = 16_384
MAX_DRAWS = 100  # draws of one request before its constraints are given up
NO_VALUE = "(none)"  # how records.stratum_expression writes a null
_EQUATION = re.compile(r"\s*(\w+)\s*=\s*([^=].*)", re.DOTALL)


@dataclass(frozen=True)
class TabularEngine:
    """A fitted generator of records without free text.

    Numbers and dates: smoothed quantile functions of every stratum, joined by a Gaussian copula whose correlations
    are shrunk to those of all strata; strata of fewer than 4 rows use the marginals of all rows. Categories, booleans,
    two-valued numbers and missing values: a tree of conditional tables, which shift the numbers' latent scores.
    `generation.temperature` scales the latent noise and tempers the tables; `top_k` has no meaning here and is
    ignored. `prompted_by` is lineage only: the model is fitted on all members.
    """

    spec: DatasetSpec
    info: GeneratorInfo
    strata: pl.DataFrame
    stratum_values: pl.DataFrame
    categories: CategoryModel
    numbers: NumberModel
    equations: tuple[str, ...]

    @classmethod
    def fit(cls, seeds: pl.DataFrame, spec: DatasetSpec) -> TabularEngine:
        """Fit on training rows: example_id, stratum and the spec's content fields; row order does not matter.

        Raises EngineError for a free-text field, for a constraint that cannot be evaluated, and for fewer than 4
        rows, which a model could only repeat.
        """
        for field in spec.text_fields:
            raise EngineError(
                f"{spec.name}: field '{field.name}' is of type {field.type}; the tabular generator makes numbers, "
                "categories, booleans and dates only. Set generation.generator: text, or leave the field out"
            )
        if seeds.height < MIN_ROWS:
            raise EngineError(
                f"{spec.name}: {seeds.height} training rows; a tabular model of fewer than {MIN_ROWS} could only "
                "repeat them. Add seeds"
            )
        seeds = seeds.sort("example_id")
        strata, stratum_values = _describe_strata(seeds, spec)
        groups = seeds.select("stratum").join(strata, on="stratum", how="left", maintain_order="left")["group"]
        equations = _find_equations(seeds, spec)
        table = Table.prepare(seeds, _modeled_fields(spec))
        sizes = [len(series) for series in table.levels.values()]
        categories = CategoryModel.fit(table.levels, table.codes, groups.to_numpy(), spec.generation.temperature)
        numbers = NumberModel.fit(
            table.numeric, table.origins, table.values, groups.to_numpy(), list(table.levels), table.codes, sizes
        )
        return cls._assemble(spec, strata, stratum_values, categories, numbers, equations, seeds["example_id"])

    @classmethod
    def _assemble(
        cls,
        spec: DatasetSpec,
        strata: pl.DataFrame,
        stratum_values: pl.DataFrame,
        categories: CategoryModel,
        numbers: NumberModel,
        equations: tuple[str, ...],
        members: pl.Series,
    ) -> TabularEngine:
        ids = tuple(members)
        parameters = {"max_draws": MAX_DRAWS, "temperature": spec.generation.temperature, "top_k": "ignored"}
        info = GeneratorInfo(
            generator_id="",
            engine="embedded",
            model="tabular",
            version=CODE_VERSION,
            trained_on=digest_text(*ids),
            members=ids,
            parameters=json.dumps(parameters, sort_keys=True),
        )
        engine = cls(spec, info, strata, stratum_values, categories, numbers, equations)
        digest = digest_tables(engine.artifact())
        return replace(engine, info=replace(info, generator_id=f"embedded-tabular-{digest[:12]}-{CODE_VERSION}"))

    def generate(self, requests: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Complete requests (request_id, attempt, stratum, seed, …), in request order, in frames of up to 16,384 rows.

        Completion columns: request_id, attempt, the spec's content fields, finish_reason, prompt_tokens (0),
        output_tokens (number of fields). finish_reason is "invalid" where 100 draws met no constraint set. A row
        depends on its own seed and stratum alone. Raises EngineError for a stratum that has neither seeds nor
        readable values.
        """
        for part in requests.iter_slices(FRAME_ROWS):
            yield self._complete(part)

    def artifact(self) -> dict[str, pl.DataFrame]:
        """Return the fitted model as tables; `from_artifact` is the inverse."""
        equations = {"position": range(len(self.equations)), "equation": self.equations}
        return {
            "strata": self.strata,
            "stratum_values": self.stratum_values,
            **self.categories.to_tables(),
            **self.numbers.to_tables(),
            "equations": pl.DataFrame(equations, schema={"position": pl.Int32(), "equation": pl.String()}),
            "members": pl.DataFrame({"example_id": self.info.members}, schema={"example_id": pl.String()}),
        }

    @classmethod
    def from_artifact(cls, tables: Mapping[str, pl.DataFrame], spec: DatasetSpec) -> TabularEngine:
        """Rebuild a fitted engine from its tables, whatever their row order."""
        types = {field.name: POLARS_TYPES[field.type] for field in spec.content_fields}
        types |= {name: pl.Boolean() for name in tables["numbers"]["field"]}  # whether the number is missing
        categories = CategoryModel.from_tables(tables, types, spec.generation.temperature)
        sizes = {name: len(series) for name, series in categories.levels.items()}
        return cls._assemble(
            spec,
            tables["strata"].sort("stratum"),
            tables["stratum_values"].sort("stratum"),
            categories,
            NumberModel.from_tables(tables, sizes),
            tuple(tables["equations"].sort("position")["equation"]),
            tables["members"]["example_id"].sort(),
        )

    def _complete(self, requests: pl.DataFrame) -> pl.DataFrame:
        groups, fixed = self._place(requests["stratum"])
        seeds = _mix(requests["seed"].to_numpy().astype(np.uint64))
        done, places, reasons = [], [], []
        pending = np.arange(requests.height)
        for attempt in range(MAX_DRAWS):
            drawn = self._solve(self._draw(groups[pending], seeds[pending], attempt).hstack(fixed[pending]))
            passed = self._check(drawn)
            taken = np.ones_like(passed) if attempt == MAX_DRAWS - 1 else passed
            done.append(drawn.filter(pl.Series(taken)))
            places.append(pending[taken])
            reasons.append(np.where(passed[taken], STOP, INVALID))
            pending = pending[~taken]
            if not len(pending):
                break
        order = np.argsort(np.concatenate(places))
        names = [field.name for field in self.spec.content_fields]
        return (
            requests.select("request_id", "attempt")
            .hstack(pl.concat(done)[order].select(names))
            .with_columns(
                pl.Series("finish_reason", np.concatenate(reasons)[order], dtype=pl.String),
                prompt_tokens=pl.lit(0, pl.Int32),
                output_tokens=pl.lit(len(names), pl.Int32),
            )
        )

    def _draw(self, groups: np.ndarray, seeds: np.ndarray, attempt: int) -> pl.DataFrame:
        """Return one row a request: the modeled fields, drawn from the attempt's own random numbers."""
        from scipy.special import ndtri

        first = attempt * (self.categories.streams + len(self.numbers.names))
        after = first + self.categories.streams
        codes = self.categories.sample(groups, lambda stream, rows: _uniforms(seeds[rows], first + stream))
        closed = {name: codes[:, i] for i, name in enumerate(self.categories.names)}
        temperature = self.spec.generation.temperature
        values = self.numbers.sample(groups, closed, lambda j: ndtri(_uniforms(seeds, after + j)), temperature)
        columns: dict[str, pl.Series] = {}
        for name, value in zip(self.numbers.names, values, strict=True):
            column = to_type(value, self.spec.field(name), self.numbers.grids[name].origin)
            if name in closed:  # the variable says whether the number is missing
                column = pl.select(pl.when(pl.Series(closed[name] == 0)).then(column)).to_series()
            columns[name] = column
        for name, code in closed.items():
            if name not in columns:
                columns[name] = self.categories.decode(name, code)
        return pl.DataFrame(columns, height=len(groups))

    def _solve(self, drawn: pl.DataFrame) -> pl.DataFrame:
        for _ in self.equations:  # one may need the result of another
            for equation in self.equations:
                name, expression = _split_equation(equation)
                dtype = POLARS_TYPES[self.spec.field(name).type]
                drawn = drawn.with_columns(pl.sql_expr(expression).cast(dtype).alias(name))
        return drawn

    def _check(self, drawn: pl.DataFrame) -> np.ndarray:
        """Return which rows meet all constraints; an unknown (null) condition is met, as in SQL."""
        conditions = [pl.sql_expr(text) for text in _usable_constraints(self.spec)]
        for equation in self.equations:
            field = self.spec.field(_split_equation(equation)[0])
            column = pl.col(field.name)
            conditions += [column >= field.minimum] if field.minimum is not None else []
            conditions += [column <= field.maximum] if field.maximum is not None else []
        if not conditions:
            return np.ones(drawn.height, dtype=bool)
        met = [condition.fill_null(True) for condition in conditions]
        return drawn.select(pl.all_horizontal(met).alias("met")).to_series().to_numpy()

    def _place(self, strata: pl.Series) -> tuple[np.ndarray, pl.DataFrame]:
        """Return every request's group and the values of its strata fields."""
        known = set(self.strata["stratum"])
        new = [name for name in strata.unique().sort() if name not in known]
        rows = [{"stratum": name, "group": 0, "rows": 0} for name in new]
        parsed = [_parse_stratum(name, self.spec) for name in new]
        groups = pl.concat([self.strata, pl.DataFrame(rows, schema=self.strata.schema)])
        values = pl.concat([self.stratum_values, pl.DataFrame(parsed, schema=self.stratum_values.schema)])
        asked = strata.to_frame("stratum")
        placed = asked.join(groups, on="stratum", how="left", maintain_order="left")["group"].to_numpy()
        return placed, asked.join(values, on="stratum", how="left", maintain_order="left").drop("stratum")


# ---- random numbers


def _mix(values: np.ndarray) -> np.ndarray:
    """Return the splitmix64 finalizer of uint64 values (Steele, Lea and Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _uniforms(seeds: np.ndarray, stream: int) -> np.ndarray:
    """Return numbers in (0, 1) that depend on seed and stream alone."""
    key = _mix(np.array([stream], dtype=np.uint64))
    return ((_mix(seeds ^ key) >> np.uint64(12)) + 0.5) * 2.0**-52


# ---- strata


def _modeled_fields(spec: DatasetSpec) -> list[FieldSpec]:
    return [field for field in spec.content_fields if field.name not in spec.strata.by]


def _describe_strata(seeds: pl.DataFrame, spec: DatasetSpec) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (stratum, group, rows) and (stratum, its fields' values); group 0 is too small for a model of its own."""
    fields = [field.name for field in spec.content_fields if field.name in spec.strata.by]
    values = seeds.select("stratum", *fields).unique("stratum", keep="first", maintain_order=True).sort("stratum")
    large = pl.col("rows") >= MIN_ROWS
    group = pl.when(large).then(large.cast(pl.Int32).cum_sum()).otherwise(0).alias("group")
    sizes = seeds.select("stratum").group_by("stratum").agg(pl.len().cast(pl.Int64).alias("rows")).sort("stratum")
    return sizes.select("stratum", group, "rows"), values


def _parse_stratum(stratum: str, spec: DatasetSpec) -> dict[str, object]:
    """Return the values of a stratum without seeds; EngineError where they cannot be read."""
    parts = stratum.split(STRATUM_SEPARATOR)
    if len(parts) != len(spec.strata.by):
        raise EngineError(
            f"{spec.name}: stratum '{stratum}' has no training rows and is not {len(spec.strata.by)} values joined by "
            f"'{STRATUM_SEPARATOR}' (strata.by: {', '.join(spec.strata.by) or 'none'})"
        )
    row: dict[str, object] = {"stratum": stratum}
    for name, text in zip(spec.strata.by, parts, strict=True):
        field = spec.field(name)
        allowed = ("true", "false") if field.type == "boolean" else field.values
        if text != NO_VALUE and allowed is not None and text not in allowed:
            raise EngineError(
                f"{spec.name}: stratum '{stratum}': '{text}' is no value of field '{name}'; "
                f"allowed are {', '.join(allowed)}"
            )
        if field.role != "id":
            row[name] = None if text == NO_VALUE else text == "true" if field.type == "boolean" else text
    return row


# ---- constraints


def _usable_constraints(spec: DatasetSpec) -> list[str]:
    """Return the constraints over generated fields; those over ids cannot be tested on a completion."""
    names = {field.name for field in spec.content_fields}
    return [text for text in spec.constraints if names.issuperset(pl.sql_expr(text).meta.root_names())]


def _split_equation(equation: str) -> tuple[str, str]:
    match = _EQUATION.fullmatch(equation)
    assert match is not None  # _find_equations lets nothing else pass
    return match[1], match[2]


def _find_equations(seeds: pl.DataFrame, spec: DatasetSpec) -> tuple[str, ...]:
    """Return the constraints `number = expression` that every seed meets: they are solved, since chance never would.

    Raises EngineError for a constraint that cannot be evaluated on the fields' types.
    """
    needs: dict[str, set[str]] = {}
    found: list[str] = []
    numbers = {field.name for field in _modeled_fields(spec) if field.type in ("integer", "number")}
    for text in _usable_constraints(spec):
        match = _EQUATION.fullmatch(text)
        try:
            seeds.select(pl.sql_expr(text).cast(pl.Boolean))
            right = pl.sql_expr(match[2]) if match else pl.lit(None)
        except pl.exceptions.PolarsError as error:
            raise EngineError(f"{spec.name}: constraints: '{text}' cannot be evaluated: {error}") from error
        if match is None or match[1] not in numbers or match[1] in needs:
            continue
        used = set(right.meta.root_names())
        for _ in needs:
            used |= {name for field in used for name in needs.get(field, set())}
        same = seeds.select(right.alias("right"), pl.col(match[1]).eq_missing(right).alias("same"))
        if match[1] not in used and same["right"].dtype.is_numeric() and same["same"].all():
            needs[match[1]] = used
            found.append(text)
    return tuple(found)
