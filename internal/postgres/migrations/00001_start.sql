-- The projection of the journal. Every table but the small ones is partitioned by business month (Asia/Shanghai), which
-- is the month of a row's first event and never changes; partitions are made by the writer, a month ahead.
--
-- Amounts are fen. Persons are keyed hashes. No card number, serial number or code stands here in clear.

-- +goose Up
CREATE TABLE projection_position (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    batch bigint NOT NULL,
    hash  bytea  NOT NULL CHECK (length(hash) = 32),
    seq   bigint NOT NULL,
    at    timestamptz
);
INSERT INTO projection_position (batch, hash, seq) VALUES (0, decode(repeat('00', 32), 'hex'), 0);

CREATE TABLE programme (
    one              boolean PRIMARY KEY DEFAULT true CHECK (one),
    name             text   NOT NULL,
    person_key_check bytea  NOT NULL,
    epoch            bigint NOT NULL,
    owner            text   NOT NULL,
    software         text   NOT NULL,
    policy_digest    bytea  NOT NULL,
    policy_versions  text[] NOT NULL,
    policy_at        timestamptz,
    seq              bigint NOT NULL
);

CREATE TABLE purchases (
    id             bigint  NOT NULL,
    month          date    NOT NULL,
    state          text    NOT NULL CHECK (state IN
                   ('reserved', 'sent', 'captured', 'declined', 'reversing', 'reversed', 'expired', 'cancelled')),
    ordinary       boolean NOT NULL,
    entitlement    bigint  NOT NULL,
    person         bytea   NOT NULL,
    category       text    NOT NULL,
    city           text    NOT NULL,
    paying_city    text    NOT NULL,
    located_city   text    NOT NULL,
    channel        text    NOT NULL,
    merchant       text    NOT NULL,
    terminal       text    NOT NULL,
    terminal_batch bigint  NOT NULL,
    stan           bigint  NOT NULL,
    barcode        text    NOT NULL,
    serial_mask    text    NOT NULL,
    order_ref      text    NOT NULL,
    price          bigint  NOT NULL,
    base           bigint  NOT NULL,
    subsidy        bigint  NOT NULL CHECK (subsidy >= 0),
    payable        bigint  NOT NULL,
    amount         bigint  NOT NULL,
    from_claim     bigint  NOT NULL,
    leaf           text    NOT NULL,
    policy_version text    NOT NULL,
    marks          text[]  NOT NULL,
    funders        text[]  NOT NULL,
    funder_parts   bigint[] NOT NULL CHECK (cardinality(funder_parts) = cardinality(funders)),
    items_before   bigint  NOT NULL,
    reserved_at    timestamptz,
    expires_at     timestamptz,
    sent_at        timestamptz,
    changed_at     timestamptz NOT NULL,
    host           text    NOT NULL,
    host_stan      bigint  NOT NULL,
    rrn            text    NOT NULL,
    card_mask      text    NOT NULL,
    entry_mode     text    NOT NULL,
    response       text    NOT NULL,
    approval       text    NOT NULL,
    clearing_date  text    NOT NULL,
    decline_cause  text    NOT NULL,
    late_response  text    NOT NULL,
    late_at        timestamptz,
    reversal       bigint  NOT NULL,
    seq            bigint  NOT NULL,
    PRIMARY KEY (id, month)
) PARTITION BY RANGE (month);
CREATE INDEX purchases_rrn ON purchases (rrn) WHERE rrn <> '';
CREATE INDEX purchases_person ON purchases (person, category) WHERE NOT ordinary;

CREATE TABLE holds (
    purchase    bigint NOT NULL,
    month       date   NOT NULL,
    state       text   NOT NULL CHECK (state IN ('open', 'spent', 'released')),
    cause       text   NOT NULL,
    entitlement bigint NOT NULL,
    leaf        text   NOT NULL,
    subsidy     bigint NOT NULL CHECK (subsidy >= 0),
    taken_at    timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    seq         bigint NOT NULL,
    PRIMARY KEY (purchase, month)
) PARTITION BY RANGE (month);

CREATE TABLE captures (
    purchase      bigint  NOT NULL,
    month         date    NOT NULL,
    ordinary      boolean NOT NULL,
    city          text    NOT NULL,
    merchant      text    NOT NULL,
    terminal      text    NOT NULL,
    category      text    NOT NULL,
    leaf          text    NOT NULL,
    amount        bigint  NOT NULL,
    subsidy       bigint  NOT NULL CHECK (subsidy >= 0),
    host          text    NOT NULL,
    rrn           text    NOT NULL,
    response      text    NOT NULL,
    approval      text    NOT NULL,
    clearing_date text    NOT NULL,
    captured_at   timestamptz NOT NULL,
    seq           bigint  NOT NULL,
    PRIMARY KEY (purchase, month)
) PARTITION BY RANGE (month);

CREATE TABLE refunds (
    seq         bigint NOT NULL,
    month       date   NOT NULL,
    purchase    bigint NOT NULL,
    kind        text   NOT NULL,
    cause       text   NOT NULL,
    reversal    bigint NOT NULL,
    leaf        text   NOT NULL,
    amount      bigint NOT NULL,
    subsidy     bigint NOT NULL CHECK (subsidy >= 0),
    refunded_at timestamptz NOT NULL,
    PRIMARY KEY (seq, month)
) PARTITION BY RANGE (month);
CREATE INDEX refunds_purchase ON refunds (purchase);

CREATE TABLE entitlements (
    id             bigint NOT NULL,
    month          date   NOT NULL,
    state          text   NOT NULL CHECK (state IN ('claimed', 'held', 'used', 'expired', 'returned')),
    person         bytea  NOT NULL,
    category       text   NOT NULL,
    city           text   NOT NULL,
    channel        text   NOT NULL,
    id_kind        text   NOT NULL,
    policy_version text   NOT NULL,
    reserved       bigint NOT NULL CHECK (reserved >= 0),
    leaf           text   NOT NULL,
    purchase       bigint NOT NULL,
    claimed_at     timestamptz NOT NULL,
    expires_at     timestamptz,
    changed_at     timestamptz NOT NULL,
    seq            bigint NOT NULL,
    PRIMARY KEY (id, month)
) PARTITION BY RANGE (month);
CREATE INDEX entitlements_person ON entitlements (person, category);

CREATE TABLE budget_movements (
    seq         bigint NOT NULL,
    path        text   NOT NULL,
    month       date   NOT NULL,
    kind        text   NOT NULL,
    allocated   bigint NOT NULL,
    held        bigint NOT NULL,
    spent       bigint NOT NULL,
    released    bigint NOT NULL,
    purchase    bigint NOT NULL,
    entitlement bigint NOT NULL,
    moved_at    timestamptz NOT NULL,
    PRIMARY KEY (seq, path, month)
) PARTITION BY RANGE (month);

CREATE TABLE budget_nodes (
    path        text    PRIMARY KEY,
    parent      text    NOT NULL,
    root        boolean NOT NULL,
    allocated   bigint  NOT NULL,
    held        bigint  NOT NULL CHECK (held >= 0),
    spent       bigint  NOT NULL CHECK (spent >= 0),
    released    bigint  NOT NULL,
    paced       boolean NOT NULL,
    released_on text    NOT NULL,
    closed      boolean NOT NULL,
    changed_at  timestamptz NOT NULL,
    seq         bigint  NOT NULL,
    CHECK (held + spent <= allocated)
);

CREATE TABLE reversals (
    id         bigint NOT NULL,
    month      date   NOT NULL,
    purchase   bigint NOT NULL,
    state      text   NOT NULL CHECK (state IN ('waiting', 'done', 'refused')),
    cause      text   NOT NULL,
    reason     text   NOT NULL,
    host       text   NOT NULL,
    amount     bigint NOT NULL,
    attempts   bigint NOT NULL,
    next_at    timestamptz,
    response   text   NOT NULL,
    queued_at  timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    seq        bigint NOT NULL,
    PRIMARY KEY (id, month)
) PARTITION BY RANGE (month);
CREATE INDEX reversals_waiting ON reversals (id) WHERE state = 'waiting';

CREATE TABLE work_items (
    id        bigint PRIMARY KEY,
    kind      text   NOT NULL,
    purchase  bigint NOT NULL,
    reversal  bigint NOT NULL,
    response  text   NOT NULL,
    detail    text   NOT NULL,
    opened_at timestamptz NOT NULL,
    seq       bigint NOT NULL
);

CREATE TABLE refusals (
    seq            bigint NOT NULL,
    month          date   NOT NULL,
    kind           text   NOT NULL CHECK (kind IN ('reserve', 'sale', 'reversal')),
    terminal       text   NOT NULL,
    merchant       text   NOT NULL,
    terminal_batch bigint NOT NULL,
    stan           bigint NOT NULL,
    response       text   NOT NULL,
    reasons        int[]  NOT NULL,
    purchase       bigint NOT NULL,
    entitlement    bigint NOT NULL,
    price          bigint NOT NULL,
    category       text   NOT NULL,
    city           text   NOT NULL,
    channel        text   NOT NULL,
    barcode        text   NOT NULL,
    policy_version text   NOT NULL,
    refused_at     timestamptz NOT NULL,
    PRIMARY KEY (seq, month)
) PARTITION BY RANGE (month);

CREATE TABLE terminals (
    id            text    PRIMARY KEY,
    merchant      text    NOT NULL,
    batch         bigint  NOT NULL,
    signed_on     boolean NOT NULL,
    signed_on_at  timestamptz,
    signed_off_at timestamptz,
    seq           bigint  NOT NULL
);

-- +goose Down
DROP TABLE terminals, refusals, work_items, reversals, budget_nodes, budget_movements, entitlements, refunds, captures,
    holds, purchases, programme, projection_position;
