CREATE TABLE hooks (
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    doc TEXT NOT NULL,
    told BIGINT NOT NULL,
    withdrawn_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    failing_since BIGINT NOT NULL,
    why TEXT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (service, environment, name)
);
