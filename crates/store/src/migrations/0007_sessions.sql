CREATE TABLE sessions (
    hash TEXT PRIMARY KEY NOT NULL,
    token TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
