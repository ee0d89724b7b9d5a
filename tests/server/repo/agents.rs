//! Agents.

use std::sync::Arc;

use agentidp_server::domain::{AgentStatus, AgentType, AuditAction, CredentialStatus, DeploymentEnv, Page};
use agentidp_server::repo::{AgentFilter, CreateAgent, Replace};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;

on_both!(
    a_registered_agent_reads_back_equal,
    an_email_is_taken_once_and_exactly,
    the_limit_does_not_count_decommissioned_agents,
    racing_registrations_stop_at_the_limit,
    racing_registrations_of_one_email_make_one_agent,
    lists_filter_exactly,
    pages_do_not_overlap,
    a_change_replaces_what_may_change,
    a_change_to_what_has_changed_is_lost,
    of_racing_changes_one_wins,
    decommissioning_revokes_every_active_credential,
    racing_decommission_and_new_credential_leave_none_active,
    a_change_without_its_event_is_not_made,
);

async fn a_registered_agent_reads_back_equal(db: Database) {
    let agent = agent();
    let event = event(AuditAction::AgentCreated, agent.agent_id);
    assert_eq!(db.repos.agents.create(&agent, None, &event).await.unwrap(), CreateAgent::Created);
    assert_eq!(db.repos.agents.find(agent.agent_id).await.unwrap(), Some(agent));
    assert_eq!(db.repos.agents.find(Uuid::new_v4()).await.unwrap(), None);
    assert_eq!(db.events().await, [event]);
}

async fn an_email_is_taken_once_and_exactly(db: Database) {
    let first = db.agent().await;
    let create = async |email: String| {
        let agent = Agent { email, ..agent() };
        let event = event(AuditAction::AgentCreated, agent.agent_id);
        db.repos.agents.create(&agent, None, &event).await.unwrap()
    };
    assert_eq!(create(first.email.clone()).await, CreateAgent::EmailTaken);
    assert_eq!(create(first.email.to_uppercase()).await, CreateAgent::Created);
    assert_eq!(db.events().await.len(), 2, "a refused registration leaves no event of success");
}

async fn the_limit_does_not_count_decommissioned_agents(db: Database) {
    let create = async |limit| {
        let agent = agent();
        let event = event(AuditAction::AgentCreated, agent.agent_id);
        let created = db.repos.agents.create(&agent, Some(limit), &event).await.unwrap();
        (agent, created)
    };
    assert_eq!(create(0).await.1, CreateAgent::LimitReached);
    let (first, created) = create(1).await;
    assert_eq!(created, CreateAgent::Created);
    assert_eq!(create(1).await.1, CreateAgent::LimitReached);

    let gone = changed(&first, AgentStatus::Decommissioned);
    let event = event(AuditAction::AgentDecommissioned, first.agent_id);
    db.repos.agents.replace(&first, &gone, &event, &origin()).await.unwrap();
    assert_eq!(create(1).await.1, CreateAgent::Created);
    assert_eq!(db.repos.agents.list(&AgentFilter::default(), ALL).await.unwrap().total, 2);
}

async fn racing_registrations_stop_at_the_limit(db: Database) {
    let outcomes = racing_registrations(&db, Some(5), |_| agent()).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == CreateAgent::Created).count(), 5);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == CreateAgent::LimitReached).count(), 15);
    assert_eq!(db.events().await.len(), 5);
}

async fn racing_registrations_of_one_email_make_one_agent(db: Database) {
    let same = |_| Agent { email: "one@example.org".to_owned(), ..agent() };
    let outcomes = racing_registrations(&db, None, same).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == CreateAgent::Created).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == CreateAgent::EmailTaken).count(), 19);
}

/// Two servers on one database take ten registrations each.
async fn racing_registrations(db: &Database, limit: Option<u64>, agent: impl Fn(u32) -> Agent) -> Vec<CreateAgent> {
    let other = repo::open(&db.url).await.unwrap();
    let mut race = JoinSet::new();
    for number in 0..20 {
        let repos = if number % 2 == 0 { &db.repos } else { &other };
        let (agents, agent) = (Arc::clone(&repos.agents), agent(number));
        race.spawn(async move {
            let event = event(AuditAction::AgentCreated, agent.agent_id);
            agents.create(&agent, limit, &event).await.unwrap()
        });
    }
    race.join_all().await
}

async fn lists_filter_exactly(db: Database) {
    for (owner, agent_type) in [
        ("team%", AgentType::Router),
        ("team_", AgentType::Router),
        ("teams", AgentType::Monitor),
        ("Team_", AgentType::Router),
    ] {
        let agent = Agent { owner: owner.to_owned(), agent_type, ..agent() };
        let event = event(AuditAction::AgentCreated, agent.agent_id);
        db.repos.agents.create(&agent, None, &event).await.unwrap();
    }
    let owners = async |filter: AgentFilter| {
        let mut owners: Vec<String> =
            db.repos.agents.list(&filter, ALL).await.unwrap().data.into_iter().map(|agent| agent.owner).collect();
        owners.sort();
        owners
    };
    let of = |owner: &str| AgentFilter { owner: Some(owner.to_owned()), ..AgentFilter::default() };
    for owner in ["team%", "team_", "Team_"] {
        assert_eq!(owners(of(owner)).await, [owner]);
    }
    assert!(owners(of("%")).await.is_empty());
    assert!(owners(of("' OR true --")).await.is_empty());
    let routers = AgentFilter { agent_type: Some(AgentType::Router), ..AgentFilter::default() };
    assert_eq!(owners(routers).await, ["Team_", "team%", "team_"]);
    let both = AgentFilter { agent_type: Some(AgentType::Monitor), ..of("team_") };
    assert!(owners(both).await.is_empty());
    let suspended = AgentFilter { status: Some(AgentStatus::Suspended), ..AgentFilter::default() };
    assert!(owners(suspended).await.is_empty());
}

/// Half of the agents were made in the same millisecond: the id decides between them.
async fn pages_do_not_overlap(db: Database) {
    let mut expected = Vec::new();
    for number in 0..10u64 {
        let agent = Agent { created_at: later(number / 5), ..agent() };
        let event = event(AuditAction::AgentCreated, agent.agent_id);
        db.repos.agents.create(&agent, None, &event).await.unwrap();
        expected.push((agent.created_at, agent.agent_id));
    }
    expected.sort_by(|a, b| b.cmp(a));
    let mut listed = Vec::new();
    for page in 1..=4 {
        let paged = db.repos.agents.list(&AgentFilter::default(), Page { page, limit: 3 }).await.unwrap();
        assert_eq!((paged.total, paged.page, paged.limit), (10, page, 3));
        listed.extend(paged.data.into_iter().map(|agent| (agent.created_at, agent.agent_id)));
    }
    assert_eq!(listed, expected);
    let beyond = Page { page: u32::MAX, limit: 100 };
    let beyond = db.repos.agents.list(&AgentFilter::default(), beyond).await.unwrap();
    assert!(beyond.data.is_empty());
    assert_eq!(beyond.total, 10);
}

async fn a_change_replaces_what_may_change(db: Database) {
    let before = db.agent().await;
    let after = Agent {
        agent_type: AgentType::Custom,
        version: "2.0.0".to_owned(),
        capabilities: vec!["a:b".to_owned()],
        owner: "others".to_owned(),
        deployment_env: DeploymentEnv::Production,
        ..changed(&before, AgentStatus::Suspended)
    };
    let event = event(AuditAction::AgentSuspended, before.agent_id);
    let replaced = db.repos.agents.replace(&before, &after, &event, &origin()).await.unwrap();
    assert_eq!(replaced, Replace::Replaced(Vec::new()));
    assert_eq!(db.repos.agents.find(before.agent_id).await.unwrap(), Some(after));
    assert!(db.events().await.contains(&event));
}

async fn a_change_to_what_has_changed_is_lost(db: Database) {
    let before = db.agent().await;
    let after = changed(&before, AgentStatus::Suspended);
    let replace = async |before: &Agent, after: &Agent| {
        let event = event(AuditAction::AgentUpdated, before.agent_id);
        db.repos.agents.replace(before, after, &event, &origin()).await.unwrap()
    };
    assert_eq!(replace(&before, &after).await, Replace::Replaced(Vec::new()));
    assert_eq!(replace(&before, &changed(&before, AgentStatus::Active)).await, Replace::Lost);
    assert_eq!(db.repos.agents.find(before.agent_id).await.unwrap(), Some(after));
    let unknown = agent();
    assert_eq!(replace(&unknown, &changed(&unknown, AgentStatus::Active)).await, Replace::Lost);
    assert_eq!(db.events().await.len(), 2, "lost changes leave no event");
}

async fn of_racing_changes_one_wins(db: Database) {
    let before = db.agent().await;
    let mut race = JoinSet::new();
    for number in 0..8 {
        let (agents, before) = (Arc::clone(&db.repos.agents), before.clone());
        race.spawn(async move {
            let after = Agent { owner: format!("owner {number}"), ..changed(&before, AgentStatus::Active) };
            let event = event(AuditAction::AgentUpdated, before.agent_id);
            let replaced = agents.replace(&before, &after, &event, &origin()).await.unwrap();
            (replaced != Replace::Lost).then_some(after)
        });
    }
    let winners: Vec<Agent> = race.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(db.repos.agents.find(before.agent_id).await.unwrap().as_ref(), winners.first());
}

async fn decommissioning_revokes_every_active_credential(db: Database) {
    let (agent, other) = (db.agent().await, db.agent().await);
    let hashed = db.credential(&agent, digest("a")).await;
    let in_vault = db.credential(&agent, vaulted("secret/data/b", 2)).await;
    let ended = db.credential(&agent, vaulted("secret/data/c", 1)).await;
    let others = db.credential(&other, vaulted("secret/data/d", 1)).await;
    let revoked = event(AuditAction::CredentialRevoked, agent.agent_id);
    db.repos.credentials.revoke(agent.agent_id, ended.credential_id, now(), &revoked).await.unwrap();
    db.purged(ended.credential_id).await;

    let gone = changed(&agent, AgentStatus::Decommissioned);
    let decommissioned = AuditEvent { timestamp: later(7), ..event(AuditAction::AgentDecommissioned, agent.agent_id) };
    let replaced = db.repos.agents.replace(&agent, &gone, &decommissioned, &origin()).await.unwrap();
    let Replace::Replaced(purges) = replaced else { panic!("lost") };

    assert_eq!(purges.len(), 1);
    assert_eq!((purges[0].credential_id, purges[0].vault_path.as_str()), (in_vault.credential_id, "secret/data/b"));
    assert_eq!(db.repos.purges.due(later(7), 10).await.unwrap(), purges);
    for (credential, at) in [(&hashed, later(7)), (&in_vault, later(7)), (&ended, now())] {
        let row = db.credential_now(credential).await;
        assert_eq!((row.status, row.revoked_at), (CredentialStatus::Revoked, Some(at)));
    }
    assert_eq!(db.credential_now(&others).await.status, CredentialStatus::Active);

    let mut told: Vec<_> = db.events().await.into_iter().filter(|event| event.timestamp == later(7)).collect();
    told.retain(|event| event.action == AuditAction::CredentialRevoked);
    let mut ids: Vec<_> = told.iter().map(|event| event.metadata.to_value()).collect();
    let mut expected: Vec<_> = [&hashed, &in_vault]
        .map(|credential| json!({ "actor": "operator", "credentialId": credential.credential_id }))
        .into();
    ids.sort_by_key(ToString::to_string);
    expected.sort_by_key(ToString::to_string);
    assert_eq!(ids, expected);
    assert!(told.iter().all(|event| event.agent_id == Some(agent.agent_id)));
}

async fn racing_decommission_and_new_credential_leave_none_active(db: Database) {
    for _ in 0..10 {
        let agent = db.agent().await;
        let gone = changed(&agent, AgentStatus::Decommissioned);
        let decommissioned = event(AuditAction::AgentDecommissioned, agent.agent_id);
        let credential = credential(agent.agent_id, digest("a"));
        let generated = event(AuditAction::CredentialGenerated, agent.agent_id);
        let origin = origin();
        let (replaced, inserted) = tokio::join!(
            db.repos.agents.replace(&agent, &gone, &decommissioned, &origin),
            db.repos.credentials.insert(&credential, &generated),
        );
        assert_eq!(replaced.unwrap(), Replace::Replaced(Vec::new()));
        inserted.unwrap();
        let known = db.repos.credentials.authenticate(agent.agent_id, now()).await.unwrap().unwrap();
        assert_eq!((known.agent_status, known.credentials()), (AgentStatus::Decommissioned, 0));
    }
}

async fn a_change_without_its_event_is_not_made(db: Database) {
    let fails = db.event_that_fails().await;
    let refused = agent();
    db.repos.agents.create(&refused, Some(10), &fails).await.unwrap_err();
    assert_eq!(db.repos.agents.find(refused.agent_id).await.unwrap(), None);

    let agent = db.agent().await;
    let credential = db.credential(&agent, vaulted("secret/data/a", 1)).await;
    let gone = changed(&agent, AgentStatus::Decommissioned);
    db.repos.agents.replace(&agent, &gone, &fails, &origin()).await.unwrap_err();
    assert_eq!(db.repos.agents.find(agent.agent_id).await.unwrap(), Some(agent));
    assert_eq!(db.credential_now(&credential).await, credential);
    assert_eq!(db.repos.purges.pending().await.unwrap(), 0);
}
