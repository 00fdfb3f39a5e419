"""The front door: build_defs(**overrides) → Definitions, and `defs` built from it.

Here: putting the shell together. Not here: any asset, check or sensor (defs/).
"""

from __future__ import annotations

import dagster as dg

from synth_assets.defs import automation, corpus, generation, monitoring, provenance, review, seeds
from synth_assets.defs.resources import Platform
from synth_assets.defs.sql_models import build_sql_models

STAGES = (seeds, generation, review, corpus, monitoring, provenance)


def build_defs(*, platform: Platform | None = None) -> dg.Definitions:
    """Return all definitions over a platform; by default the project around the working directory."""
    platform = platform or Platform()
    sql_assets, sql_checks = build_sql_models(platform.project.sql_models)
    return dg.Definitions(
        assets=[*(asset for stage in STAGES for asset in stage.ASSETS), *sql_assets],
        asset_checks=[*(check for stage in STAGES for check in stage.CHECKS), *sql_checks],
        jobs=automation.JOBS,
        sensors=automation.SENSORS,
        schedules=automation.SCHEDULES,
        resources={"platform": platform},
        executor=dg.in_process_executor,
    )


defs = build_defs()
