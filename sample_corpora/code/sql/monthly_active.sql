-- SPDX-License-Identifier: MIT
-- How many readers were active in each month, and how many of them came back.

CREATE TABLE IF NOT EXISTS visits (
    reader_id   INTEGER NOT NULL,
    page        TEXT NOT NULL,
    visited_on  DATE NOT NULL
);

CREATE INDEX IF NOT EXISTS visits_by_day ON visits (visited_on, reader_id);

WITH active AS (
    SELECT DISTINCT
        reader_id,
        strftime('%Y-%m', visited_on) AS month
    FROM visits
),
first_month AS (
    SELECT reader_id, min(month) AS joined
    FROM active
    GROUP BY reader_id
),
paired AS (
    SELECT
        a.month,
        a.reader_id,
        f.joined,
        EXISTS (
            SELECT 1
            FROM active AS b
            WHERE b.reader_id = a.reader_id
              AND b.month = strftime('%Y-%m', a.month || '-01', '-1 month')
        ) AS was_here_before
    FROM active AS a
    JOIN first_month AS f USING (reader_id)
)
SELECT
    month,
    count(*) AS readers,
    sum(joined = month) AS new_readers,
    sum(was_here_before) AS stayed,
    sum(joined < month AND NOT was_here_before) AS returned
FROM paired
GROUP BY month
ORDER BY month;
