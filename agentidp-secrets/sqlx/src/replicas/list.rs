//! The list of replicas: a row for each, in the database.
//!
//! Questions and answers need not reach the disk. Who is on the list has to.

use sqlx::PgPool;

use super::questions::Questions;

/// The tables whose changes are told.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "written as a constant")]
pub struct Tables {
    /// The channel on which their triggers tell.
    pub channel: &'static str,
    /// A query that says whether the triggers are there and enabled.
    pub triggers_work: &'static str,
    /// What to tell an operator where they do not.
    pub triggers_missing: &'static str,
    /// The listeners' `application_name`.
    pub name: &'static str,
    /// The `application_name` of listeners that answer no questions, of an older release.
    pub old_name: Option<&'static str>,
}

/// The list, and what this process has asked.
pub(super) struct List {
    pub(super) pool: PgPool,
    pub(super) tables: Tables,
    pub(super) questions: Questions,
}

/// Who has to be asked.
pub(super) struct Listed {
    pub(super) replicas: Vec<String>,
    /// There are some that answer no questions.
    pub(super) beside_old: bool,
}

impl List {
    /// Reads the list and asks all that are on it, in one statement of its own transaction.
    pub(super) async fn ask(&self, own: Option<&str>, number: u64) -> sqlx::Result<Listed> {
        let ask = "SELECT old.is_there, listed.replica, CASE WHEN listed.replica IS NOT NULL \
                   THEN set_config('synchronous_commit', 'off', true) || pg_notify('agentidp_questions', $2)::text END \
                   FROM (SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $3 \
                   AND datname = current_database())) AS old (is_there) \
                   LEFT JOIN agentidp_replicas AS listed ON listed.replica IS DISTINCT FROM $1";
        let question = own.map(|own| format!("{own} {number}")).unwrap_or_default();
        let ask = sqlx::query_as(ask).bind(own).bind(question).bind(self.tables.old_name);
        let rows: Vec<(bool, Option<String>, Option<String>)> = ask.fetch_all(&self.pool).await?;
        let beside_old = rows.iter().any(|(is_there, ..)| *is_there);
        Ok(Listed { replicas: rows.into_iter().filter_map(|(_, replica, _)| replica).collect(), beside_old })
    }

    /// Marks replicas that were silent for so long. They are removed when their leases are over.
    pub(super) async fn take_off(&self, silent: Vec<String>) {
        let mark = sqlx::query("UPDATE agentidp_replicas SET is_off = true WHERE replica = ANY($1)").bind(&silent);
        // Where it fails, the next change waits for them again.
        if mark.execute(&self.pool).await.is_ok() {
            self.questions.to_be_removed(silent);
        }
    }

    pub(super) async fn remove(&self, replicas: &[String]) -> sqlx::Result<()> {
        let remove = sqlx::query("DELETE FROM agentidp_replicas WHERE replica = ANY($1)").bind(replicas);
        remove.execute(&self.pool).await.map(drop)
    }
}
