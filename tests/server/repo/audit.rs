//! The audit trail.

use agentidp_server::domain::{AuditAction, Outcome, Page};
use agentidp_server::repo::RepoError;
use serde_json::json;
use uuid::Uuid;

use super::*;

on_both!(
    an_event_reads_back_equal,
    events_are_appended_together_or_not_at_all,
    appending_again_changes_nothing,
    an_event_beyond_retention_is_not_found,
    lists_filter_exactly_and_to_the_millisecond,
    pages_do_not_overlap,
    events_leave_by_age_and_in_no_other_way,
    years_of_events_are_pruned_in_one_go,
    a_row_that_cannot_be_read_is_told_by_its_column,
);

async fn an_event_reads_back_equal(db: Database) {
    for (agent_id, metadata) in [
        (None, json!({})),
        (Some(Uuid::new_v4()), json!({ "scope": "agents:read", "n": [1, null, { "ü": "\u{1f511} \"quoted\"" }] })),
    ] {
        let event = AuditEvent {
            agent_id,
            metadata: metadata.into(),
            ip_address: "2001:db8::1".to_owned(),
            user_agent: "ä; '\"\\".to_owned(),
            ..event(AuditAction::AuthFailed, Uuid::new_v4())
        };
        db.repos.audit.append(&event).await.unwrap();
        assert_eq!(db.repos.audit.find(event.event_id, now()).await.unwrap(), Some(event));
    }
}

async fn events_are_appended_together_or_not_at_all(db: Database) {
    let mut events: Vec<_> = (0..600).map(|_| event(AuditAction::TokenIssued, Uuid::new_v4())).collect();
    events[1].agent_id = None;
    events[2].metadata = json!({ "scope": "agents:read", "n": [1, null, { "ü": "\u{1f511} \"quoted\"" }] }).into();
    db.repos.audit.append_all(&[]).await.unwrap();
    db.repos.audit.append_all(&events).await.unwrap();
    for event in &events[..3] {
        assert_eq!(db.repos.audit.find(event.event_id, now()).await.unwrap().as_ref(), Some(event));
    }
    let total = async || db.repos.audit.list(&AuditFilter::default(), ALL).await.unwrap().total;
    assert_eq!(total().await, 600);

    // Nothing that a database cannot hold comes out of `AuditEvent::new`; this one was made by hand.
    let refused = AuditEvent { user_agent: "canary\0".to_owned(), ..event(AuditAction::TokenIssued, Uuid::new_v4()) };
    let batch = [event(AuditAction::TokenIssued, Uuid::new_v4()), refused];
    if db.url.starts_with("postgres") {
        let error = db.repos.audit.append_all(&batch).await.unwrap_err();
        assert!(matches!(error, RepoError::Refused { during: "audit.append", .. }), "{error:?}");
        assert_eq!(total().await, 600);
    }
}

async fn appending_again_changes_nothing(db: Database) {
    let (first, second) =
        (event(AuditAction::TokenIssued, Uuid::new_v4()), event(AuditAction::AuthFailed, Uuid::new_v4()));
    db.repos.audit.append(&first).await.unwrap();
    let changed = AuditEvent { outcome: Outcome::Failure, ..first.clone() };
    db.repos.audit.append_all(&[changed, second.clone()]).await.unwrap();
    assert_eq!(db.repos.audit.find(first.event_id, now()).await.unwrap(), Some(first));
    assert_eq!(db.repos.audit.find(second.event_id, now()).await.unwrap(), Some(second));
}

async fn an_event_beyond_retention_is_not_found(db: Database) {
    let event = event(AuditAction::TokenIssued, Uuid::new_v4());
    db.repos.audit.append(&event).await.unwrap();
    assert_eq!(db.repos.audit.find(event.event_id, later(1)).await.unwrap(), None);
    assert_eq!(db.repos.audit.find(Uuid::new_v4(), now()).await.unwrap(), None);
}

async fn lists_filter_exactly_and_to_the_millisecond(db: Database) {
    let agent_id = Uuid::new_v4();
    let issued = event(AuditAction::TokenIssued, agent_id);
    let failed = AuditEvent {
        outcome: Outcome::Failure,
        agent_id: None,
        timestamp: now().plus(Duration::from_millis(1)),
        ..event(AuditAction::AuthFailed, agent_id)
    };
    for event in [&issued, &failed] {
        db.repos.audit.append(event).await.unwrap();
    }
    let all = AuditFilter::default();
    let table = [
        (all.clone(), vec![&failed, &issued]),
        (AuditFilter { agent_id: Some(agent_id), ..all.clone() }, vec![&issued]),
        (AuditFilter { agent_id: Some(Uuid::new_v4()), ..all.clone() }, vec![]),
        (AuditFilter { action: Some(AuditAction::AuthFailed), ..all.clone() }, vec![&failed]),
        (AuditFilter { outcome: Some(Outcome::Success), ..all.clone() }, vec![&issued]),
        (AuditFilter { from: Some(failed.timestamp), ..all.clone() }, vec![&failed]),
        (AuditFilter { to: Some(issued.timestamp), ..all.clone() }, vec![&issued]),
        (AuditFilter { from: Some(issued.timestamp), to: Some(failed.timestamp), ..all }, vec![&failed, &issued]),
    ];
    for (filter, expected) in table {
        let listed = db.repos.audit.list(&filter, ALL).await.unwrap();
        assert_eq!(listed.total, expected.len() as u64, "{filter:?}");
        assert_eq!(listed.data.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

async fn pages_do_not_overlap(db: Database) {
    let mut expected = Vec::new();
    for _ in 0..7 {
        let event = event(AuditAction::TokenIssued, Uuid::new_v4());
        db.repos.audit.append(&event).await.unwrap();
        expected.push(event.event_id);
    }
    expected.sort_by(|a, b| b.cmp(a));
    let mut listed = Vec::new();
    for page in 1..=3 {
        let paged = db.repos.audit.list(&AuditFilter::default(), Page::new(page, 3)).await.unwrap();
        listed.extend(paged.data.into_iter().map(|event| event.event_id));
    }
    assert_eq!(listed, expected);
}

async fn events_leave_by_age_and_in_no_other_way(db: Database) {
    let [old, kept] =
        [now(), later(1)].map(|timestamp| AuditEvent { timestamp, ..event(AuditAction::TokenIssued, Uuid::new_v4()) });
    for event in [&old, &kept] {
        db.repos.audit.append(event).await.unwrap();
    }
    for by_hand in ["UPDATE audit_events SET outcome = 'failure'", "DELETE FROM audit_events"] {
        let refused = db.sql(by_hand).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{by_hand}: {refused}");
    }
    assert_eq!(db.events().await, [kept.clone(), old]);

    assert_eq!(db.repos.audit.prune(later(1)).await.unwrap(), 1);
    assert_eq!(db.events().await, std::slice::from_ref(&kept));
    // An earlier prune afterwards takes nothing back, and what is left is still guarded.
    assert_eq!(db.repos.audit.prune(now()).await.unwrap(), 0);
    db.sql("DELETE FROM audit_events").await.unwrap_err();
    assert_eq!(db.events().await, [kept]);
}

async fn years_of_events_are_pruned_in_one_go(db: Database) {
    let rows: Vec<String> = (0..2001)
        .map(|_| {
            format!("('{}', 'token.issued', 'success', '', '', '{{}}', '2020-01-01T00:00:00.000Z')", Uuid::new_v4())
        })
        .collect();
    let columns = "event_id, action, outcome, ip_address, user_agent, metadata, timestamp";
    db.sql(&format!("INSERT INTO audit_events ({columns}) VALUES {}", rows.join(","))).await.unwrap();
    let kept = event(AuditAction::TokenIssued, Uuid::new_v4());
    db.repos.audit.append(&kept).await.unwrap();
    assert_eq!(db.repos.audit.prune(now()).await.unwrap(), 2001);
    assert_eq!(db.events().await, [kept]);
}

async fn a_row_that_cannot_be_read_is_told_by_its_column(db: Database) {
    let event_id = Uuid::new_v4();
    db.sql(&format!(
        "INSERT INTO audit_events (event_id, action, outcome, ip_address, user_agent, metadata, timestamp) \
         VALUES ('{event_id}', 'canary', 'success', '', '', '{{}}', '2026-03-28T09:00:00.000Z')"
    ))
    .await
    .unwrap();
    let error = db.repos.audit.find(event_id, now().minus(Duration::from_secs(1))).await.unwrap_err();
    assert!(matches!(&error, RepoError::Corrupt { during: "audit.find", column } if column == "action"), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("canary"));
}
