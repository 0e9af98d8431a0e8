-- What comes after the sale: voids, refunds, terminal settlement, dead letters, and the acts of operators.
--
-- Rows are a function of the whole journal. These tables say more of events that are rows already, so everything is
-- emptied and the position set to the beginning: the projector fills the database again, and the switch goes on meanwhile.
-- New columns have defaults, so that a rolled-back program can go on writing what it knows.

-- +goose Up
TRUNCATE terminals, refusals, work_items, reversals, budget_nodes, budget_movements, entitlements, refunds, captures,
    holds, purchases, programme;
UPDATE projection_position SET batch = 0, hash = decode(repeat('00', 32), 'hex'), seq = 0, at = NULL;

ALTER TABLE purchases
    DROP CONSTRAINT purchases_state_check,
    ADD CONSTRAINT purchases_state_check CHECK (state IN
        ('reserved', 'sent', 'unknown', 'captured', 'declined', 'reversing', 'reversed', 'expired', 'cancelled',
         'voiding', 'voided', 'refunding', 'refunded')),
    ADD COLUMN kind           text    NOT NULL DEFAULT 'sale' CHECK (kind IN
        ('sale', 'preauth', 'preauth_void', 'completion', 'completion_void')),
    ADD COLUMN caller         text    NOT NULL DEFAULT '',
    ADD COLUMN reference      text    NOT NULL DEFAULT '',
    ADD COLUMN wallet         boolean NOT NULL DEFAULT false,
    ADD COLUMN manual         boolean NOT NULL DEFAULT false,
    ADD COLUMN grade          bigint  NOT NULL DEFAULT 0,
    ADD COLUMN label          text    NOT NULL DEFAULT '',
    ADD COLUMN attributes     text[]  NOT NULL DEFAULT '{}',
    ADD COLUMN old_item       text    NOT NULL DEFAULT '',
    ADD COLUMN reserve_batch  bigint  NOT NULL DEFAULT 0,
    ADD COLUMN reserve_stan   bigint  NOT NULL DEFAULT 0,
    ADD COLUMN card_token     bytea   NOT NULL DEFAULT '',
    ADD COLUMN serial_hash    bytea   NOT NULL DEFAULT '',
    ADD COLUMN refunded       bigint  NOT NULL DEFAULT 0 CHECK (refunded >= 0),
    ADD COLUMN returned       bigint  NOT NULL DEFAULT 0 CHECK (returned >= 0),
    ADD COLUMN refunding      bigint  NOT NULL DEFAULT 0 CHECK (refunding >= 0),
    ADD COLUMN refunds_open   bigint  NOT NULL DEFAULT 0 CHECK (refunds_open >= 0),
    ADD COLUMN kept_price     bigint  NOT NULL DEFAULT 0,
    ADD COLUMN captured_at    timestamptz,
    ADD COLUMN quarantine_at  timestamptz,
    ADD COLUMN restored_at    timestamptz,
    ADD COLUMN queries        bigint  NOT NULL DEFAULT 0,
    ADD COLUMN query_at       timestamptz;
-- No index here names the state, not even in its condition: a purchase changes it three times, and stays where it lies.
CREATE INDEX purchases_terminal ON purchases (terminal, stan) WHERE terminal <> '';
CREATE INDEX purchases_reserve ON purchases (terminal, reserve_stan) WHERE reserve_stan <> 0;
CREATE INDEX purchases_card ON purchases (card_token) WHERE card_token <> '';
CREATE INDEX purchases_serial ON purchases (serial_hash) WHERE serial_hash <> '';
CREATE INDEX purchases_reference ON purchases (reference) WHERE reference <> '';
CREATE INDEX purchases_manual ON purchases (id) WHERE manual;

-- A purchase is in these batches of the journal: what its whole trail is read from.
CREATE TABLE purchase_positions (
    purchase bigint NOT NULL,
    position bigint NOT NULL,
    month    date   NOT NULL,
    PRIMARY KEY (purchase, position, month)
) PARTITION BY RANGE (month);

-- A hold that an operator has recorded by hand never waited for anything.
ALTER TABLE holds ALTER COLUMN expires_at DROP NOT NULL;

-- What is posted to merchants and payers lies with the fact that is posted: a later refund changes the purchase.
ALTER TABLE captures
    ADD COLUMN kind         text     NOT NULL DEFAULT 'sale',
    ADD COLUMN caller       text     NOT NULL DEFAULT '',
    ADD COLUMN reference    text     NOT NULL DEFAULT '',
    ADD COLUMN funders      text[]   NOT NULL DEFAULT '{}',
    ADD COLUMN funder_parts bigint[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT captures_parts_check CHECK (cardinality(funder_parts) = cardinality(funders));
ALTER TABLE refunds
    ADD COLUMN operation    bigint   NOT NULL DEFAULT 0,
    ADD COLUMN sale_kind    text     NOT NULL DEFAULT 'sale',
    ADD COLUMN merchant     text     NOT NULL DEFAULT '',
    ADD COLUMN funders      text[]   NOT NULL DEFAULT '{}',
    ADD COLUMN funder_parts bigint[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT refunds_kind_check CHECK (kind IN ('reversal', 'void', 'refund')),
    ADD CONSTRAINT refunds_parts_check CHECK (cardinality(funder_parts) = cardinality(funders));

CREATE TABLE supplements (
    seq             bigint   NOT NULL,
    month           date     NOT NULL,
    purchase        bigint   NOT NULL,
    entitlement     bigint   NOT NULL,
    city            text     NOT NULL,
    merchant        text     NOT NULL,
    category        text     NOT NULL,
    leaf            text     NOT NULL,
    price           bigint   NOT NULL,
    amount          bigint   NOT NULL,
    subsidy         bigint   NOT NULL CHECK (subsidy >= 0),
    funders         text[]   NOT NULL,
    funder_parts    bigint[] NOT NULL CHECK (cardinality(funder_parts) = cardinality(funders)),
    case_id         text     NOT NULL,
    evidence        text     NOT NULL,
    actor           text     NOT NULL,
    second          text     NOT NULL,
    reason          text     NOT NULL,
    document        text     NOT NULL,
    supplemented_at timestamptz NOT NULL,
    PRIMARY KEY (seq, month)
) PARTITION BY RANGE (month);

CREATE TABLE operations (
    id             bigint   NOT NULL,
    month          date     NOT NULL,
    purchase       bigint   NOT NULL,
    kind           text     NOT NULL CHECK (kind IN ('void', 'refund')),
    state          text     NOT NULL CHECK (state IN
                   ('sent', 'approved', 'declined', 'unknown', 'reversing', 'reversed')),
    merchant       text     NOT NULL,
    terminal       text     NOT NULL,
    terminal_batch bigint   NOT NULL,
    stan           bigint   NOT NULL,
    caller         text     NOT NULL,
    reference      text     NOT NULL,
    host           text     NOT NULL,
    host_stan      bigint   NOT NULL,
    rrn            text     NOT NULL,
    wallet         boolean  NOT NULL,
    card_mask      text     NOT NULL,
    amount         bigint   NOT NULL,
    activated      boolean  NOT NULL,
    whole          boolean  NOT NULL,
    returned       bigint   NOT NULL,
    funders        text[]   NOT NULL,
    funder_parts   bigint[] NOT NULL CHECK (cardinality(funder_parts) = cardinality(funders)),
    kept_price     bigint   NOT NULL,
    restores       boolean  NOT NULL,
    restore_at     timestamptz,
    response       text     NOT NULL,
    approval       text     NOT NULL,
    clearing_date  text     NOT NULL,
    decline_cause  text     NOT NULL,
    late_response  text     NOT NULL,
    late_at        timestamptz,
    settled_by     text     NOT NULL,
    sent_at        timestamptz NOT NULL,
    deadline       timestamptz,
    expires_at     timestamptz,
    ended_at       timestamptz,
    queries        bigint   NOT NULL,
    query_at       timestamptz,
    quarantine_at  timestamptz,
    released_at    timestamptz,
    release_cause  text     NOT NULL,
    reversal       bigint   NOT NULL,
    changed_at     timestamptz NOT NULL,
    seq            bigint   NOT NULL,
    PRIMARY KEY (id, month)
) PARTITION BY RANGE (month);
CREATE INDEX operations_purchase ON operations (purchase);
CREATE INDEX operations_rrn ON operations (rrn) WHERE rrn <> '';
CREATE INDEX operations_terminal ON operations (terminal, stan) WHERE terminal <> '';
CREATE INDEX operations_reference ON operations (reference) WHERE reference <> '';
CREATE INDEX operations_open ON operations (id) WHERE state IN ('sent', 'unknown', 'reversing');
CREATE INDEX operations_quarantine ON operations (id) WHERE quarantine_at IS NOT NULL AND released_at IS NULL;

ALTER TABLE reversals
    DROP CONSTRAINT reversals_state_check,
    ADD CONSTRAINT reversals_state_check CHECK (state IN ('waiting', 'done', 'refused', 'dead', 'resolved')),
    ADD COLUMN operation  bigint  NOT NULL DEFAULT 0,
    ADD COLUMN keeps_hold boolean NOT NULL DEFAULT false,
    ADD COLUMN captured   boolean NOT NULL DEFAULT false,
    ADD COLUMN querying   boolean NOT NULL DEFAULT false,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN dead_at    timestamptz,
    ADD COLUMN outcome    text    NOT NULL DEFAULT '',
    ADD COLUMN settled_by text    NOT NULL DEFAULT '';
CREATE INDEX reversals_purchase ON reversals (purchase);
CREATE INDEX reversals_dead ON reversals (id) WHERE state = 'dead';

ALTER TABLE work_items
    ADD COLUMN state     text   NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
    ADD COLUMN operation bigint NOT NULL DEFAULT 0,
    ADD COLUMN terminal  text   NOT NULL DEFAULT '',
    ADD COLUMN merchant  text   NOT NULL DEFAULT '',
    ADD COLUMN closed_at timestamptz,
    ADD COLUMN closed_by text   NOT NULL DEFAULT '';
CREATE INDEX work_items_open ON work_items (id) WHERE state = 'open';
CREATE INDEX work_items_purchase ON work_items (purchase) WHERE purchase <> 0;

ALTER TABLE refusals
    DROP CONSTRAINT refusals_kind_check,
    ADD CONSTRAINT refusals_kind_check CHECK (kind IN ('reserve', 'sale', 'void', 'refund', 'reversal')),
    ADD COLUMN caller text NOT NULL DEFAULT '';

ALTER TABLE budget_nodes ADD COLUMN manual bigint NOT NULL DEFAULT 0;

-- Terminal settlements. The same number of a terminal comes again after 999999 batches: id is the number of the event.
CREATE TABLE batches (
    id                     bigint  NOT NULL,
    month                  date    NOT NULL,
    terminal               text    NOT NULL,
    merchant               text    NOT NULL,
    batch                  bigint  NOT NULL,
    stan                   bigint  NOT NULL,
    next_batch             bigint  NOT NULL,
    equal                  boolean NOT NULL,
    claimed_debit          bigint  NOT NULL,
    claimed_debit_count    bigint  NOT NULL,
    claimed_credit         bigint  NOT NULL,
    claimed_credit_count   bigint  NOT NULL,
    claimed_subsidy        bigint  NOT NULL,
    claimed_subsidy_count  bigint  NOT NULL,
    kept_debit             bigint  NOT NULL,
    kept_debit_count       bigint  NOT NULL,
    kept_credit            bigint  NOT NULL,
    kept_credit_count      bigint  NOT NULL,
    kept_subsidy           bigint  NOT NULL,
    kept_subsidy_count     bigint  NOT NULL,
    upload                 text    NOT NULL CHECK (upload IN ('none', 'open', 'ended')),
    matched                bigint  NOT NULL,
    differing              bigint  NOT NULL,
    sent                   bigint  NOT NULL,
    missing                bigint  NOT NULL,
    settled_at             timestamptz NOT NULL,
    uploaded_at            timestamptz,
    seq                    bigint  NOT NULL,
    PRIMARY KEY (id, month)
) PARTITION BY RANGE (month);
CREATE INDEX batches_terminal ON batches (terminal, merchant, batch, id);

CREATE TABLE terminal_reports (
    seq            bigint NOT NULL,
    month          date   NOT NULL,
    terminal       text   NOT NULL,
    merchant       text   NOT NULL,
    terminal_batch bigint NOT NULL,
    stan           bigint NOT NULL,
    kind           text   NOT NULL,
    purchase       bigint NOT NULL,
    icc            bytea  NOT NULL,
    detail         text   NOT NULL,
    reported_at    timestamptz NOT NULL,
    PRIMARY KEY (seq, month)
) PARTITION BY RANGE (month);

CREATE TABLE inquiries (
    id             bigint NOT NULL,
    month          date   NOT NULL,
    terminal       text   NOT NULL,
    merchant       text   NOT NULL,
    terminal_batch bigint NOT NULL,
    stan           bigint NOT NULL,
    host           text   NOT NULL,
    host_stan      bigint NOT NULL,
    rrn            text   NOT NULL,
    response       text   NOT NULL,
    sent_at        timestamptz NOT NULL,
    ended_at       timestamptz,
    seq            bigint NOT NULL,
    PRIMARY KEY (id, month)
) PARTITION BY RANGE (month);
CREATE INDEX inquiries_open ON inquiries (id) WHERE ended_at IS NULL;

CREATE TABLE requests (
    seq       bigint NOT NULL,
    month     date   NOT NULL,
    request   bytea  NOT NULL,
    content   bytea  NOT NULL,
    kind      text   NOT NULL CHECK (kind IN ('reserve', 'commit', 'cancel', 'refund')),
    purchase  bigint NOT NULL,
    operation bigint NOT NULL,
    reasons   int[]  NOT NULL,
    price     bigint NOT NULL,
    kept_at   timestamptz NOT NULL,
    PRIMARY KEY (seq, month)
) PARTITION BY RANGE (month);

CREATE TABLE pauses (
    id              bigint PRIMARY KEY,
    city            text   NOT NULL,
    category        text   NOT NULL,
    channel         text   NOT NULL,
    from_at         timestamptz NOT NULL,
    to_at           timestamptz,
    set_at          timestamptz NOT NULL,
    set_by          text   NOT NULL,
    reason          text   NOT NULL,
    document        text   NOT NULL,
    lifted_at       timestamptz,
    lifted_by       text   NOT NULL,
    lifted_reason   text   NOT NULL,
    lifted_document text   NOT NULL,
    seq             bigint NOT NULL
);

CREATE TABLE kill_switches (
    merchant   text    NOT NULL,
    terminal   text    NOT NULL,
    stopped    boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text    NOT NULL,
    reason     text    NOT NULL,
    document   text    NOT NULL,
    seq        bigint  NOT NULL,
    PRIMARY KEY (merchant, terminal)
);

CREATE TABLE operator_acts (
    seq       bigint PRIMARY KEY,
    kind      text   NOT NULL,
    actor     text   NOT NULL,
    second    text   NOT NULL,
    reason    text   NOT NULL,
    document  text   NOT NULL,
    account   text   NOT NULL,
    what      text   NOT NULL,
    purchase  bigint NOT NULL,
    acted_at  timestamptz NOT NULL
);
CREATE INDEX operator_acts_purchase ON operator_acts (purchase) WHERE purchase <> 0;

-- +goose Down
DROP TABLE operator_acts, kill_switches, pauses, requests, inquiries, terminal_reports, batches, operations, supplements,
    purchase_positions;
TRUNCATE terminals, refusals, work_items, reversals, budget_nodes, budget_movements, entitlements, refunds, captures,
    holds, purchases, programme;
UPDATE projection_position SET batch = 0, hash = decode(repeat('00', 32), 'hex'), seq = 0, at = NULL;
ALTER TABLE budget_nodes DROP COLUMN manual;
ALTER TABLE refusals
    DROP COLUMN caller,
    DROP CONSTRAINT refusals_kind_check,
    ADD CONSTRAINT refusals_kind_check CHECK (kind IN ('reserve', 'sale', 'reversal'));
DROP INDEX work_items_open, work_items_purchase;
ALTER TABLE work_items
    DROP COLUMN state, DROP COLUMN operation, DROP COLUMN terminal, DROP COLUMN merchant, DROP COLUMN closed_at,
    DROP COLUMN closed_by;
DROP INDEX reversals_purchase, reversals_dead;
ALTER TABLE reversals
    DROP COLUMN operation, DROP COLUMN keeps_hold, DROP COLUMN captured, DROP COLUMN querying, DROP COLUMN expires_at,
    DROP COLUMN dead_at, DROP COLUMN outcome, DROP COLUMN settled_by,
    DROP CONSTRAINT reversals_state_check,
    ADD CONSTRAINT reversals_state_check CHECK (state IN ('waiting', 'done', 'refused'));
ALTER TABLE refunds
    DROP CONSTRAINT refunds_kind_check, DROP CONSTRAINT refunds_parts_check,
    DROP COLUMN operation, DROP COLUMN sale_kind, DROP COLUMN merchant, DROP COLUMN funders, DROP COLUMN funder_parts;
ALTER TABLE captures
    DROP CONSTRAINT captures_parts_check,
    DROP COLUMN kind, DROP COLUMN caller, DROP COLUMN reference, DROP COLUMN funders, DROP COLUMN funder_parts;
ALTER TABLE holds ALTER COLUMN expires_at SET NOT NULL;
DROP INDEX purchases_terminal, purchases_reserve, purchases_card, purchases_serial, purchases_reference,
    purchases_manual;
ALTER TABLE purchases
    DROP CONSTRAINT purchases_state_check,
    ADD CONSTRAINT purchases_state_check CHECK (state IN
        ('reserved', 'sent', 'captured', 'declined', 'reversing', 'reversed', 'expired', 'cancelled')),
    DROP COLUMN kind, DROP COLUMN caller, DROP COLUMN reference, DROP COLUMN wallet, DROP COLUMN manual,
    DROP COLUMN grade, DROP COLUMN label, DROP COLUMN attributes, DROP COLUMN old_item, DROP COLUMN reserve_batch,
    DROP COLUMN reserve_stan, DROP COLUMN card_token, DROP COLUMN serial_hash, DROP COLUMN refunded,
    DROP COLUMN returned, DROP COLUMN refunding, DROP COLUMN refunds_open, DROP COLUMN kept_price,
    DROP COLUMN captured_at, DROP COLUMN quarantine_at, DROP COLUMN restored_at, DROP COLUMN queries,
    DROP COLUMN query_at;
