//! Agents.

use std::sync::Arc;

use agentidp_server::domain::{AgentStatus, AgentType, AuditAction, DeploymentEnv, Page};
use agentidp_server::repo::{AgentFilter, CreateAgent};
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
    a_registration_without_its_event_is_not_made,
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
    db.replace(&gone).await;
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
        let paged = db.repos.agents.list(&AgentFilter::default(), Page::new(page, 3)).await.unwrap();
        assert_eq!((paged.total, paged.page, paged.limit), (10, page, 3));
        listed.extend(paged.data.into_iter().map(|agent| (agent.created_at, agent.agent_id)));
    }
    assert_eq!(listed, expected);
    let beyond = Page::new(u32::MAX, 100);
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
    db.replace(&after).await;
    assert_eq!(db.repos.agents.find(before.agent_id).await.unwrap(), Some(after));
}

async fn a_registration_without_its_event_is_not_made(db: Database) {
    let fails = db.event_that_fails().await;
    let refused = agent();
    db.repos.agents.create(&refused, Some(10), &fails).await.unwrap_err();
    assert_eq!(db.repos.agents.find(refused.agent_id).await.unwrap(), None);
}
