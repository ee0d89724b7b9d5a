//! New credentials.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::lifecycle::{Debt, DebtKind};
use agentidp_secrets::testkit::Fault;
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::app::App;
use agentidp_server::domain::{Agent, AgentStatus};
use serde_json::json;
use tokio::sync::Notify;
use uuid::Uuid;

use super::Vaulted;
use crate::interposed::Before;
use crate::rows;
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn a_created_secret_is_in_vault_and_nowhere_in_the_row() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    let row = vaulted.site.row(agent, credential).await;
    let path = vaulted.path(agent, credential);
    assert_eq!(row.secret.vault_path.as_ref(), Some(&path));
    assert_eq!((row.secret.vault_version, &row.secret.secret_hash), (Some(1), &None));
    assert_eq!(support::bao().read_root(&path).await.unwrap().client_secret(), secret);
    assert_eq!(vaulted.pending().await, 0, "the commit dropped the intent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_creates_nothing() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    for fault in [Fault::Fail(ErrorKind::Unavailable), Fault::Fail(ErrorKind::Denied), Fault::LoseAnswer] {
        vaulted.faults.once(Operation::Store, fault);
        let reply = vaulted.site.call("POST", &format!("/agents/{agent}/credentials"), json!(null)).await;
        assert_eq!(reply.failure(), (500, "VAULT_WRITE_ERROR".to_owned()));
        assert!(!reply.text.contains("sk_live_"));
    }
    assert!(vaulted.site.rows(agent).await.is_empty());
    assert_eq!(vaulted.site.actions(agent).await, ["agent.created"]);
    assert_eq!(vaulted.pending().await, 3, "what may have been written is deleted in the background");
    vaulted.purge_after(Duration::ZERO).await;
    assert_eq!(vaulted.pending().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_secret_whose_commit_failed_is_not_shown_and_not_kept() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    vaulted.commits.next(Before::Outage);
    let reply = vaulted.site.call("POST", &format!("/agents/{agent}/credentials"), json!(null)).await;
    assert_eq!(reply.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert!(!reply.text.contains("sk_live_"));
    assert!(vaulted.site.rows(agent).await.is_empty());
    let again = vaulted.site.app.now().plus(Duration::from_secs(90));
    let [(_, credential)] = vaulted.site.app.repos.changes.due(again, 9).await.unwrap().try_into().unwrap();
    assert!(!vaulted.in_vault(agent, credential).await, "what was written is deleted on the spot");
    let now = vaulted.site.app.now();
    assert!(vaulted.site.app.repos.changes.due(now, 9).await.unwrap().is_empty(), "and nobody looks until it is again");
    assert_eq!(vaulted.pending().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_suspended_before_the_commit_gets_no_credential() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let app = Arc::clone(&vaulted.site.app);
    vaulted.commits.run(async move { suspend(&app, agent).await });
    let reply = vaulted.site.call("POST", &format!("/agents/{agent}/credentials"), json!(null)).await;
    assert_eq!(reply.failure(), (403, "AGENT_NOT_ACTIVE".to_owned()));
    assert!(vaulted.site.rows(agent).await.is_empty());
    assert_eq!(vaulted.pending().await, 0, "what was written is purged on the spot");
}

/// The write was so slow that its path is being purged, or was.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_stalls_until_its_purge_shows_nothing_and_leaves_nothing() {
    for (vaulted, finished) in [(Vaulted::new().await, true), (Vaulted::on_postgres().await, false)] {
        let agent = vaulted.site.agent("a@agents.example").await;
        let (app, clock) = (Arc::clone(&vaulted.site.app), Arc::clone(&vaulted.site.clock));
        vaulted.commits.run(async move {
            clock.advance(Duration::from_secs(600));
            let [(_, credential)] = app.repos.changes.due(app.now(), 9).await.unwrap().try_into().unwrap();
            if finished {
                app.life().round().await;
            } else {
                // Its process is killed before it asks Vault.
                let until = app.now().plus(Duration::from_secs(60));
                rows::note(&app.repos, agent, credential, app.now(), |note| {
                    let place = note.open.take().unwrap().place;
                    let claimed = Debt {
                        claimed_until: Some(until.into()),
                        ..rows::debt(DebtKind::Delete, place.payload(), until)
                    };
                    note.debts.push(claimed);
                })
                .await;
            }
        });
        let reply = vaulted.site.call("POST", &format!("/agents/{agent}/credentials"), json!(null)).await;
        assert_eq!(reply.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
        assert!(!reply.text.contains("sk_live_"));
        assert!(vaulted.site.rows(agent).await.is_empty());
        assert_eq!(vaulted.pending().await, u64::from(!finished), "what was written in the meantime has to go as well");
        vaulted.purge_after(Duration::from_secs(60)).await;
        assert_eq!(vaulted.pending().await, 0);
    }
}

async fn suspend(app: &App, agent: Uuid) {
    let before = app.repos.agents.find(agent).await.unwrap().unwrap();
    let updated_at = before.updated_at.plus(Duration::from_millis(1));
    let mut tx = app.repos.changes.begin().await.unwrap();
    tx.update_agent(&Agent { status: AgentStatus::Suspended, updated_at, ..before }).await.unwrap();
    assert!(tx.commit().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_cuts_no_sequence() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (arrived, go_on, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let gate = (Arc::clone(&arrived), Arc::clone(&go_on), Arc::clone(&done));
    vaulted.commits.run(async move {
        gate.0.notify_one();
        gate.1.notified().await;
        gate.2.notify_one();
    });
    let path = format!("/agents/{agent}/credentials");
    tokio::select! {
        _ = vaulted.site.call("POST", &path, json!(null)) => panic!("the commit is held up"),
        () = arrived.notified() => {}
    }
    // The handler's future is gone now, between the write to Vault and the commit.
    go_on.notify_one();
    let committed = async {
        done.notified().await;
        while vaulted.pending().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), committed).await.expect("the sequence goes on without its client");
    let rows = vaulted.site.rows(agent).await;
    let [row] = rows.as_slice() else { panic!("one row: {rows:?}") };
    assert!(vaulted.in_vault(agent, row.credential_id).await);
}
