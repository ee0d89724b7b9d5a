//! Vault paths to forget.

use agentidp_server::domain::{AuditAction, PurgeJob};
use uuid::Uuid;

use super::*;

on_both!(
    due_jobs_come_oldest_first,
    scheduling_again_moves_the_job,
    a_failure_is_counted_and_put_off,
    a_done_job_is_gone,
    a_job_is_claimed_by_one_until_its_time_is_over,
    a_claimed_path_cannot_be_written_to,
    what_is_scheduled_during_a_claim_is_done_again,
    a_job_that_is_not_due_or_not_needed_cannot_be_claimed,
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
    for (at, next) in [(0, 5), (5, 15)] {
        let claim = db.repos.purges.claim(&first, later(at), later(60)).await.unwrap().unwrap();
        db.repos.purges.failed(claim, later(next)).await.unwrap();
        db.repos.purges.failed(claim, later(900)).await.unwrap();
    }
    assert!(db.repos.purges.due(later(14), 10).await.unwrap().is_empty());
    let again = PurgeJob { due_at: later(15), attempts: 2, ..first };
    assert_eq!(db.repos.purges.due(later(15), 10).await.unwrap(), [again]);
}

async fn a_done_job_is_gone(db: Database) {
    let [done, open] = [(); 2].map(|()| job(Uuid::new_v4(), "secret/data/a", now()));
    for job in [&done, &open] {
        db.repos.purges.schedule(job).await.unwrap();
    }
    let claim = db.repos.purges.claim(&done, now(), later(60)).await.unwrap().unwrap();
    db.repos.purges.done(claim).await.unwrap();
    db.repos.purges.done(claim).await.unwrap();
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

async fn a_job_is_claimed_by_one_until_its_time_is_over(db: Database) {
    let first = job(Uuid::new_v4(), "secret/data/a", now());
    db.repos.purges.schedule(&first).await.unwrap();
    let claim = async |at| db.repos.purges.claim(&first, later(at), later(at + 60)).await.unwrap();
    let (one, two) = tokio::join!(claim(0), claim(0));
    let killed = one.xor(two).expect("one of two that race");
    assert_eq!(claim(59).await, None);
    assert!(db.repos.purges.due(later(59), 10).await.unwrap().is_empty());

    // Its process was killed: another takes over, and what the first says from now on counts for nothing.
    let [again] = db.repos.purges.due(later(60), 10).await.unwrap().try_into().unwrap();
    let taken = db.repos.purges.claim(&again, later(60), later(120)).await.unwrap().unwrap();
    db.repos.purges.done(killed).await.unwrap();
    db.repos.purges.failed(killed, later(0)).await.unwrap();
    assert!(db.repos.purges.due(later(119), 10).await.unwrap().is_empty());
    db.repos.purges.done(taken).await.unwrap();
    assert_eq!(db.repos.purges.pending().await.unwrap(), 0);
}

async fn a_claimed_path_cannot_be_written_to(db: Database) {
    let first = job(Uuid::new_v4(), "secret/data/a", now());
    assert!(db.repos.purges.intend(&first, now()).await.unwrap());
    let claim = db.repos.purges.claim(&first, now(), later(60)).await.unwrap().unwrap();
    let intent = job(first.credential_id, "secret/data/a", later(600));
    assert!(!db.repos.purges.intend(&intent, later(59)).await.unwrap());
    assert!(db.repos.purges.intend(&intent, later(60)).await.unwrap(), "it was killed");
    db.repos.purges.done(claim).await.unwrap();
    assert_eq!(db.repos.purges.pending().await.unwrap(), 1, "an intent is none of its business");
    assert!(db.repos.purges.due(later(599), 10).await.unwrap().is_empty());
}

async fn what_is_scheduled_during_a_claim_is_done_again(db: Database) {
    let first = job(Uuid::new_v4(), "secret/data/a", now());
    db.repos.purges.schedule(&first).await.unwrap();
    let claim = db.repos.purges.claim(&first, now(), later(60)).await.unwrap().unwrap();
    let again = job(first.credential_id, "secret/data/a", later(1));
    db.repos.purges.schedule(&again).await.unwrap();
    assert!(!db.repos.purges.intend(&again, later(1)).await.unwrap(), "the claim stands");
    db.repos.purges.done(claim).await.unwrap();
    let due = db.repos.purges.due(later(1), 10).await.unwrap();
    assert_eq!(due.iter().map(|job| job.due_at).collect::<Vec<_>>(), [again.due_at]);
}

async fn a_job_that_is_not_due_or_not_needed_cannot_be_claimed(db: Database) {
    let agent = db.agent().await;
    let live = db.credential(&agent, vaulted("secret/data/live", 1)).await;
    let jobs = [job(Uuid::new_v4(), "secret/data/a", later(1)), job(live.credential_id, "secret/data/live", now())];
    for job in &jobs {
        db.repos.purges.schedule(job).await.unwrap();
        assert_eq!(db.repos.purges.claim(job, now(), later(60)).await.unwrap(), None);
    }
    let moved = job(jobs[0].credential_id, "secret/data/other", now());
    assert_eq!(db.repos.purges.claim(&moved, later(1), later(60)).await.unwrap(), None, "of another path");
    let gone = job(Uuid::new_v4(), "secret/data/a", now());
    assert_eq!(db.repos.purges.claim(&gone, later(1), later(60)).await.unwrap(), None);
}
