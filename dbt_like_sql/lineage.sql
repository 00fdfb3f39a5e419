/*
---
description: >
  One row for every synthetic example of a round that was kept or reached the corpus: what made it, from which
  exemplars, which discriminators let it pass, what a reviewer said. The recall of a model, prompt or seed starts here.
partitioned: dataset_round
columns:
  example_id:
    description: Id of the example.
    tests: [unique, not_null, {relationships: {to: candidates, field: example_id}}]
  content_id: {description: Hash of the content; equal for equal content.}
  stratum: {description: Stratum it was asked for., tests: [not_null]}
  state: {description: "kept, or reserve where it replaced a reject."}
  request_id: {description: Request that it answers.}
  attempt: {description: Which completion of the request it is.}
  generator_id: {description: "Engine, model, weights and version that made it.", tests: [not_null]}
  prompt_id: {description: Hash of the prompt template and plan., tests: [not_null]}
  trained_on: {description: Digest of the seed set a fitted generator was trained on; empty for others.}
  exemplars: {description: Number of seed rows in its prompt.}
  prompted_by: {description: Ids of those seed rows.}
  parents: {description: "Ids of the examples it was edited, translated or varied from."}
  seed: {description: Random seed of the request.}
  passed: {description: "Discriminators that let it pass, with version."}
  review_resolution:
    description: What the reviews of it came to; unreviewed where it was not in the sample.
    tests: [{accepted_values: [accept, reject, flag, unreviewed]}]
  reviewer_kind: {description: "human or automated, or both; null where unreviewed."}
  in_corpus: {description: Whether the corpus of the round holds it.}
tests:
  - {name: no_rejected_row_in_corpus, expression: "NOT (in_corpus AND review_resolution IN ('reject', 'flag'))"}
  - {name: origin_is_told, expression: exemplars > 0 OR trained_on <> '' OR len(parents) > 0}
---
*/
WITH
survivors AS (
    SELECT * FROM filtered WHERE dataset = $dataset AND round = $round
),

mixed AS (
    SELECT DISTINCT example_id FROM corpus WHERE dataset = $dataset AND round = $round
),

passes AS (
    SELECT example_id, string_agg(discriminator || ' ' || version, ', ' ORDER BY discriminator) AS passed
    FROM verdicts
    WHERE dataset = $dataset AND round = $round AND verdicts.passed
    GROUP BY example_id
),

resolved AS (
    SELECT example_id, resolution FROM review_outcome__resolutions WHERE dataset = $dataset AND round = $round
),

reviewers AS (
    SELECT example_id, string_agg(DISTINCT reviewer_kind, ', ' ORDER BY reviewer_kind) AS reviewer_kind
    FROM review_outcome__decisions
    WHERE dataset = $dataset AND round = $round
    GROUP BY example_id
)

SELECT
    survivors.example_id,
    survivors.content_id,
    survivors.stratum,
    survivors.state,
    survivors.request_id,
    survivors.attempt,
    survivors.generator_id,
    survivors.prompt_id,
    survivors.trained_on,
    coalesce(len(survivors.prompted_by), 0) AS exemplars,
    survivors.prompted_by,
    survivors.parents,
    survivors.seed,
    passes.passed,
    coalesce(resolved.resolution, 'unreviewed') AS review_resolution,
    reviewers.reviewer_kind,
    mixed.example_id IS NOT NULL AS in_corpus
FROM survivors
LEFT JOIN mixed USING (example_id)
LEFT JOIN passes USING (example_id)
LEFT JOIN resolved USING (example_id)
LEFT JOIN reviewers USING (example_id)
WHERE survivors.state = 'kept' OR mixed.example_id IS NOT NULL
ORDER BY survivors.request_id, survivors.attempt
