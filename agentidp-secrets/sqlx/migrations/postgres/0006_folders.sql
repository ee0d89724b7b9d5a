-- How far this database has counted in each of its folders in Vault, as FolderRow::to_text has it: a copy or a restored database finds
-- another counter there, and deletes nothing.
CREATE TABLE agentidp_folders (
    folder text PRIMARY KEY,
    ledger text NOT NULL
);
