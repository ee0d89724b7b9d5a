//! Issued and revoked tokens.

use std::sync::Arc;

use agentidp_server::domain::{AgentStatus, AuditAction, CredentialStatus};
use agentidp_server::repo::Bearer;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;

on_both!(
    without_a_limit_every_token_goes_out,
    the_monthly_limit_is_each_clients_and_each_months_own,
    racing_tokens_stop_at_the_limit,
    a_token_without_its_event_is_not_counted,
    a_bearer_is_known_by_token_agent_and_credential,
    a_suspension_moves_the_epoch_on_and_nothing_else_does,
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
    assert!(!db.repos.tokens.bearer(token, None, None).await.unwrap().revoked);
}

async fn a_bearer_is_known_by_token_agent_and_credential(db: Database) {
    let (agent, other) = (db.agent().await, db.agent().await);
    let (agent_id, credential) = (agent.agent_id, db.credential(&agent, digest("$2b$10$a")).await);
    let token = Uuid::new_v4();
    let bearer = async |agent_id, credential_id| db.repos.tokens.bearer(token, agent_id, credential_id).await.unwrap();
    let unknown = Bearer { revoked: false, agent_status: None, token_epoch: None, credential_status: None };
    let known = Bearer { agent_status: Some(AgentStatus::Active), token_epoch: Some(0), ..unknown };
    let credential_id = Some(credential.credential_id);
    assert_eq!(bearer(None, None).await, unknown);
    assert_eq!(bearer(None, credential_id).await, unknown);
    assert_eq!(bearer(Some(Uuid::new_v4()), credential_id).await, unknown);
    assert_eq!(bearer(Some(agent_id), None).await, known);
    assert_eq!(bearer(Some(agent_id), Some(Uuid::new_v4())).await, known);
    assert_eq!(bearer(Some(other.agent_id), credential_id).await, known, "of another agent");
    let with_active = Bearer { credential_status: Some(CredentialStatus::Active), ..known };
    assert_eq!(bearer(Some(agent_id), credential_id).await, with_active);

    db.end(&credential, later(1)).await;
    let with_revoked = Bearer { credential_status: Some(CredentialStatus::Revoked), ..known };
    assert_eq!(bearer(Some(agent_id), credential_id).await, with_revoked);

    let revoked = event(AuditAction::TokenRevoked, agent_id);
    db.repos.tokens.revoke(token, later(3600), &revoked).await.unwrap();
    assert_eq!(bearer(Some(agent_id), None).await, Bearer { revoked: true, ..known });
    assert_eq!(bearer(None, None).await, Bearer { revoked: true, ..unknown });
    assert!(!db.repos.tokens.bearer(Uuid::new_v4(), None, None).await.unwrap().revoked);
    assert!(db.events().await.contains(&revoked));
}

/// Also where another release or an operator changes the row by plain SQL: a trigger counts.
async fn a_suspension_moves_the_epoch_on_and_nothing_else_does(db: Database) {
    let mut agent = db.agent().await;
    use AgentStatus::{Active, Decommissioned, Suspended};
    for (seconds, (status, epoch)) in (1..).zip([
        (Active, 0),
        (Suspended, 1),
        (Suspended, 1),
        (Active, 1),
        (Suspended, 2),
        (Active, 2),
        (Decommissioned, 3),
    ]) {
        let after = Agent { updated_at: later(seconds), ..changed(&agent, status) };
        db.replace(&after).await;
        let bearer = db.repos.tokens.bearer(Uuid::nil(), Some(agent.agent_id), None).await.unwrap();
        assert_eq!((bearer.agent_status, bearer.token_epoch), (Some(status), Some(epoch)), "{seconds}");
        agent = after;
    }
}

async fn revoking_twice_is_fine_and_one_event(db: Database) {
    let token = Uuid::new_v4();
    for _ in 0..2 {
        let revoked = event(AuditAction::TokenRevoked, token);
        db.repos.tokens.revoke(token, later(1), &revoked).await.unwrap();
    }
    assert!(db.repos.tokens.bearer(token, None, None).await.unwrap().revoked);
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
    assert!(!db.repos.tokens.bearer(expired.1, None, None).await.unwrap().revoked);
    assert!(db.repos.tokens.bearer(valid.1, None, None).await.unwrap().revoked);
    assert!(!issue(&db, client, Some(1), "2026-03-28T09:00:00Z").await, "this month's counter stands");
    assert_eq!(db.repos.tokens.prune(later(10)).await.unwrap(), 0);
}
