/*
---
description: >
  What became of every row of a round, step by step: real rows from the files to the corpus, completions through the
  discriminators and the review to the corpus, reserve rows that replaced rejects, what reviewers made of rejects. A
  step lets rows out, rejects them or holds them back, with one reason each; what no reason accounts for stands as
  `unexplained`.
partitioned: dataset_round
columns:
  flow:
    description: "real (seed rows), synthetic (completions), reserve (survivors above the target), edited (by people)."
  step: {description: Number of the step in its flow.}
  stage: {description: "Where it happens: reading, seeds, cascade, filtered, review, edit or mix."}
  reason:
    description: "Why rows stop here: a reject code, a discriminator, a split, or unexplained."
    tests: [not_null]
  rows_in: {description: Rows that reach the step.}
  rows_out: {description: Rows that go on.}
  rows_rejected: {description: Rows that are out for good.}
  rows_reserved: {description: "Good rows that are held back: other splits, private rows, the reserve, the surplus."}
tests:
  - {name: rows_are_conserved, expression: rows_in = rows_out + rows_rejected + rows_reserved}
  - {name: steps_join, expression: "rows_in = coalesce(lag(rows_out) OVER (PARTITION BY flow ORDER BY step), rows_in)"}
  - {name: nothing_is_unexplained, expression: reason <> 'unexplained' OR rows_rejected = 0}
  - name: no_count_is_negative
    expression: reason = 'unexplained' OR least(rows_in, rows_out, rows_rejected, rows_reserved) >= 0
---
*/
WITH
seed_rows AS (
    SELECT example_id, disposition, split FROM seeds WHERE dataset = $dataset
),

made AS (
    SELECT example_id FROM candidates WHERE dataset = $dataset AND round = $round
),

survivors AS (
    SELECT example_id, state FROM filtered WHERE dataset = $dataset AND round = $round
),

mixed AS (
    SELECT DISTINCT example_id, origin FROM corpus WHERE dataset = $dataset AND round = $round
),

is_decided AS (
    SELECT count(*) > 0 AS yes FROM review_outcome WHERE dataset = $dataset AND round = $round
),

-- The cascade judges only what earlier discriminators let pass, so the one that judged most stands first; of two that
-- judged the same rows, the one that rejected none.
cascade_order AS (
    SELECT
        discriminator,
        row_number() OVER (ORDER BY count(*) DESC, count(*) FILTER (NOT passed), discriminator) AS place
    FROM verdicts
    WHERE dataset = $dataset AND round = $round
    GROUP BY discriminator
),

first_failures AS (
    SELECT verdicts.example_id, min(cascade_order.place) AS place
    FROM verdicts
    JOIN cascade_order USING (discriminator)
    SEMI JOIN made ON made.example_id = verdicts.example_id
    WHERE verdicts.dataset = $dataset AND verdicts.round = $round AND NOT verdicts.passed
    GROUP BY verdicts.example_id
),

resolved AS (
    SELECT example_id, resolution FROM review_outcome__resolutions WHERE dataset = $dataset AND round = $round
),

survivor_fates AS (
    SELECT
        survivors.state,
        mixed.example_id IS NOT NULL AS in_corpus,
        coalesce(resolved.resolution IN ('reject', 'flag'), false) AS taken_out
    FROM survivors
    LEFT JOIN mixed USING (example_id)
    LEFT JOIN resolved USING (example_id)
),

edits AS (
    SELECT example_id, state, reason FROM review_outcome__edits WHERE dataset = $dataset AND round = $round
),

failed_edits AS (
    SELECT example_id, discriminator
    FROM review_outcome__edited_verdicts
    WHERE dataset = $dataset AND round = $round AND NOT passed
),

starts AS (
    SELECT
        'real' AS flow,
        (SELECT count(*) FROM raw_seeds WHERE dataset = $dataset)
        + (SELECT count(*) FROM raw_seeds__rejected WHERE dataset = $dataset) AS rows
    UNION ALL
    SELECT 'synthetic', count(*) FROM made
    UNION ALL
    SELECT 'reserve', count(*) FILTER (state = 'reserve') FROM survivors
    UNION ALL
    SELECT 'edited', count(*) FROM edits
),

losses AS (
    SELECT 'real' AS flow, 10 AS place, 'reading' AS stage, reason, count(*) AS rejected, 0 AS reserved
    FROM raw_seeds__rejected
    WHERE dataset = $dataset
    GROUP BY reason

    UNION ALL
    SELECT 'real', 20, 'seeds', reason, count(*), 0
    FROM seeds__rejected
    WHERE dataset = $dataset
    GROUP BY reason

    UNION ALL
    SELECT
        'real', 29, 'seeds', 'unexplained',
        (SELECT count(*) FROM raw_seeds WHERE dataset = $dataset)
        - (SELECT count(*) FROM seeds__rejected WHERE dataset = $dataset)
        - (SELECT count(*) FROM seed_rows),
        0

    UNION ALL
    SELECT
        'real', 30, 'mix',
        CASE
            WHEN split <> 'train' THEN split
            WHEN disposition <> 'releasable' THEN disposition
            ELSE 'not_taken'
        END AS reason,
        0, count(*)
    FROM seed_rows
    ANTI JOIN mixed USING (example_id)
    WHERE (SELECT yes FROM is_decided)
    GROUP BY ALL

    UNION ALL
    SELECT 'real', 39, 'mix', 'unexplained', -count(*), 0
    FROM mixed
    ANTI JOIN seed_rows USING (example_id)
    WHERE origin = 'real' AND (SELECT yes FROM is_decided)

    UNION ALL
    SELECT 'synthetic', 100 + place, 'cascade', discriminator, count(first_failures.example_id), 0
    FROM cascade_order
    LEFT JOIN first_failures USING (place)
    GROUP BY place, discriminator

    UNION ALL
    SELECT
        'synthetic', 10000, 'filtered', 'unexplained',
        (SELECT count(*) FROM made) - (SELECT count(*) FROM first_failures) - (SELECT count(*) FROM survivors),
        0

    UNION ALL
    SELECT 'synthetic', 10001, 'filtered', 'reserve', 0, count(*) FILTER (state = 'reserve') FROM survivors

    UNION ALL
    SELECT
        CASE state WHEN 'kept' THEN 'synthetic' ELSE 'reserve' END, 10010, 'review', 'taken_out',
        count(*) FILTER (taken_out), 0
    FROM survivor_fates
    GROUP BY state

    UNION ALL
    SELECT
        CASE state WHEN 'kept' THEN 'synthetic' ELSE 'reserve' END, 10020, 'mix', 'not_taken',
        0, count(*) FILTER (NOT in_corpus AND NOT taken_out)
    FROM survivor_fates
    WHERE (SELECT yes FROM is_decided)
    GROUP BY state

    UNION ALL
    SELECT
        CASE state WHEN 'kept' THEN 'synthetic' ELSE 'reserve' END, 10029, 'mix', 'unexplained',
        -count(*) FILTER (in_corpus AND taken_out), 0
    FROM survivor_fates
    WHERE (SELECT yes FROM is_decided)
    GROUP BY state

    UNION ALL
    SELECT 'edited', 10, 'edit', reason, count(*), 0
    FROM edits
    WHERE state = 'aside'
    GROUP BY reason

    UNION ALL
    SELECT 'edited', 20, 'cascade', discriminator, count(*), 0
    FROM failed_edits
    GROUP BY discriminator

    UNION ALL
    SELECT 'edited', 29, 'cascade', 'unexplained', count(*), 0
    FROM edits
    ANTI JOIN failed_edits USING (example_id)
    WHERE state = 'rejected'

    UNION ALL
    SELECT 'edited', 30, 'mix', 'not_taken', 0, count(*)
    FROM edits
    ANTI JOIN mixed USING (example_id)
    WHERE state = 'accepted' AND (SELECT yes FROM is_decided)
),

-- Each step starts with what all steps before it left over.
steps AS (
    SELECT
        flow,
        row_number() OVER flow_order AS step,
        stage,
        reason,
        starts.rows - coalesce(
            sum(rejected + reserved) OVER (flow_order ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
        ) AS rows_in,
        rejected,
        reserved
    FROM losses
    JOIN starts USING (flow)
    WHERE starts.rows > 0
    WINDOW flow_order AS (PARTITION BY flow ORDER BY place, reason)
)

SELECT
    flow,
    step,
    stage,
    reason,
    CAST(rows_in AS BIGINT) AS rows_in,
    CAST(rows_in - rejected - reserved AS BIGINT) AS rows_out,
    CAST(rejected AS BIGINT) AS rows_rejected,
    CAST(reserved AS BIGINT) AS rows_reserved
FROM steps
ORDER BY flow DESC, step
