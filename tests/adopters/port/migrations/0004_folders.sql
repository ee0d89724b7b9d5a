-- How far this database has counted in its folder in Vault.
CREATE TABLE folders (
    folder text PRIMARY KEY,
    ledger text NOT NULL
);
