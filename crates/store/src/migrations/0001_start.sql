CREATE TABLE journal (
    seq BIGINT PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    rollout TEXT NOT NULL,
    actor TEXT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX journal_service ON journal (service, seq);
CREATE INDEX journal_rollout ON journal (rollout, seq);
CREATE TABLE lanes (
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    generation BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (service, environment)
);
CREATE TABLE outbox (
    id BIGINT PRIMARY KEY NOT NULL,
    key TEXT NOT NULL UNIQUE,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    generation BIGINT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE rollouts (
    id TEXT PRIMARY KEY NOT NULL,
    number BIGINT NOT NULL,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    version TEXT NOT NULL,
    strategy TEXT NOT NULL,
    outcome TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    doc TEXT NOT NULL
);
CREATE INDEX rollouts_lane ON rollouts (service, environment, number);
CREATE TABLE releases (
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    artifact TEXT NOT NULL,
    config TEXT NOT NULL,
    file TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (service, version)
);
CREATE TABLE idempotency (
    key TEXT PRIMARY KEY NOT NULL,
    request TEXT NOT NULL,
    status BIGINT NOT NULL,
    body TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE TABLE tokens (
    hash TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);
CREATE TABLE counters (
    name TEXT PRIMARY KEY NOT NULL,
    value BIGINT NOT NULL
);
