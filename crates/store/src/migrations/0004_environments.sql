CREATE TABLE environments (
    name TEXT PRIMARY KEY NOT NULL,
    doc TEXT NOT NULL
);
CREATE TABLE identity (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);
