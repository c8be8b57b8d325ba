-- SPDX-License-Identifier: BSD-3-Clause
-- Finds the longest time that each account spent below zero.

CREATE TEMP TABLE booking (account TEXT, booked_on TEXT, amount NUMERIC);

INSERT INTO booking VALUES
    ('harbour', '2025-01-03', 120),
    ('harbour', '2025-01-09', -150),
    ('harbour', '2025-01-20', 45),
    ('harbour', '2025-02-01', -60),
    ('harbour', '2025-02-02', 90),
    ('tower', '2025-01-05', 10),
    ('tower', '2025-01-15', -4);

WITH balance AS (
    SELECT
        account,
        booked_on,
        sum(amount) OVER (PARTITION BY account ORDER BY booked_on) AS after_booking,
        lead(booked_on) OVER (PARTITION BY account ORDER BY booked_on) AS next_booking
    FROM booking
),
islands AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY account ORDER BY booked_on)
            - row_number() OVER (PARTITION BY account, after_booking < 0 ORDER BY booked_on) AS island
    FROM balance
),
overdrawn AS (
    SELECT
        account,
        min(booked_on) AS began,
        max(next_booking) AS ended,
        min(after_booking) AS lowest
    FROM islands
    WHERE after_booking < 0
    GROUP BY account, island
)
SELECT
    account,
    began,
    ended,
    lowest,
    julianday(ended) - julianday(began) AS days
FROM overdrawn
ORDER BY days DESC, account;
