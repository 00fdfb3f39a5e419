/*
---
description: >
  The review of every round: how much was planned and done, the defects found, the bound on the defect rate that
  follows, and the hours it took for 1,000 examples. `open` rounds are generated and not decided yet. Control items
  that are mixed into a review are no rows of the batch: they take time and are counted nowhere else.
partitioned: dataset
columns:
  round: {description: Round., tests: [unique, not_null]}
  decision: {description: "What the review decided; open before that."}
  examples: {description: Kept examples that the review speaks for.}
  planned: {description: Reviews planned.}
  reviewed: {description: Reviews done.}
  open: {description: Reviews missing.}
  sample_share: {description: Reviews planned for one kept example.}
  defects: {description: Defects in the random sample.}
  defect_rate: {description: Defects by reviews.}
  bound_low: {description: Lower bound on the defect rate.}
  bound_high: {description: Upper bound on the defect rate at the contract's confidence.}
  certified: {description: Whether the bound is below the tolerated rate; never by automated review.}
  automated: {description: Whether a model decided instead of people.}
  agreement: {description: Agreement between reviewers; null where no example was reviewed twice.}
  reviewer_minutes: {description: "Minutes of reviewing as measured, on control items too."}
  hours_per_thousand: {description: "Reviewer hours for 1,000 kept examples."}
tests:
  - {name: automated_review_certifies_nothing, expression: NOT (automated AND certified)}
  - name: bounds_enclose_the_rate
    expression: bound_high IS NULL OR defect_rate IS NULL OR defect_rate BETWEEN coalesce(bound_low, 0) AND bound_high
    severity: warn
---
*/
WITH
batches AS (
    SELECT round, count(*) FILTER (state = 'kept') AS examples
    FROM filtered
    WHERE dataset = $dataset
    GROUP BY round
),

samples AS (
    SELECT round, count(*) AS planned
    FROM review_sample
    WHERE dataset = $dataset AND part IN ('random', 'risk')
    GROUP BY round
),

outcomes AS (
    SELECT * FROM review_outcome WHERE dataset = $dataset
)

SELECT
    round,
    coalesce(outcomes.decision, 'open') AS decision,
    batches.examples,
    coalesce(outcomes.n_planned, samples.planned, 0) AS planned,
    coalesce(outcomes.n_reviewed, 0) AS reviewed,
    coalesce(outcomes.n_open, samples.planned, 0) AS open,
    round(coalesce(outcomes.n_planned, samples.planned, 0) / nullif(batches.examples, 0), 6) AS sample_share,
    outcomes.defects,
    outcomes.defect_rate,
    outcomes.bound_low,
    outcomes.bound_high,
    coalesce(outcomes.certified, false) AS certified,
    coalesce(outcomes.automated, false) AS automated,
    outcomes.agreement,
    round(coalesce(outcomes.reviewer_minutes, 0), 3) AS reviewer_minutes,
    round(outcomes.reviewer_minutes / 60 / (nullif(batches.examples, 0) / 1000), 4) AS hours_per_thousand
FROM batches
LEFT JOIN samples USING (round)
LEFT JOIN outcomes USING (round)
ORDER BY length(round), round
