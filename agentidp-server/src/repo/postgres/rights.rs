//! What this server's role has to be allowed on each table.

use crate::repo::Result;

/// Each table with the rights that some statement needs. A lock for a change takes UPDATE.
const NEEDED: [(&str, &[&str]); 17] = [
    ("_sqlx_migrations", &["SELECT"]),
    ("agentidp_replicas", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("agents", &["SELECT", "INSERT", "UPDATE"]),
    ("audit_events", &["SELECT", "INSERT", "DELETE"]),
    ("audit_retention", &["SELECT", "UPDATE"]),
    ("credential_usage", &["SELECT", "INSERT", "UPDATE"]),
    ("credentials", &["SELECT", "INSERT", "UPDATE"]),
    ("idempotency_keys", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("ledger", &["SELECT", "INSERT", "UPDATE"]),
    ("monthly_tokens", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("open_writes", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("purge_debts", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("purge_jobs", &["SELECT", "UPDATE", "DELETE"]),
    ("retention_horizon", &["SELECT", "UPDATE"]),
    ("token_revocations", &["SELECT", "INSERT", "DELETE"]),
    ("unrecorded", &["SELECT", "INSERT", "UPDATE"]),
    ("write_probe", &["SELECT", "INSERT", "UPDATE"]),
];

/// Those that this role lacks, as in `INSERT on audit_events`; of a table that is not there, each.
pub(super) async fn lacking(store: &super::shared::Store) -> Result<Vec<String>> {
    let pairs = NEEDED.iter().flat_map(|(table, rights)| rights.iter().map(move |right| (*table, *right)));
    let (tables, rights): (Vec<_>, Vec<_>) = pairs.unzip();
    let work = || {
        sqlx::query_scalar(
            "SELECT needed || ' on ' || name FROM unnest($1::text[], $2::text[]) AS wanted (name, needed) \
             WHERE NOT coalesce(has_table_privilege(to_regclass(name), needed), false)",
        )
        .bind(&tables)
        .bind(&rights)
        .fetch_all(&store.probe)
    };
    store.watch.again("database.rights", work).await
}
