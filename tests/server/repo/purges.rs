//! Vault paths to forget.

use agentidp_server::domain::{AuditAction, PurgeJob, PurgeKind};
use agentidp_server::repo::Revoke;
use uuid::Uuid;

use super::*;

on_both!(
    due_jobs_come_oldest_first,
    scheduling_again_moves_the_job,
    a_failure_is_counted_and_put_off,
    a_done_job_is_gone,
    a_job_is_claimed_by_one_until_its_time_is_over,
    a_deletion_is_repeated_three_times,
    a_claim_that_a_wrong_clock_made_is_over,
    a_place_that_can_come_back_is_never_deleted,
    jobs_of_an_older_release_are_taken_over,
    what_an_ended_credential_has_left_is_deleted_whoever_ended_it,
    what_is_scheduled_during_a_claim_is_done_again,
    a_job_that_is_not_due_or_not_needed_cannot_be_claimed,
    a_path_that_an_active_row_vouches_for_is_not_purged,
);

fn job(credential_id: Uuid, path: &str, due_at: Timestamp) -> PurgeJob {
    PurgeJob::delete(Uuid::new_v4(), credential_id, path.to_owned(), due_at)
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
        db.repos.purges.failed(&claim, later(next)).await.unwrap();
        db.repos.purges.failed(&claim, later(900)).await.unwrap();
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
    db.repos.purges.done(&claim, now()).await.unwrap();
    db.repos.purges.done(&claim, now()).await.unwrap();
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
    db.repos.purges.done(&killed, now()).await.unwrap();
    db.repos.purges.failed(&killed, later(0)).await.unwrap();
    assert!(db.repos.purges.due(later(119), 10).await.unwrap().is_empty());
    db.repos.purges.done(&taken, now()).await.unwrap();
    assert_eq!(db.repos.purges.pending().await.unwrap(), 0);
}

async fn what_is_scheduled_during_a_claim_is_done_again(db: Database) {
    let first = job(Uuid::new_v4(), "secret/data/a", now());
    db.repos.purges.schedule(&first).await.unwrap();
    let claim = db.repos.purges.claim(&first, now(), later(60)).await.unwrap().unwrap();
    let again = job(first.credential_id, "secret/data/a", later(1));
    db.repos.purges.schedule(&again).await.unwrap();
    db.repos.purges.done(&claim, now()).await.unwrap();
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

/// The first deletion, and one more after 90 s, an hour and a day: a first write may arrive after it.
async fn a_deletion_is_repeated_three_times(db: Database) {
    let first = job(Uuid::new_v4(), "secret/data/a", now());
    db.repos.purges.schedule(&first).await.unwrap();
    let mut at = 0;
    for wait in [0, 90, 3600, 86_400] {
        if wait > 0 {
            assert!(
                db.repos.purges.due(later(at + wait - 1), 10).await.unwrap().is_empty(),
                "after {wait} s, not before"
            );
        }
        at += wait;
        let [due] = db.repos.purges.due(later(at), 10).await.unwrap().try_into().unwrap();
        let claim = db.repos.purges.claim(&due, later(at), later(at + 60)).await.unwrap().unwrap();
        db.repos.purges.done(&claim, later(at)).await.unwrap();
        assert_eq!(db.repos.purges.pending().await.unwrap(), 0, "a repetition is nothing that waits");
    }
    assert!(db.repos.purges.due(later(10 * 86_400), 10).await.unwrap().is_empty());
}

async fn a_claim_that_a_wrong_clock_made_is_over(db: Database) {
    let first = job(Uuid::new_v4(), "secret/data/a", now());
    db.repos.purges.schedule(&first).await.unwrap();
    let ahead = 91 * 86_400;
    db.repos.purges.claim(&first, later(ahead), later(ahead + 60)).await.unwrap().unwrap();
    let [due] = db.repos.purges.due(later(1), 10).await.unwrap().try_into().unwrap();
    assert!(db.repos.purges.claim(&due, later(1), later(61)).await.unwrap().is_some());
    assert!(db.repos.purges.due(later(60), 10).await.unwrap().is_empty(), "a claim of the right clock counts");
}

async fn a_place_that_can_come_back_is_never_deleted(db: Database) {
    let agent = db.agent().await;
    let before = db.credential(&agent, vaulted("secret/data/old", 1)).await;
    let after = Credential { secret: digest("moved away"), ..before.clone() };
    let rotated = event(AuditAction::CredentialRotated, agent.agent_id);
    assert!(db.repos.credentials.rotate(&before, &after, &rotated).await.unwrap());
    let [owed] = db.repos.purges.due(now(), 10).await.unwrap().try_into().unwrap();
    assert_eq!((owed.kind, owed.vault_path.as_str()), (PurgeKind::Blank, "secret/data/old"));
    let deletion = PurgeJob { kind: PurgeKind::Delete, ..owed.clone() };
    assert_eq!(db.repos.purges.claim(&deletion, now(), later(60)).await.unwrap(), None);

    // Blanked, it is kept in mind and not due any more.
    let claim = db.repos.purges.claim(&owed, now(), later(60)).await.unwrap().unwrap();
    db.repos.purges.done(&claim, now()).await.unwrap();
    assert!(db.repos.purges.due(later(86_400), 10).await.unwrap().is_empty());
    assert_eq!(db.repos.purges.pending().await.unwrap(), 0);

    // The end deletes it.
    let revoked = event(AuditAction::CredentialRevoked, agent.agent_id);
    let ended = db.repos.credentials.revoke(agent.agent_id, before.credential_id, later(1), &revoked).await.unwrap();
    let Revoke::Revoked(jobs) = ended else { panic!("{ended:?}") };
    assert_eq!(jobs, [job_of(&before, later(1)).unwrap()]);

    // Moved back to, a place is owed nothing any more.
    let before = db.credential(&agent, vaulted("secret/data/back", 1)).await;
    let away = Credential { secret: digest("away"), ..before.clone() };
    assert!(
        db.repos
            .credentials
            .rotate(&before, &away, &event(AuditAction::CredentialRotated, agent.agent_id))
            .await
            .unwrap()
    );
    let back = Credential { secret: vaulted("secret/data/back", 2), ..before.clone() };
    db.open_write(&back).await;
    assert!(db.repos.credentials.upgrade(&away, &back).await.unwrap());
    assert!(db.repos.purges.due(now(), 10).await.unwrap().is_empty());
}

/// They delete whatever has no row at its path: of a credential that counts elsewhere the place is only kept in mind.
async fn jobs_of_an_older_release_are_taken_over(db: Database) {
    let agent = db.agent().await;
    let live = db.credential(&agent, vaulted("secret/data/live", 1)).await;
    let moved = db.credential(&agent, digest("moved")).await;
    let (orphan, claimed, later_on) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    db.old_job(agent.agent_id, live.credential_id, "secret/data/live", None).await;
    db.old_job(agent.agent_id, moved.credential_id, "secret/data/moved", None).await;
    db.old_job(agent.agent_id, orphan, "secret/data/orphan", None).await;
    db.old_job(agent.agent_id, claimed, "secret/data/claimed", Some(later(60))).await;
    let due = async |at| -> Vec<Uuid> {
        db.repos.purges.due(at, 10).await.unwrap().into_iter().map(|job| job.credential_id).collect()
    };
    assert_eq!(due(now()).await, [orphan]);
    assert_eq!(due(later(179)).await, [orphan], "a claim counts for two minutes more: its DELETE may be late");
    assert_eq!(due(later(180)).await.len(), 2);
    db.sql(&format!("UPDATE purge_jobs SET credential_id = '{later_on}'")).await.unwrap();

    let revoked = event(AuditAction::CredentialRevoked, agent.agent_id);
    let ended = db.repos.credentials.revoke(agent.agent_id, moved.credential_id, later(1), &revoked).await.unwrap();
    let Revoke::Revoked(jobs) = ended else { panic!("{ended:?}") };
    assert_eq!(jobs.iter().map(|job| job.vault_path.as_str()).collect::<Vec<_>>(), ["secret/data/moved"]);
}

/// A server of an older release, or an operator's SQL, ends a credential and knows nothing of what it has left elsewhere.
async fn what_an_ended_credential_has_left_is_deleted_whoever_ended_it(db: Database) {
    let agent = db.agent().await;
    let moving = db.credential(&agent, digest("moving")).await;
    let moved = db.credential(&agent, vaulted("secret/data/left", 1)).await;
    let away = Credential { secret: digest("away"), ..moved.clone() };
    let rotated = event(AuditAction::CredentialRotated, agent.agent_id);
    assert!(db.repos.credentials.rotate(&moved, &away, &rotated).await.unwrap());
    db.open_write(&Credential { secret: vaulted("secret/data/written", 1), ..moving.clone() }).await;
    let end = format!("UPDATE credentials SET status = 'revoked' WHERE client_id = '{}'", agent.agent_id);
    db.sql(&end).await.unwrap();

    let due = async |at| -> Vec<(String, PurgeKind)> {
        let due = db.repos.purges.due(at, 10).await.unwrap();
        let mut due: Vec<_> = due.into_iter().map(|job| (job.vault_path, job.kind)).collect();
        due.sort_by(|one, other| one.0.cmp(&other.0));
        due
    };
    let deleted = |path: &str| (path.to_owned(), PurgeKind::Delete);
    assert_eq!(due(now()).await, [deleted("secret/data/left")], "a write is under way at the other place");
    assert_eq!(due(later(30)).await, [deleted("secret/data/left"), deleted("secret/data/written")]);
}
