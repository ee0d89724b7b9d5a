//! Sequences over database and Vault: what is left when something goes wrong between two steps.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::app::App;
use agentidp_server::domain::{Credential, CredentialStatus, SecretColumns};
use agentidp_server::lifecycle;
use serde_json::json;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::interposed::{Before, Interposed};
use crate::site::{Site, use_vault};
use crate::support::{self, bao::Mount};

/// A site in Vault mode on a mount of its own, with faults and losses on order.
struct Vaulted {
    site: Site,
    faults: FaultLayer,
    commits: Interposed,
    mount: Mount,
}

impl Vaulted {
    async fn new() -> Self {
        let (mount, faults, mut commits) = (support::bao().fresh_mount(2).await, FaultLayer::new(), None);
        let site = Site::build(|app| commits = Some(Self::set_up(app, &mount, &faults))).await;
        Self { site, faults, commits: commits.unwrap(), mount }
    }

    async fn on_postgres() -> Self {
        let (mount, faults, mut commits) = (support::bao().fresh_mount(2).await, FaultLayer::new(), None);
        let site = Site::build_on_postgres(|app| commits = Some(Self::set_up(app, &mount, &faults))).await;
        Self { site, faults, commits: commits.unwrap(), mount }
    }

    fn set_up(app: &mut App, mount: &Mount, faults: &FaultLayer) -> Interposed {
        use_vault(app, mount, faults);
        Interposed::into_app(app)
    }

    /// The documented path.
    fn path(&self, agent: Uuid, credential: Uuid) -> String {
        format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", self.mount.name)
    }

    /// Whether Vault has anything at the credential's path.
    async fn in_vault(&self, agent: Uuid, credential: Uuid) -> bool {
        support::bao().metadata_exists(&self.path(agent, credential)).await
    }

    async fn pending(&self) -> u64 {
        self.site.app.repos.purges.pending().await.unwrap()
    }

    /// What the background does once its time has come.
    async fn purge_after(&self, time: Duration) {
        self.site.clock.advance(time);
        for job in self.site.app.repos.purges.due(self.site.app.now(), 100).await.unwrap() {
            let _ = lifecycle::purge(&self.site.app, &job).await;
        }
    }

    /// Turns a Vault-backed row into one with other columns, as an older system or an accident would leave it.
    async fn set_columns(&self, agent: Uuid, credential: Uuid, secret: SecretColumns) {
        let before = self.site.row(agent, credential).await;
        let after = Credential { secret, ..before.clone() };
        let origin = agentidp_server::domain::Origin { ip_address: [192, 0, 2, 1].into(), user_agent: String::new() };
        let event = agentidp_server::domain::AuditEvent::new(
            agentidp_server::domain::AuditAction::CredentialRotated,
            agentidp_server::domain::Outcome::Success,
            Some(agent),
            &origin,
            json!({}),
            self.site.app.now(),
        );
        assert!(self.site.app.repos.credentials.rotate(&before, &after, &event).await.unwrap());
    }

    /// A digest that the accepted bcrypt backend verifies, as a row from before Vault has it.
    async fn bcrypt_columns(&self, agent: Uuid, credential: Uuid) -> (SecretColumns, String) {
        let key = agentidp_secrets::CredentialKey::parse(&agent.to_string(), &credential.to_string()).unwrap();
        let bcrypt = agentidp_secrets::backends::Bcrypt::builder().minimum_cost_for_tests().build().unwrap();
        let issued = agentidp_secrets::SecretStore::builder(bcrypt).build().unwrap().issue(&key).await.unwrap();
        (SecretColumns::from_record(&issued.stored).unwrap(), issued.secret.expose_secret().to_owned())
    }

    /// A credential from before Vault; nothing of it is in Vault.
    async fn bcrypt_credential(&self, agent: Uuid) -> (Uuid, String) {
        let (credential, _) = self.site.credential(agent).await;
        let (columns, secret) = self.bcrypt_columns(agent, credential).await;
        self.set_columns(agent, credential, columns).await;
        let path = format!("{}/metadata/agentidp/agents/{agent}/credentials/{credential}", self.mount.name);
        support::bao().root(reqwest::Method::DELETE, &path, json!(null)).await;
        (credential, secret)
    }
}

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
    assert_eq!(vaulted.pending().await, 3, "what may have been written is cleared away later");
    vaulted.purge_after(Duration::from_secs(599)).await;
    assert_eq!(vaulted.pending().await, 3, "but not while a commit may still come");
    vaulted.purge_after(Duration::from_secs(1)).await;
    assert_eq!(vaulted.pending().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_secret_whose_commit_failed_is_not_shown_and_not_kept() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    vaulted.commits.next(Before::Outage);
    let reply = vaulted.site.call("POST", &format!("/agents/{agent}/credentials"), json!(null)).await;
    assert_eq!(reply.failure(), (500, "INTERNAL_SERVER_ERROR".to_owned()));
    assert!(!reply.text.contains("sk_live_"));
    assert!(vaulted.site.rows(agent).await.is_empty());
    vaulted.site.clock.advance(Duration::from_secs(600));
    let due = vaulted.site.app.repos.purges.due(vaulted.site.app.now(), 9).await.unwrap();
    let [orphan] = due.as_slice() else { panic!("one job: {due:?}") };
    assert!(vaulted.in_vault(agent, orphan.credential_id).await);
    lifecycle::purge(&vaulted.site.app, orphan).await.unwrap();
    assert!(!vaulted.in_vault(agent, orphan.credential_id).await);
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

async fn suspend(app: &App, agent: Uuid) {
    use agentidp_server::domain::{Agent, AgentStatus, AuditAction, AuditEvent, Origin, Outcome};
    let before = app.repos.agents.find(agent).await.unwrap().unwrap();
    let updated_at = before.updated_at.plus(Duration::from_millis(1));
    let after = Agent { status: AgentStatus::Suspended, updated_at, ..before.clone() };
    let origin = Origin { ip_address: [192, 0, 2, 1].into(), user_agent: String::new() };
    let (action, outcome) = (AuditAction::AgentSuspended, Outcome::Success);
    let event = AuditEvent::new(action, outcome, Some(agent), &origin, json!({}), updated_at);
    app.repos.agents.replace(&before, &after, &event, &origin).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_makes_the_next_version_and_only_that_counts() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, old) = vaulted.site.credential(agent).await;
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!((reply.status, reply.id("credentialId")), (200, credential));
    assert_eq!(vaulted.site.row(agent, credential).await.secret.vault_version, Some(2));
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    assert!(!vaulted.site.accepts(agent, &old).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_fails_leaves_the_old_secret_valid() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, old) = vaulted.site.credential(agent).await;
    for fault in [Fault::Fail(ErrorKind::Unavailable), Fault::Fail(ErrorKind::Denied), Fault::LoseAnswer] {
        vaulted.faults.once(Operation::Rotate, fault);
        let reply = vaulted.site.rotate(agent, credential).await;
        assert_eq!(reply.failure(), (500, "VAULT_WRITE_ERROR".to_owned()));
        assert!(vaulted.site.accepts(agent, &old).await);
    }
    vaulted.commits.next(Before::Outage);
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.failure(), (500, "INTERNAL_SERVER_ERROR".to_owned()));
    assert!(!reply.text.contains("sk_live_"));
    assert!(vaulted.site.accepts(agent, &old).await, "the row pins the old version");

    // Vault has versions that no row knows of; a rotation gets over them.
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    assert!(!vaulted.site.accepts(agent, &old).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_rotations_are_carried_out_one_after_the_other() {
    for vaulted in [Vaulted::new().await, Vaulted::on_postgres().await] {
        race_rotations(&vaulted).await;
    }
}

async fn race_rotations(vaulted: &Vaulted) {
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, first) = vaulted.site.credential(agent).await;
    let (one, two, three) = tokio::join!(
        vaulted.site.rotate(agent, credential),
        vaulted.site.rotate(agent, credential),
        vaulted.site.rotate(agent, credential),
    );
    let mut valid = 0;
    for reply in [one, two, three] {
        assert_eq!(reply.status, 200, "{reply:?}");
        valid += usize::from(vaulted.site.accepts(agent, &reply.secret()).await);
    }
    assert_eq!(valid, 1, "the last one's secret counts");
    assert!(!vaulted.site.accepts(agent, &first).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_loses_its_row_to_another_starts_over() {
    let vaulted = Vaulted::new().await;
    let site = Arc::new(vaulted.site);
    let agent = site.agent("a@agents.example").await;
    let (credential, _) = site.credential(agent).await;
    let (other, theirs) = (Arc::clone(&site), Arc::new(std::sync::Mutex::new(String::new())));
    let shown = Arc::clone(&theirs);
    vaulted.commits.run(async move {
        let reply = other.rotate(agent, credential).await;
        *shown.lock().unwrap() = reply.secret();
    });
    let ours = site.rotate(agent, credential).await;
    assert_eq!(ours.status, 200);
    assert!(site.accepts(agent, &ours.secret()).await);
    let theirs = theirs.lock().unwrap().clone();
    assert!(!site.accepts(agent, &theirs).await, "ours came after theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_in_the_middle_of_a_rotation_wins() {
    let vaulted = Vaulted::new().await;
    let site = Arc::new(vaulted.site);
    let agent = site.agent("a@agents.example").await;
    let (credential, _) = site.credential(agent).await;
    let other = Arc::clone(&site);
    // The purge of the revocation fails, so that only the rotation's own can have done it.
    vaulted.faults.once(Operation::Revoke, Fault::Fail(ErrorKind::Unavailable));
    vaulted.commits.run(async move { assert_eq!(other.revoke(agent, credential).await.status, 204) });
    let reply = site.rotate(agent, credential).await;
    assert_eq!(reply.failure(), (409, "CREDENTIAL_ALREADY_REVOKED".to_owned()));
    let path = format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", vaulted.mount.name);
    assert!(!support::bao().metadata_exists(&path).await, "our version came after the purge and is purged too");
    assert_eq!(site.app.repos.purges.pending().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_after_a_lost_commit_purges_nothing() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    vaulted.commits.next(Before::LossAndOutage);
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.failure(), (500, "INTERNAL_SERVER_ERROR".to_owned()));
    vaulted.commits.end_outage();
    assert_eq!(vaulted.faults.calls(Operation::Revoke), 0, "nobody knows whether the credential has ended");
    assert!(vaulted.site.accepts(agent, &secret).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_moves_to_vault_when_it_rotates() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, old) = vaulted.bcrypt_credential(agent).await;
    assert!(vaulted.site.accepts(agent, &old).await);

    // First in vain: the commit fails after the write.
    vaulted.commits.next(Before::Outage);
    assert_eq!(vaulted.site.rotate(agent, credential).await.status, 500);
    assert!(vaulted.site.accepts(agent, &old).await);
    assert_eq!(vaulted.pending().await, 1);

    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let row = vaulted.site.row(agent, credential).await;
    assert_eq!((row.secret.secret_hash, row.secret.vault_path), (None, Some(vaulted.path(agent, credential))));
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    assert!(!vaulted.site.accepts(agent, &old).await);
    vaulted.purge_after(Duration::from_secs(3600)).await;
    assert!(vaulted.site.accepts(agent, &reply.secret()).await, "the first attempt's purge was dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_mends_what_an_accident_broke() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.site.credential(agent).await;
    let path = vaulted.path(agent, credential);
    let accidents = [
        // No record at all; a digest that is none; a row of the documented system.
        SecretColumns::default(),
        SecretColumns { secret_hash: Some("plain".to_owned()), ..SecretColumns::default() },
        SecretColumns { vault_path: Some(path.clone()), ..SecretColumns::default() },
    ];
    for accident in accidents {
        vaulted.set_columns(agent, credential, accident.clone()).await;
        let reply = vaulted.site.rotate(agent, credential).await;
        assert_eq!(reply.status, 200, "{accident:?}: {reply:?}");
        assert!(vaulted.site.accepts(agent, &reply.secret()).await, "{accident:?}");
    }
    // Somebody deleted the path, or the latest version, by hand.
    let metadata = path.replacen("/data/", "/metadata/", 1);
    support::bao().root(reqwest::Method::DELETE, &metadata, json!(null)).await;
    let reply = vaulted.site.rotate(agent, credential).await;
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    support::bao().soft_delete(&path).await;
    let reply = vaulted.site.rotate(agent, credential).await;
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_makes_vault_forget() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    assert_eq!(vaulted.site.rotate(agent, credential).await.status, 200);
    assert_eq!(vaulted.site.revoke(agent, credential).await.status, 204);
    assert!(!vaulted.in_vault(agent, credential).await, "before the answer");
    assert!(!vaulted.site.accepts(agent, &secret).await);
    assert_eq!(vaulted.pending().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_while_vault_is_down_is_work_for_later() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    vaulted.faults.always(Operation::Revoke, Fault::Fail(ErrorKind::Unavailable));
    assert_eq!(vaulted.site.revoke(agent, credential).await.status, 204);
    assert!(!vaulted.site.accepts(agent, &secret).await, "it takes effect at once");
    assert!(vaulted.in_vault(agent, credential).await);
    vaulted.purge_after(Duration::from_secs(5)).await;
    assert_eq!(vaulted.pending().await, 1, "still down");
    vaulted.faults.heal();
    vaulted.purge_after(Duration::from_secs(9)).await;
    assert_eq!(vaulted.pending().await, 1, "put off for ten seconds by the second failure");
    vaulted.purge_after(Duration::from_secs(1)).await;
    assert_eq!(vaulted.pending().await, 0);
    assert!(!vaulted.in_vault(agent, credential).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_hangs_holds_up_no_revocation_for_long() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.site.credential(agent).await;
    vaulted.faults.always(Operation::Revoke, Fault::Hang);
    let within = tokio::time::timeout(Duration::from_secs(20), vaulted.site.revoke(agent, credential)).await;
    assert_eq!(within.unwrap().status, 204);
    assert_eq!(vaulted.pending().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_agent_is_the_end_of_its_secrets() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (one, first) = vaulted.site.credential(agent).await;
    let (two, second) = vaulted.site.credential(agent).await;
    assert_eq!(vaulted.site.call("DELETE", &format!("/agents/{agent}"), json!(null)).await.status, 204);
    for (credential, secret) in [(one, first), (two, second)] {
        assert!(!vaulted.in_vault(agent, credential).await);
        assert!(!vaulted.site.accepts(agent, &secret).await);
        assert_eq!(vaulted.site.row(agent, credential).await.status, CredentialStatus::Revoked);
    }
    assert_eq!(vaulted.pending().await, 0);
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

#[tokio::test(flavor = "multi_thread")]
async fn without_vault_its_credentials_neither_fall_back_nor_stay_valid() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.site.credential(agent).await;
    let repos = vaulted.site.app.repos.clone();
    let off = Site::build(|app| app.repos = repos).await;
    let reply = off.rotate(agent, credential).await;
    assert_eq!(reply.failure(), (500, "VAULT_WRITE_ERROR".to_owned()));
    assert!(off.row(agent, credential).await.secret.vault_path.is_some());
    assert_eq!(off.revoke(agent, credential).await.status, 204);
    assert_eq!(vaulted.pending().await, 1);
    assert!(vaulted.in_vault(agent, credential).await);
    vaulted.purge_after(Duration::from_secs(5)).await;
    assert!(!vaulted.in_vault(agent, credential).await, "once Vault is configured again");
}
