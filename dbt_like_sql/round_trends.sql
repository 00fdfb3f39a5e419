/*
---
description: >
  The headline numbers of every report over the rounds of a data set, with how far they moved: from the round before
  and from the first round. Of a metric that several fields have, it is the worst field of each round.
partitioned: dataset
columns:
  round: {description: Round.}
  report: {description: Report that measured it.}
  metric: {description: Name of the metric.}
  field: {description: Field it is about; empty for the whole set.}
  value: {description: Value.}
  change: {description: Difference to the round before; null in the first one.}
  change_since_start: {description: Difference to the first round that measured it.}
  level: {description: "ok, watch or act.", tests: [not_null, {accepted_values: [ok, watch, act]}]}
  is_latest: {description: Whether it is the last round of the data set.}
tests:
  - {name: one_row_a_metric_and_round, expression: "count(*) = count(DISTINCT (round, report, metric))"}
  - {name: nothing_to_act_on_now, expression: NOT (is_latest AND level = 'act'), severity: warn}
---
*/
WITH
headlines AS (
    SELECT round, CAST(substr(round, 2) AS INTEGER) AS round_number, report, metric, field, value, level
    FROM trends
    WHERE dataset = $dataset
)

SELECT
    round,
    report,
    metric,
    field,
    round(value, 6) AS value,
    round(value - lag(value) OVER rounds, 6) AS change,
    round(value - first_value(value) OVER rounds, 6) AS change_since_start,
    level,
    round_number = max(round_number) OVER () AS is_latest
FROM headlines
WINDOW rounds AS (PARTITION BY report, metric ORDER BY round_number)
ORDER BY report, metric, round_number
