//! Vault paths to forget.

use agentidp_server::domain::{AuditAction, PurgeJob};
use uuid::Uuid;

use super::*;

on_both!(
    due_jobs_come_oldest_first,
    scheduling_again_moves_the_job,
    a_failure_is_counted_and_put_off,
    a_done_job_is_gone,
    a_path_that_an_active_row_vouches_for_is_not_purged,
);

fn job(credential_id: Uuid, path: &str, due_at: Timestamp) -> PurgeJob {
    PurgeJob { credential_id, client_id: Uuid::new_v4(), vault_path: path.to_owned(), due_at, attempts: 0 }
}

async fn due_jobs_come_oldest_first(db: Database) {
    let jobs = [3, 1, 2, 9].map(|seconds| job(Uuid::new_v4(), "secret/data/a", later(seconds)));
    for job in &jobs {
        db.repos.purges.schedule(job).await.unwrap();
    }
    let [third, first, second, _] = jobs;
    assert!(db.repos.purges.due(now(), 10).await.unwrap().is_empty());
    assert_eq!(db.repos.purges.due(later(3), 10).await.unwrap(), [first.clone(), second.clone(), third]);
    assert_eq!(db.repos.purges.due(later(3), 2).await.unwrap(), [first, second]);
    assert_eq!(db.repos.purges.pending().await.unwrap(), 4, "asking takes nothing away");
}

async fn scheduling_again_moves_the_job(db: Database) {
    let first = job(Uuid::new_v4(), "secret/data/a", later(600));
    db.repos.purges.schedule(&first).await.unwrap();
    let sooner = PurgeJob { due_at: later(1), ..first.clone() };
    db.repos.purges.schedule(&sooner).await.unwrap();
    assert_eq!(db.repos.purges.due(later(1), 10).await.unwrap(), [sooner]);
    // A new write must not be purged at the time of an attempt that failed long ago.
    db.repos.purges.schedule(&first).await.unwrap();
    assert!(db.repos.purges.due(later(599), 10).await.unwrap().is_empty());
    assert_eq!(db.repos.purges.pending().await.unwrap(), 1);
}

async fn a_failure_is_counted_and_put_off(db: Database) {
    let first = job(Uuid::new_v4(), "secret/data/a", now());
    db.repos.purges.schedule(&first).await.unwrap();
    db.repos.purges.failed(first.credential_id, later(5)).await.unwrap();
    db.repos.purges.failed(first.credential_id, later(15)).await.unwrap();
    assert!(db.repos.purges.due(later(14), 10).await.unwrap().is_empty());
    let again = PurgeJob { due_at: later(15), attempts: 2, ..first };
    assert_eq!(db.repos.purges.due(later(15), 10).await.unwrap(), [again]);
    db.repos.purges.failed(Uuid::new_v4(), later(15)).await.unwrap();
}

async fn a_done_job_is_gone(db: Database) {
    let [done, open] = [(); 2].map(|()| job(Uuid::new_v4(), "secret/data/a", now()));
    for job in [&done, &open] {
        db.repos.purges.schedule(job).await.unwrap();
    }
    db.repos.purges.done(done.credential_id).await.unwrap();
    db.repos.purges.done(done.credential_id).await.unwrap();
    assert_eq!(db.repos.purges.due(now(), 10).await.unwrap(), [open]);
}

async fn a_path_that_an_active_row_vouches_for_is_not_purged(db: Database) {
    let agent = db.agent().await;
    let live = db.credential(&agent, vaulted("secret/data/live", 1)).await;
    let hashed = db.credential(&agent, digest("a")).await;
    let ended = db.credential(&agent, vaulted("secret/data/ended", 1)).await;
    let revoked = event(AuditAction::CredentialRevoked, agent.agent_id);
    db.repos.credentials.revoke(agent.agent_id, ended.credential_id, now(), &revoked).await.unwrap();

    let not_yet = job(live.credential_id, "secret/data/live", later(1));
    let orphan = job(hashed.credential_id, "secret/data/orphan", now());
    for job in [&not_yet, &orphan] {
        db.repos.purges.schedule(job).await.unwrap();
    }
    let paths = async |at| -> Vec<String> {
        let mut paths: Vec<_> =
            db.repos.purges.due(at, 10).await.unwrap().into_iter().map(|job| job.vault_path).collect();
        paths.sort();
        paths
    };
    assert_eq!(paths(now()).await, ["secret/data/ended", "secret/data/orphan"]);
    assert_eq!(db.repos.purges.pending().await.unwrap(), 3, "an intent is kept until it is due");
    assert_eq!(paths(later(1)).await, ["secret/data/ended", "secret/data/orphan"]);
    assert_eq!(db.repos.purges.pending().await.unwrap(), 2);
}
