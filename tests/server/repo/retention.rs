//! The horizon up to which rows are deleted by their age.

use agentidp_secrets::ManualClock;
use agentidp_server::domain::AuditAction;
use agentidp_server::domain::idempotency::{Claim, KeyedRequest};
use agentidp_server::horizon::Horizon;
use agentidp_server::repo::Claimed;
use uuid::Uuid;

use super::*;

on_both!(
    the_first_horizon_is_the_newest_row_and_never_ahead_of_the_clock,
    the_first_horizon_takes_back_what_a_wrong_clock_released,
    the_horizon_moves_forward_only,
    the_horizon_moves_at_twice_the_time_that_has_passed_and_stops_at_the_clock,
    several_servers_move_the_horizon_no_faster_than_one,
    a_clock_that_is_behind_stops_nothing,
    a_key_is_free_only_when_the_horizon_has_passed_it_too,
    a_claim_of_a_server_with_a_wrong_clock_blocks_nobody,
    a_request_carried_out_under_a_wrong_clock_is_found_again,
);

const DAY: Duration = Duration::from_secs(86_400);

async fn event_at(db: &Database, timestamp: Timestamp) {
    let event = AuditEvent { timestamp, ..event(AuditAction::TokenIssued, Uuid::new_v4()) };
    db.repos.audit.append(&event).await.unwrap();
}

/// A process on the database, with a clock that stands at `at`.
struct Process {
    horizon: Horizon,
    clock: ManualClock,
}

impl Process {
    fn at(at: Timestamp) -> Self {
        Self { horizon: Horizon::default(), clock: ManualClock::at(at.into()) }
    }

    async fn advance(&self, db: &Database) -> Option<Timestamp> {
        self.horizon.advance(&*db.repos.retention, &self.clock).await.unwrap()
    }
}

/// What is stored; nothing is set where there was nothing.
async fn stored(db: &Database) -> Option<Timestamp> {
    db.repos.retention.advance(now().minus(10_000 * DAY)).await.unwrap()
}

async fn the_first_horizon_is_the_newest_row_and_never_ahead_of_the_clock(db: Database) {
    assert_eq!(db.repos.retention.horizon(later(60)).await.unwrap(), None, "there is nothing to be old");
    assert_eq!(db.repos.retention.advance(later(60)).await.unwrap(), None);
    event_at(&db, now()).await;
    event_at(&db, later(30)).await;
    assert_eq!(db.repos.retention.horizon(later(91 * 86_400)).await.unwrap(), Some(later(30)));
    event_at(&db, later(60)).await;
    assert_eq!(db.repos.retention.horizon(later(60)).await.unwrap(), Some(later(30)), "it was set before");

    db.sql("UPDATE retention_horizon SET horizon = NULL").await.unwrap();
    assert_eq!(db.repos.retention.horizon(later(20)).await.unwrap(), Some(later(20)), "a row of the future");
    // Agents outlive the events of their creation.
    db.sql("UPDATE retention_horizon SET horizon = NULL").await.unwrap();
    let agent = Agent { updated_at: later(90), ..agent() };
    db.repos.agents.create(&agent, None, &event(AuditAction::AgentCreated, agent.agent_id)).await.unwrap();
    assert_eq!(db.repos.retention.horizon(later(3600)).await.unwrap(), Some(later(90)));
}

async fn the_first_horizon_takes_back_what_a_wrong_clock_released(db: Database) {
    event_at(&db, now()).await;
    // What a release without a horizon leaves behind after one start with the clock 91 days ahead.
    let released = now().plus(DAY);
    db.sql(&format!("UPDATE audit_retention SET keep_from = '{released}'")).await.unwrap();
    assert_eq!(db.repos.retention.horizon(later(60)).await.unwrap(), Some(now()));
    let refused = db.sql("DELETE FROM audit_events").await.unwrap_err();
    assert!(refused.to_string().contains("append-only"), "{refused}");
    assert_eq!(db.events().await.len(), 1);
}

async fn the_horizon_moves_forward_only(db: Database) {
    event_at(&db, now()).await;
    assert_eq!(db.repos.retention.horizon(now()).await.unwrap(), Some(now()));
    for (to, expected) in [(20, 20), (10, 20), (20, 20), (21, 21)] {
        assert_eq!(db.repos.retention.advance(later(to)).await.unwrap(), Some(later(expected)));
    }
}

async fn the_horizon_moves_at_twice_the_time_that_has_passed_and_stops_at_the_clock(db: Database) {
    event_at(&db, now()).await;
    let ahead = Process::at(now().plus(91 * DAY));
    assert_eq!(ahead.advance(&db).await, Some(now()));
    assert_eq!(ahead.advance(&db).await, Some(now()), "no time has passed");
    for hour in 1..=3 {
        ahead.clock.advance(Duration::from_secs(3600));
        assert_eq!(ahead.advance(&db).await, Some(later(hour * 7200)));
    }
    // The clock is right again, three hours later: the horizon is ahead of it and does not count.
    let right = Process::at(later(3 * 3600));
    assert_eq!(right.advance(&db).await, Some(later(3 * 3600)));
    right.clock.advance(Duration::from_secs(3600));
    assert_eq!(right.advance(&db).await, Some(later(4 * 3600)));
    assert_eq!(stored(&db).await, Some(later(6 * 3600)), "it neither went back nor further ahead");
    right.clock.advance(DAY);
    assert_eq!(right.advance(&db).await, Some(later(4 * 3600 + 86_400)));
    assert_eq!(stored(&db).await, Some(later(4 * 3600 + 86_400)), "it ends at the clock");
}

async fn several_servers_move_the_horizon_no_faster_than_one(db: Database) {
    event_at(&db, now()).await;
    let servers = [(); 3].map(|()| Process::at(now().plus(91 * DAY)));
    for server in &servers {
        server.advance(&db).await;
    }
    for minute in 1..=60_u64 {
        for server in &servers {
            server.clock.advance(Duration::from_secs(60));
        }
        // Each at its own pace, so that most of them have read an older value than is stored by then.
        for (server, pace) in servers.iter().zip([1, 2, 7]) {
            if minute.is_multiple_of(pace) {
                server.advance(&db).await;
                assert!(stored(&db).await.unwrap() <= later(minute * 120), "after {minute} minutes");
            }
        }
    }
    assert_eq!(stored(&db).await, Some(later(60 * 120)));
}

async fn a_clock_that_is_behind_stops_nothing(db: Database) {
    event_at(&db, now()).await;
    let right = Process::at(now());
    assert_eq!(right.advance(&db).await, Some(now()));
    let behind = Process::at(now().minus(91 * DAY));
    assert_eq!(behind.advance(&db).await, Some(now().minus(91 * DAY)), "its own time comes first");
    behind.clock.advance(DAY);
    assert_eq!(behind.advance(&db).await, Some(now().minus(90 * DAY)));
    right.clock.advance(DAY);
    assert_eq!(right.advance(&db).await, Some(later(86_400)));
}

fn request(fingerprint: char) -> KeyedRequest {
    let fingerprint = fingerprint.to_string().repeat(64);
    KeyedRequest { caller: "operator".to_owned(), key: "k".to_owned(), fingerprint }
}

async fn claim(db: &Database, fingerprint: char, at: Timestamp) -> Claimed {
    db.repos.idempotency.claim(&Claim::new(request(fingerprint), at), at).await.unwrap()
}

/// Makes a credential under the key, by a server whose clock stands at `at`.
async fn carried_out(db: &Database, fingerprint: char, at: Timestamp) {
    let agent = db.agent().await;
    let claim = Claim::new(request(fingerprint), at);
    assert_eq!(db.repos.idempotency.claim(&claim, at).await.unwrap(), Claimed::Ours);
    let credential = db.credential(&agent, digest("a")).await;
    let mut tx = db.repos.changes.begin().await.unwrap();
    assert!(tx.carry_out(&claim, &credential).await.unwrap());
    assert!(tx.commit().await.is_ok());
}

async fn a_key_is_free_only_when_the_horizon_has_passed_it_too(db: Database) {
    carried_out(&db, 'a', now()).await;
    db.repos.retention.horizon(now()).await.unwrap();
    let ahead = now().plus(91 * DAY);
    assert!(matches!(claim(&db, 'a', ahead).await, Claimed::Done(_)));
    assert_eq!(claim(&db, 'b', ahead).await, Claimed::Reused);
    db.repos.retention.advance(now().plus(DAY)).await.unwrap();
    assert!(matches!(claim(&db, 'a', now().plus(DAY).minus(Duration::from_millis(1))).await, Claimed::Done(_)));
    assert_eq!(claim(&db, 'a', now().plus(DAY)).await, Claimed::Ours);
}

async fn a_claim_of_a_server_with_a_wrong_clock_blocks_nobody(db: Database) {
    assert_eq!(claim(&db, 'a', now().plus(91 * DAY)).await, Claimed::Ours);
    assert_eq!(claim(&db, 'a', now()).await, Claimed::Ours, "a retry need not wait for 91 days");
    assert_eq!(claim(&db, 'a', now()).await, Claimed::Taken, "and has the claim");
    assert_eq!(claim(&db, 'b', now()).await, Claimed::Reused);
    // Clocks that differ by seconds are no wrong clocks.
    assert_eq!(claim(&db, 'a', now().minus(Duration::from_secs(30))).await, Claimed::Taken);

    db.sql("DELETE FROM idempotency_keys").await.unwrap();
    assert_eq!(claim(&db, 'a', now().plus(91 * DAY)).await, Claimed::Ours);
    assert_eq!(claim(&db, 'b', now()).await, Claimed::Ours, "nor need another request");
}

async fn a_request_carried_out_under_a_wrong_clock_is_found_again(db: Database) {
    carried_out(&db, 'a', now().plus(91 * DAY)).await;
    db.repos.retention.horizon(now()).await.unwrap();
    assert!(matches!(claim(&db, 'a', now()).await, Claimed::Done(_)));
    let behind = now().minus(91 * DAY);
    assert_eq!(claim(&db, 'b', behind).await, Claimed::Reused, "here it is the clock that is wrong");
    assert_eq!(claim(&db, 'b', now()).await, Claimed::Ours, "the key is another's to use");
}
