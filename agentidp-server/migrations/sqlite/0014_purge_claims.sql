-- Until when a server may be asking Vault to forget the path. Whoever wants to write there has to wait for that, and a
-- commit that finds it set comes too late: what it was to vouch for is being deleted.
ALTER TABLE purge_jobs ADD COLUMN claimed_until text;
