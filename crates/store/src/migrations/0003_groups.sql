CREATE TABLE group_runs (
    id TEXT PRIMARY KEY NOT NULL,
    number BIGINT NOT NULL,
    name TEXT NOT NULL,
    environment TEXT NOT NULL,
    ended BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    doc TEXT NOT NULL
);
CREATE INDEX group_runs_name ON group_runs (name, environment, number);
