/*
---
description: >
  One row for every synthetic example of a round that was kept or reached the corpus: what made it, from which
  exemplars, which discriminators let it pass, what a reviewer said or made of it. The recall of a model, prompt, seed
  or reviewer starts here.
partitioned: dataset_round
columns:
  example_id:
    description: Id of the example.
    tests: [unique, not_null]
  content_id: {description: Hash of the content; equal for equal content.}
  stratum: {description: Stratum it was asked for., tests: [not_null]}
  state: {description: "kept, reserve where it replaced a reject, or edited by a reviewer."}
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
    description: >
      What the reviews of it came to; unreviewed where it was not in the sample, edited where a reviewer wrote it.
    tests: [{accepted_values: [accept, reject, flag, unreviewed, edited]}]
  reviewer_kind: {description: "human or automated, or both; null where unreviewed."}
  edited_by: {description: Reviewer who made it of the example in `parents`; null for what a generator made.}
  in_corpus: {description: Whether the corpus of the round holds it.}
tests:
  - name: every_row_was_generated_or_edited
    expression: >
      coalesce(parents[1], example_id) IN (
          SELECT example_id FROM candidates WHERE dataset = $dataset AND round = $round
      )
  - {name: no_rejected_row_in_corpus, expression: "NOT (in_corpus AND review_resolution IN ('reject', 'flag'))"}
  - {name: origin_is_told, expression: exemplars > 0 OR trained_on <> '' OR len(parents) > 0}
---
*/
WITH
survivors AS (
    SELECT
        example_id, content_id, stratum, state, request_id, attempt, generator_id, prompt_id, trained_on, prompted_by,
        parents, seed, example_id AS reviewed_id, NULL AS edited_by
    FROM filtered
    WHERE dataset = $dataset AND round = $round

    UNION ALL
    SELECT
        edited.example_id, edited.content_id, edited.stratum, 'edited', edited.request_id, edited.attempt,
        edited.generator_id, edited.prompt_id, edited.trained_on, edited.prompted_by, edited.parents, edited.seed,
        edits.original_id, edits.reviewer
    FROM review_outcome__edited AS edited
    JOIN review_outcome__edits AS edits USING (dataset, round, example_id)
    WHERE edited.dataset = $dataset AND edited.round = $round
),

mixed AS (
    SELECT DISTINCT example_id FROM corpus WHERE dataset = $dataset AND round = $round
),

all_verdicts AS (
    SELECT example_id, discriminator, version, passed FROM verdicts WHERE dataset = $dataset AND round = $round
    UNION ALL
    SELECT example_id, discriminator, version, passed
    FROM review_outcome__edited_verdicts
    WHERE dataset = $dataset AND round = $round
),

passes AS (
    SELECT example_id, string_agg(discriminator || ' ' || version, ', ' ORDER BY discriminator) AS passed
    FROM all_verdicts
    WHERE all_verdicts.passed
    GROUP BY example_id
),

resolved AS (
    SELECT example_id, resolution FROM review_outcome__resolutions WHERE dataset = $dataset AND round = $round
),

reviewers AS (
    SELECT example_id AS reviewed_id, string_agg(DISTINCT reviewer_kind, ', ' ORDER BY reviewer_kind) AS reviewer_kind
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
    CASE WHEN survivors.state = 'edited' THEN 'edited' ELSE coalesce(resolved.resolution, 'unreviewed') END
    AS review_resolution,
    reviewers.reviewer_kind,
    survivors.edited_by,
    mixed.example_id IS NOT NULL AS in_corpus
FROM survivors
LEFT JOIN mixed USING (example_id)
LEFT JOIN passes USING (example_id)
LEFT JOIN resolved USING (example_id)
LEFT JOIN reviewers USING (reviewed_id)
WHERE survivors.state = 'kept' OR mixed.example_id IS NOT NULL
ORDER BY survivors.request_id, survivors.attempt, survivors.example_id
