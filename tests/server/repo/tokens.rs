//! Issued and revoked tokens.

use std::sync::Arc;

use agentidp_server::domain::{AgentStatus, AuditAction};
use agentidp_server::repo::Bearer;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;

on_both!(
    without_a_limit_every_token_goes_out,
    the_monthly_limit_is_each_clients_and_each_months_own,
    racing_tokens_stop_at_the_limit,
    a_token_without_its_event_is_not_counted,
    a_bearer_is_known_by_token_and_agent,
    revoking_twice_is_fine_and_one_event,
    pruning_forgets_what_no_longer_matters,
);

async fn issue(db: &Database, client_id: Uuid, limit: Option<u64>, at: &str) -> bool {
    let timestamp = Timestamp::parse(at).unwrap();
    let event = AuditEvent { timestamp, ..event(AuditAction::TokenIssued, client_id) };
    db.repos.tokens.issued(client_id, limit, &event).await.unwrap()
}

async fn without_a_limit_every_token_goes_out(db: Database) {
    let client = Uuid::new_v4();
    for _ in 0..3 {
        assert!(issue(&db, client, None, "2026-03-28T09:00:00Z").await);
    }
    assert_eq!(db.events().await.len(), 3);
    assert!(issue(&db, client, Some(1), "2026-03-28T09:00:00Z").await, "counting begins with the limit");
}

async fn the_monthly_limit_is_each_clients_and_each_months_own(db: Database) {
    let (client, other) = (Uuid::new_v4(), Uuid::new_v4());
    assert!(!issue(&db, client, Some(0), "2026-03-01T00:00:00Z").await);
    assert!(issue(&db, client, Some(2), "2026-03-01T00:00:00Z").await);
    assert!(issue(&db, client, Some(2), "2026-03-31T23:59:59.999Z").await);
    assert!(!issue(&db, client, Some(2), "2026-03-31T23:59:59.999Z").await);
    assert!(issue(&db, client, Some(2), "2026-04-01T00:00:00Z").await);
    assert!(issue(&db, other, Some(2), "2026-03-31T23:59:59.999Z").await);
    assert!(issue(&db, client, Some(3), "2026-03-31T23:59:59.999Z").await, "a raised limit takes effect");
    assert_eq!(db.events().await.len(), 5);
}

async fn racing_tokens_stop_at_the_limit(db: Database) {
    let client_id = Uuid::new_v4();
    let mut race = JoinSet::new();
    for _ in 0..20 {
        let tokens = Arc::clone(&db.repos.tokens);
        race.spawn(async move {
            tokens.issued(client_id, Some(5), &event(AuditAction::TokenIssued, client_id)).await.unwrap()
        });
    }
    assert_eq!(race.join_all().await.into_iter().filter(|issued| *issued).count(), 5);
    assert_eq!(db.events().await.len(), 5);
}

async fn a_token_without_its_event_is_not_counted(db: Database) {
    let fails = db.event_that_fails().await;
    let client = Uuid::new_v4();
    db.repos.tokens.issued(client, Some(1), &fails).await.unwrap_err();
    assert!(issue(&db, client, Some(1), "2026-03-28T09:00:00Z").await);

    let token = Uuid::new_v4();
    db.repos.tokens.revoke(token, later(1), &fails).await.unwrap_err();
    assert!(!db.repos.tokens.bearer(token, None).await.unwrap().revoked);
}

async fn a_bearer_is_known_by_token_and_agent(db: Database) {
    let agent = db.agent().await;
    let token = Uuid::new_v4();
    let bearer = async |agent_id| db.repos.tokens.bearer(token, agent_id).await.unwrap();
    let active = Some(AgentStatus::Active);
    assert_eq!(bearer(None).await, Bearer { revoked: false, agent_status: None });
    assert_eq!(bearer(Some(Uuid::new_v4())).await, Bearer { revoked: false, agent_status: None });
    assert_eq!(bearer(Some(agent.agent_id)).await, Bearer { revoked: false, agent_status: active });
    let revoked = event(AuditAction::TokenRevoked, agent.agent_id);
    db.repos.tokens.revoke(token, later(3600), &revoked).await.unwrap();
    assert_eq!(bearer(Some(agent.agent_id)).await, Bearer { revoked: true, agent_status: active });
    assert_eq!(bearer(None).await, Bearer { revoked: true, agent_status: None });
    assert!(!db.repos.tokens.bearer(Uuid::new_v4(), None).await.unwrap().revoked);
    assert!(db.events().await.contains(&revoked));
}

async fn revoking_twice_is_fine_and_one_event(db: Database) {
    let token = Uuid::new_v4();
    for _ in 0..2 {
        let revoked = event(AuditAction::TokenRevoked, token);
        db.repos.tokens.revoke(token, later(1), &revoked).await.unwrap();
    }
    assert!(db.repos.tokens.bearer(token, None).await.unwrap().revoked);
    assert_eq!(db.events().await.len(), 1);
}

async fn pruning_forgets_what_no_longer_matters(db: Database) {
    let [expired, valid] = [(later(9), Uuid::new_v4()), (later(10), Uuid::new_v4())];
    for (expires_at, token) in [expired, valid] {
        let revoked = event(AuditAction::TokenRevoked, token);
        db.repos.tokens.revoke(token, expires_at, &revoked).await.unwrap();
    }
    let client = Uuid::new_v4();
    assert!(issue(&db, client, Some(1), "2026-02-28T09:00:00Z").await);
    assert!(issue(&db, client, Some(1), "2026-03-28T09:00:00Z").await);

    assert_eq!(db.repos.tokens.prune(later(10)).await.unwrap(), 2);
    assert!(!db.repos.tokens.bearer(expired.1, None).await.unwrap().revoked);
    assert!(db.repos.tokens.bearer(valid.1, None).await.unwrap().revoked);
    assert!(!issue(&db, client, Some(1), "2026-03-28T09:00:00Z").await, "this month's counter stands");
    assert_eq!(db.repos.tokens.prune(later(10)).await.unwrap(), 0);
}
