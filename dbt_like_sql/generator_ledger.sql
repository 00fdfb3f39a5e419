/*
---
description: What each generator made in each round, what of it was kept and accepted, and what it used.
partitioned: dataset
columns:
  round: {description: Round., tests: [not_null]}
  generator_id: {description: "Engine, model, weights and version.", tests: [not_null]}
  waves: {description: Generate-and-filter waves.}
  candidates: {description: Completions.}
  kept: {description: Candidates that passed every discriminator and lie within the target.}
  reserve: {description: Candidates that passed and lie above the target.}
  accepted: {description: Rows that reached the corpus of their round.}
  yield: {description: Share of the candidates that passed every discriminator; null without candidates.}
  prompt_tokens: {description: Tokens read.}
  output_tokens: {description: "Tokens generated, by a judge of its rows too."}
  seconds: {description: Seconds of generation and filtering.}
  tokens_per_accepted: {description: Generated tokens for one accepted row; null where none was accepted.}
tests:
  - {name: one_row_a_generator_and_round, expression: "count(*) = count(DISTINCT (round, generator_id))"}
  - {name: yield_is_a_share, expression: yield IS NULL OR yield BETWEEN 0 AND 1}
  - {name: accepted_rows_passed, expression: accepted <= kept + reserve}
  - name: every_candidate_counts
    expression: sum(candidates) = (SELECT count(*) FROM candidates WHERE dataset = $dataset)
---
*/
WITH
made AS (
    SELECT round, generator_id, count(*) AS candidates
    FROM candidates
    WHERE dataset = $dataset
    GROUP BY ALL
),

passed AS (
    SELECT
        filtered.round,
        filtered.generator_id,
        count(*) FILTER (filtered.state = 'kept') AS kept,
        count(*) FILTER (filtered.state = 'reserve') AS reserve,
        count(mixed.example_id) AS accepted
    FROM filtered
    LEFT JOIN (SELECT DISTINCT round, example_id FROM corpus WHERE dataset = $dataset) AS mixed
        ON mixed.round = filtered.round AND mixed.example_id = filtered.example_id
    WHERE filtered.dataset = $dataset
    GROUP BY ALL
),

used AS (
    SELECT
        round,
        generator_id,
        count(*) AS waves,
        sum(prompt_tokens) AS prompt_tokens,
        sum(output_tokens) AS output_tokens,
        sum(seconds) AS seconds
    FROM candidates__usage
    WHERE dataset = $dataset
    GROUP BY ALL
)

SELECT
    round,
    generator_id,
    coalesce(used.waves, 0) AS waves,
    coalesce(made.candidates, 0) AS candidates,
    coalesce(passed.kept, 0) AS kept,
    coalesce(passed.reserve, 0) AS reserve,
    coalesce(passed.accepted, 0) AS accepted,
    round((coalesce(passed.kept, 0) + coalesce(passed.reserve, 0)) / made.candidates, 6) AS yield,
    CAST(coalesce(used.prompt_tokens, 0) AS BIGINT) AS prompt_tokens,
    CAST(coalesce(used.output_tokens, 0) AS BIGINT) AS output_tokens,
    round(coalesce(used.seconds, 0), 3) AS seconds,
    round(used.output_tokens / nullif(passed.accepted, 0), 1) AS tokens_per_accepted
FROM used
FULL JOIN made USING (round, generator_id)
LEFT JOIN passed USING (round, generator_id)
ORDER BY length(round), round, generator_id
