//! When secrets were last proved.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use agentidp_secrets::lifecycle::{Usage, Use};
use async_trait::async_trait;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{Connection, Db, NOTE_USES, Store};
use crate::domain::{Timestamp, ids};
use crate::repo::columns::Id;
use crate::repo::{Deadlines, Result, Since, UsageRepo};

type UsageRow = (Id, Option<i64>, Option<i64>, Option<i64>);

#[async_trait]
impl UsageRepo for Store {
    async fn note_uses(&self, uses: &[Use]) -> Result<()> {
        let uses = uses.iter().map(|used| (ids(&used.key).1, used.current.map(millis), used.previous.map(millis)));
        let uses = serde_json::to_string(&uses.collect::<Vec<_>>()).unwrap_or_default();
        let work = || async { sqlx::query(NOTE_USES).bind(&uses).execute(&self.write).await.map(drop) };
        self.watch.again("usage.note", work).await
    }

    async fn deadlines(&self, now: Timestamp, soon: Timestamp, since: Since) -> Result<Deadlines> {
        let work = || async {
            let counts: (i64, i64, i64, i64, i64) = sqlx::query_as(
                "SELECT count(CASE WHEN expires_at <= $2 THEN 1 END), \
                 count(CASE WHEN expires_at <= $2 AND (last_used_at >= $3 OR previous_used_at >= $3) THEN 1 END), \
                 count(CASE WHEN has_previous THEN 1 END), \
                 count(CASE WHEN previous_used_at >= $3 THEN 1 END), \
                 count(CASE WHEN has_previous AND since <= $4 AND coalesce(previous_used_at, 0) <= $4 THEN 1 END) \
                 FROM (SELECT c.expires_at, u.last_used_at, u.since, \
                 c.previous_expires_at > $1 AND c.previous_of = c.revision AS has_previous, \
                 CASE WHEN c.previous_expires_at > $1 AND c.previous_of = c.revision \
                 THEN u.previous_last_used_at END AS previous_used_at \
                 FROM credentials c LEFT JOIN credential_usage u ON u.credential_id = c.credential_id \
                 WHERE c.status = 'active' AND (c.expires_at IS NULL OR c.expires_at > $1) \
                 AND (c.expires_at <= $2 OR c.previous_expires_at > $1)) AS coming",
            )
            .bind(now)
            .bind(soon)
            .bind(millis(since.recently.into()))
            .bind(since.idle.map(|at| millis(at.into())))
            .fetch_one(&self.lists)
            .await?;
            let (expiring, expiring_used, previous, previous_used, overdue) = counts;
            Ok(Deadlines {
                expiring_used: expiring_used.unsigned_abs(),
                expiring_unused: (expiring - expiring_used).unsigned_abs(),
                previous_used: previous_used.unsigned_abs(),
                previous_unused: (previous - previous_used).unsigned_abs(),
                previous_overdue: overdue.unsigned_abs(),
            })
        };
        self.watch.again("usage.deadlines", work).await
    }

    async fn usage(&self, credential_ids: &[Uuid]) -> Result<HashMap<Uuid, Usage>> {
        if credential_ids.is_empty() {
            return Ok(HashMap::new());
        }
        let work = || async {
            let select = "SELECT credential_id, last_used_at, previous_last_used_at, since FROM credential_usage";
            let mut query = of_each(select, credential_ids);
            let found: Vec<UsageRow> = query.build_query_as().persistent(false).fetch_all(&self.read).await?;
            let usage = |(id, last, previous, since): UsageRow| {
                let [last_used_at, previous_last_used_at, since] = [last, previous, since].map(|at| at.map(time));
                (id.0, Usage { last_used_at, previous_last_used_at, since })
            };
            Ok(found.into_iter().map(usage).collect())
        };
        self.watch.again("usage.find", work).await
    }

    async fn created(&self, credential_ids: &[Uuid]) -> Result<HashMap<Uuid, Timestamp>> {
        if credential_ids.is_empty() {
            return Ok(HashMap::new());
        }
        let work = || async {
            let mut query = of_each("SELECT credential_id, created_at FROM credentials", credential_ids);
            let found: Vec<(Id, Timestamp)> = query.build_query_as().persistent(false).fetch_all(&self.read).await?;
            Ok(found.into_iter().map(|(id, at)| (id.0, at)).collect())
        };
        self.watch.again("usage.created", work).await
    }
}

/// Its text depends on how many there are, so it is not kept: each kept one costs memory in the database and pushes out another.
fn of_each(select: &'static str, credential_ids: &[Uuid]) -> QueryBuilder<Db> {
    let mut query = QueryBuilder::new(select);
    let mut list = query.push(" WHERE credential_id IN (").separated(", ");
    for credential_id in credential_ids {
        list.push_bind(Id(*credential_id));
    }
    query.push(")");
    query
}

/// The current secret becomes the previous one.
pub(super) async fn rotate(connection: &mut Connection, credential_id: Uuid, now: SystemTime) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO credential_usage AS u (credential_id, since) VALUES ($1, $2) \
         ON CONFLICT (credential_id) DO UPDATE SET previous_last_used_at = u.last_used_at, last_used_at = NULL, \
         since = excluded.since",
    )
    .bind(Id(credential_id))
    .bind(millis(now))
    .execute(connection)
    .await
    .map(drop)
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn time(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis.max(0).unsigned_abs())
}
