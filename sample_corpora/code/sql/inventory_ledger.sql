-- SPDX-License-Identifier: Apache-2.0
-- A stock ledger: quantities are never updated, only movements are added.

CREATE TABLE item (
    item_id  INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    unit     TEXT NOT NULL DEFAULT 'piece'
);

CREATE TABLE movement (
    movement_id  INTEGER PRIMARY KEY,
    item_id      INTEGER NOT NULL REFERENCES item,
    quantity     NUMERIC NOT NULL CHECK (quantity <> 0),
    reason       TEXT NOT NULL CHECK (reason IN ('purchase', 'sale', 'loss', 'count')),
    happened_at  TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE VIEW stock AS
SELECT item.item_id, item.name, coalesce(sum(quantity), 0) AS on_hand, item.unit
FROM item
LEFT JOIN movement USING (item_id)
GROUP BY item.item_id;

-- Nobody can take out what is not there.
CREATE TRIGGER no_negative_stock
BEFORE INSERT ON movement
WHEN NEW.quantity < 0
 AND (SELECT on_hand FROM stock WHERE item_id = NEW.item_id) + NEW.quantity < 0
BEGIN
    SELECT RAISE(ABORT, 'not enough in stock');
END;

-- The past cannot be rewritten; a mistake is mended by another movement.
CREATE TRIGGER movements_are_final
BEFORE UPDATE ON movement
BEGIN
    SELECT RAISE(ABORT, 'movements are final; add a correcting one');
END;

INSERT INTO item (name, unit) VALUES ('lamp oil', 'litre'), ('wick', 'piece');
INSERT INTO movement (item_id, quantity, reason) VALUES (1, 40, 'purchase'), (1, -3.5, 'sale'), (2, 12, 'purchase');

SELECT name, on_hand, unit FROM stock ORDER BY name;
