"""Running models and their tests over the lake.

Here: one partition of a model, and which of its rows fail a test. Not here: writing the result (defs/sql_models.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl

from synth_assets.errors import SpecError
from synth_assets.monitoring.sql_models.model_tests import ModelTest
from synth_assets.monitoring.sql_models.models import SqlModel
from synth_assets.monitoring.sql_models.safe_select import check_select
from synth_assets.monitoring.sql_models.sandbox import normalize_types, open_views, tell_error
from synth_assets.store import Lake

MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Outcome:
    """What one test found: how many rows fail, and up to five of them."""

    test: ModelTest
    failing: int
    examples: pl.DataFrame

    @property
    def passed(self) -> bool:
        return self.failing == 0


def run_model(
    model: SqlModel, lake: Lake, dataset: str, round_: str | None, settings: Mapping[str, object] | None = None
) -> pl.DataFrame:
    """Return the rows of one partition. `settings`: spec_parameters() of the data set where the model needs_spec.

    The query runs in a DuckDB that can read the lake and nothing else. SpecError names the file and what failed.
    """
    check_select(model.sql)  # not only in load_models: COPY could overwrite files that the query may read
    values = {**(settings or {}), "dataset": dataset, "round": round_}
    missing = sorted(name for name in model.parameters if values.get(name) is None)
    if missing:
        raise SpecError(f"{model.path}: there is no value for ${', $'.join(missing)}")
    with _wrap_errors(model), open_views(lake, {view: model.inputs[view] for view in model.reads}) as connection:
        return normalize_types(connection.sql(model.sql, params={name: values[name] for name in model.parameters}).pl())


def run_tests(
    model: SqlModel, lake: Lake, dataset: str, round_: str | None, *, only: Collection[str] | None = None
) -> list[Outcome]:
    """Run the tests of a model (`only`: those names) on one partition as it stands in the lake.

    StoreError where the partition was never materialized.
    """
    lake.require(model.name, dataset, round_)
    values = {"dataset": dataset, "round": round_}
    chosen = [test for test in model.tests if only is None or test.name in only]
    with _wrap_errors(model), open_views(lake, model.inputs) as connection:
        return [_run_test(connection, test, values) for test in chosen]


def _run_test(connection: Any, test: ModelTest, values: Mapping[str, object]) -> Outcome:
    check_select(test.sql)
    used = {name: values[name] for name in test.parameters}
    failing = connection.sql(f"SELECT count(*) FROM ({test.sql}) AS failing", params=used).fetchall()[0][0]  # noqa: S608
    if not failing:
        return Outcome(test, 0, pl.DataFrame())
    shown = connection.sql(f"SELECT * FROM ({test.sql}) AS failing LIMIT {MAX_EXAMPLES}", params=used)  # noqa: S608
    return Outcome(test, failing, normalize_types(shown.pl()))


@contextmanager
def _wrap_errors(model: SqlModel) -> Iterator[None]:
    import duckdb

    try:
        yield
    except (duckdb.Error, pl.exceptions.PolarsError) as error:
        views = ", ".join(sorted(model.reads))
        raise SpecError(f"{model.path}: {tell_error(error)}; the query reads {views}") from error
