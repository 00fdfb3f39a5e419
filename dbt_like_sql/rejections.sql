/*
---
description: >
  Why candidates of a round were rejected, by discriminator and reason, and whose they were: stratum, generator and
  prompt. Beside what each discriminator rejected stands how many of these candidates reached it.
partitioned: dataset_round
columns:
  step: {description: "Place of the discriminator in the cascade, from 1."}
  discriminator: {description: Who rejected., tests: [not_null]}
  reason: {description: "What for; empty where nothing of the group was rejected here.", tests: [not_null]}
  stratum: {description: Stratum of the candidates., tests: [not_null]}
  generator_id: {description: "Engine, model, weights and version.", tests: [not_null]}
  prompt_id: {description: Hash of the template or plan that asked for them., tests: [not_null]}
  reached: {description: "Candidates of this stratum, generator and prompt that reached the discriminator."}
  rejected: {description: Of them those rejected for this reason.}
  share: {description: Rejected of reached.}
tests:
  - name: every_rejection_counts_once
    expression: >
      coalesce(sum(rejected), 0) = (SELECT count(*) FROM verdicts WHERE dataset = $dataset AND round = $round AND NOT passed)
  - {name: no_more_rejected_than_reached, expression: rejected <= reached}
---
*/
WITH
made AS (
    SELECT example_id, stratum, generator_id, prompt_id
    FROM candidates
    WHERE dataset = $dataset AND round = $round
),

-- as in the funnel: who judged most stands first; of two that judged the same rows, the one that rejected none
cascade_order AS (
    SELECT
        discriminator,
        row_number() OVER (ORDER BY count(*) DESC, count(*) FILTER (NOT passed), discriminator) AS step
    FROM verdicts
    WHERE dataset = $dataset AND round = $round
    GROUP BY discriminator
),

judged AS (
    SELECT verdicts.discriminator, verdicts.reason, verdicts.passed, made.stratum, made.generator_id, made.prompt_id
    FROM verdicts
    JOIN made USING (example_id)
    WHERE verdicts.dataset = $dataset AND verdicts.round = $round
),

groups AS (
    SELECT discriminator, stratum, generator_id, prompt_id, count(*) AS reached
    FROM judged
    GROUP BY ALL
),

reasons AS (
    SELECT discriminator, stratum, generator_id, prompt_id, reason, count(*) AS rejected
    FROM judged
    WHERE NOT passed
    GROUP BY ALL
)

SELECT
    CAST(cascade_order.step AS BIGINT) AS step,
    discriminator,
    coalesce(reasons.reason, '') AS reason,
    stratum,
    generator_id,
    prompt_id,
    CAST(groups.reached AS BIGINT) AS reached,
    CAST(coalesce(reasons.rejected, 0) AS BIGINT) AS rejected,
    round(coalesce(reasons.rejected, 0) / groups.reached, 6) AS share
FROM groups
JOIN cascade_order USING (discriminator)
LEFT JOIN reasons USING (discriminator, stratum, generator_id, prompt_id)
ORDER BY step, rejected DESC, reason, stratum, generator_id, prompt_id
