CREATE TABLE samples (
    rollout TEXT NOT NULL,
    at BIGINT NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (rollout, at)
);
