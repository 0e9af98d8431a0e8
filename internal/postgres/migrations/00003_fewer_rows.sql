-- A purchase says itself in which batches of the journal it was reserved, sent and answered: three rows of
-- purchase_positions less for each.
--
-- The position goes back to the beginning and the tables are emptied, so that the rows of a migrated database are those of
-- a new one. New columns have defaults, so that a rolled-back program can go on writing what it knows.

-- +goose Up
TRUNCATE terminals, refusals, work_items, reversals, budget_nodes, budget_movements, entitlements, refunds, captures,
    holds, purchases, programme, operator_acts, kill_switches, pauses, requests, inquiries, terminal_reports, batches,
    operations, supplements, purchase_positions;
UPDATE projection_position SET batch = 0, hash = decode(repeat('00', 32), 'hex'), seq = 0, at = NULL;

ALTER TABLE purchases
    ADD COLUMN reserved_in bigint NOT NULL DEFAULT 0,
    ADD COLUMN sent_in     bigint NOT NULL DEFAULT 0,
    ADD COLUMN ended_in    bigint NOT NULL DEFAULT 0;

-- +goose Down
TRUNCATE terminals, refusals, work_items, reversals, budget_nodes, budget_movements, entitlements, refunds, captures,
    holds, purchases, programme, operator_acts, kill_switches, pauses, requests, inquiries, terminal_reports, batches,
    operations, supplements, purchase_positions;
UPDATE projection_position SET batch = 0, hash = decode(repeat('00', 32), 'hex'), seq = 0, at = NULL;
ALTER TABLE purchases DROP COLUMN reserved_in, DROP COLUMN sent_in, DROP COLUMN ended_in;
