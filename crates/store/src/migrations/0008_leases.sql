CREATE TABLE leases (
    name TEXT PRIMARY KEY NOT NULL,
    start BIGINT NOT NULL,
    address TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
