/*
---
description: >
  What every round cost and what an accepted example of it cost, beside people writing the same examples. Prices and
  the human baseline come from `cost` in dataset.yaml; reviewer minutes are measured ones, or reviews times
  review.minutes_per_item where none were measured; automated reviews take nobody's time.
partitioned: dataset
columns:
  round: {description: Round., tests: [unique, not_null]}
  currency: {description: ISO 4217 code of all amounts.}
  prompt_tokens: {description: Tokens read.}
  output_tokens: {description: "Tokens generated, by a judge too; these are priced."}
  engine_seconds: {description: Seconds of generation and filtering.}
  reviewer_minutes: {description: Minutes of people.}
  minutes_source: {description: "Where the minutes come from: measured, estimated, automated or none."}
  engine_cost: {description: Generated tokens and engine hours at their prices.}
  reviewer_cost: {description: Reviewer minutes at their price.}
  total_cost: {description: Both.}
  accepted: {description: Rows that reached the corpus of their round.}
  cost_per_accepted: {description: Cost of one accepted example; null where none was accepted.}
  baseline_per_example: {description: Cost of one example that a person writes.}
  baseline_hours: {description: Hours in which people would write the accepted examples.}
  saving_percent:
    description: How far the cost lies below the baseline, negative above it; null while nothing is priced.
tests:
  - name: every_round_is_billed
    expression: count(*) = (SELECT count(DISTINCT round) FROM generator_ledger WHERE dataset = $dataset)
  - {name: cheaper_than_people, expression: saving_percent IS NULL OR saving_percent >= 0, severity: warn}
---
*/
WITH
generated AS (
    SELECT
        round,
        sum(prompt_tokens) AS prompt_tokens,
        sum(output_tokens) AS output_tokens,
        sum(seconds) AS seconds,
        sum(accepted) AS accepted
    FROM generator_ledger
    WHERE dataset = $dataset
    GROUP BY round
),

reviewed AS (
    SELECT
        round,
        CASE
            WHEN automated THEN 'automated'
            WHEN reviewer_minutes > 0 THEN 'measured'
            WHEN reviewed > 0 THEN 'estimated'
            ELSE 'none'
        END AS minutes_source,
        CASE
            WHEN automated THEN 0
            WHEN reviewer_minutes > 0 THEN reviewer_minutes
            ELSE reviewed * CAST($minutes_per_item AS DOUBLE)
        END AS minutes
    FROM review_ledger
    WHERE dataset = $dataset
),

costs AS (
    SELECT
        round,
        generated.*,
        coalesce(reviewed.minutes, 0) AS minutes,
        coalesce(reviewed.minutes_source, 'none') AS minutes_source,
        generated.output_tokens / 1e6 * $per_million_tokens + generated.seconds / 3600 * $per_engine_hour
            AS engine_cost,
        coalesce(reviewed.minutes, 0) / 60 * $per_reviewer_hour AS reviewer_cost,
        $baseline_minutes_per_example / 60 * $per_reviewer_hour AS baseline_per_example
    FROM generated
    LEFT JOIN reviewed USING (round)
)

SELECT
    round,
    $currency AS currency,
    CAST(prompt_tokens AS BIGINT) AS prompt_tokens,
    CAST(output_tokens AS BIGINT) AS output_tokens,
    round(seconds, 3) AS engine_seconds,
    round(minutes, 3) AS reviewer_minutes,
    minutes_source,
    round(engine_cost, 6) AS engine_cost,
    round(reviewer_cost, 6) AS reviewer_cost,
    round(engine_cost + reviewer_cost, 6) AS total_cost,
    CAST(accepted AS BIGINT) AS accepted,
    round((engine_cost + reviewer_cost) / nullif(accepted, 0), 6) AS cost_per_accepted,
    round(baseline_per_example, 6) AS baseline_per_example,
    round(accepted * $baseline_minutes_per_example / 60, 3) AS baseline_hours,
    round(
        100 * (1 - nullif(engine_cost + reviewer_cost, 0) / nullif(accepted, 0) / nullif(baseline_per_example, 0)), 2
    ) AS saving_percent
FROM costs
ORDER BY length(round), round
