"""Distribution shift: whether synthetic rows are distributed like the real ones, stratum by stratum.

Here: the front door. Rooms: strata (mix, which rows are compared), fields (one by one), texts (words), joint (several
fields together), lost (values that are gone), null (real against real, many tests), report (all of it). Not here: the
formulas (distances), diversity and tails (collapse), copies (privacy).
"""

from synth_assets.monitoring.shift.report import measure_shift

__all__ = ["measure_shift"]
