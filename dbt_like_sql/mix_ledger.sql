/*
---
description: Real and synthetic rows of the corpus by stratum, their share by rows and weight, and what was planned.
partitioned: dataset_round
columns:
  stratum: {description: Values of the strata fields joined by |., tests: [unique, not_null]}
  real_rows: {description: Real rows in the corpus.}
  synthetic_rows: {description: Synthetic rows in the corpus.}
  total_rows: {description: Both.}
  synthetic_share: {description: Synthetic share by rows; null for a stratum that is not in the corpus.}
  synthetic_weight_share: {description: Synthetic share by weight.}
  real_available: {description: Releasable training rows that the corpus could take.}
  planned: {description: Accepted synthetic rows that this round's plan asked for.}
tests:
  - name: synthetic_share_by_rows
    expression: sum(total_rows) = 0 OR sum(synthetic_rows) / sum(total_rows) BETWEEN 0.6 AND 0.8
  - {name: rows_add_up, expression: total_rows = real_rows + synthetic_rows}
  - name: every_row_has_a_stratum
    expression: sum(total_rows) = (SELECT count(*) FROM corpus WHERE dataset = $dataset AND round = $round)
---
*/
WITH
mixed AS (
    SELECT
        stratum,
        count(*) FILTER (origin = 'real') AS real_rows,
        count(*) FILTER (origin = 'synthetic') AS synthetic_rows,
        count(*) AS total_rows,
        coalesce(sum(weight) FILTER (origin = 'synthetic'), 0) AS synthetic_weight,
        sum(weight) AS total_weight
    FROM corpus
    WHERE dataset = $dataset AND round = $round
    GROUP BY stratum
),

available AS (
    SELECT stratum, count(*) AS real_available
    FROM seeds
    WHERE dataset = $dataset AND split = 'train' AND disposition = 'releasable'
    GROUP BY stratum
),

planned AS (
    SELECT stratum, target AS planned FROM plan WHERE dataset = $dataset AND round = $round
)

SELECT
    stratum,
    coalesce(mixed.real_rows, 0) AS real_rows,
    coalesce(mixed.synthetic_rows, 0) AS synthetic_rows,
    coalesce(mixed.total_rows, 0) AS total_rows,
    round(mixed.synthetic_rows / mixed.total_rows, 6) AS synthetic_share,
    round(mixed.synthetic_weight / mixed.total_weight, 6) AS synthetic_weight_share,
    coalesce(available.real_available, 0) AS real_available,
    coalesce(planned.planned, 0) AS planned
FROM mixed
FULL JOIN available USING (stratum)
FULL JOIN planned USING (stratum)
ORDER BY stratum
