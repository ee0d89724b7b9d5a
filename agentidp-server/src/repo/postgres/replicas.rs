//! The servers on this database, each of which keeps rows in memory.

use agentidp_secrets_sqlx::replicas::{Replicas, Tables};
use sqlx::PgPool;

/// The triggers are those of migration 0011. They tell a client's id, or `all`.
const TABLES: Tables = Tables {
    channel: "agentidp_clients",
    triggers_work: "SELECT count(*) = 4 FROM pg_trigger WHERE tgenabled = 'A' AND \
         (tgrelid = 'agents'::regclass AND tgname IN ('agentidp_agent_changed', 'agentidp_agents_emptied') OR \
         tgrelid = 'credentials'::regclass AND tgname IN ('agentidp_credential_changed', 'agentidp_credentials_emptied'))",
    triggers_missing: "the triggers of migration 0011 are missing or disabled on agents or credentials",
    name: "agentidp-server replica",
    old_name: Some("agentidp-server listener"),
};

pub(super) fn replicas(pool: PgPool) -> Replicas {
    Replicas::new(pool, TABLES)
}
