"""SQL models: what a file of dbt_like_sql/ says, and how its query and its tests run over the lake.

Here, a file each: the lake's tables (schemas), front matter, the one-safe-SELECT rule (safe_select), tests as SQL
(model_tests), models with types and lineage (models), the locked DuckDB (sandbox), running. Not here: assets and
checks (defs/sql_models.py), the views (store.open_sql), the .sql files.

A file is a comment with YAML between two `---` lines, then one SELECT:

    /*
    ---
    description: Rows by stratum in the corpus of a round.
    partitioned: dataset_round
    columns:
      stratum: {description: Stratum of the rows., tests: [unique, not_null]}
      examples: {description: Number of rows.}
    tests:
      - {name: corpus_has_rows, expression: sum(examples) > 0}
    ---
    */
    SELECT stratum, count(*) AS examples FROM corpus WHERE dataset = $dataset AND round = $round GROUP BY stratum
"""

from synth_assets.monitoring.sql_models.model_tests import ModelTest
from synth_assets.monitoring.sql_models.models import Column, SqlModel, load_models
from synth_assets.monitoring.sql_models.running import MAX_EXAMPLES, Outcome, run_model, run_tests
from synth_assets.monitoring.sql_models.safe_select import check_select
from synth_assets.monitoring.sql_models.schemas import LAKE_SCHEMAS, asset_of, spec_parameters

__all__ = [
    "LAKE_SCHEMAS",
    "MAX_EXAMPLES",
    "Column",
    "ModelTest",
    "Outcome",
    "SqlModel",
    "asset_of",
    "check_select",
    "load_models",
    "run_model",
    "run_tests",
    "spec_parameters",
]
