//! A server of e3aad2c at work on the same credentials as today's, step by step.

use agentidp_secrets::{ClientSecret, Held};
use agentidp_server::domain::{Credential, SecretColumns};
use serde_json::Value;

use super::*;
use crate::interposed::Interposed;
use crate::rows;

on_both!(
    JOBS;
    a_write_of_the_old_server_gives_a_fresh_revision,
    an_old_rotation_overtakes_the_commit_of_a_new_one,
    an_old_rotation_loses_to_a_new_one,
    an_old_move_overtakes_the_commit_of_a_new_one,
    an_old_move_loses_to_a_new_one,
    an_old_server_claims_no_place_that_is_being_moved_to,
    a_claim_of_an_old_server_keeps_a_move_out,
    a_claim_of_an_old_server_refuses_the_commit,
    an_old_revocation_is_carried_out,
    an_old_revocation_ends_what_the_credential_had_left,
    an_old_revocation_overtakes_a_rotation,
    an_old_leader_adopts_the_place_of_a_new_credential,
    a_blank_version_waits_for_an_old_move,
);

/// Today's server on an upgraded database, and what the old server writes to Vault with.
pub(super) struct Beside {
    pub(super) before: Arc<Before>,
    pub(super) server: Server,
    pub(super) commits: Interposed,
    pub(super) vault: SecretStore,
}

impl Beside {
    pub(super) async fn of(before: Before) -> Self {
        let mut server = before.start(&[]).await;
        server.round().await;
        let mut commits = None;
        server.site.change(|app| commits = Some(Interposed::into_app(app)));
        Self { vault: before.vault(), before: Arc::new(before), server, commits: commits.unwrap() }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.server.site.app.now()
    }

    /// A row whose secret is the first version at its place, with the secret.
    pub(super) async fn in_vault(&self) -> (Row, String) {
        let row = Row::of(self.before.agent().await);
        let [secret] = self.before.write(&self.vault, &row, 1).await.try_into().unwrap();
        let row = row.with(self.before.columns(&row, Some(1)));
        self.before.insert(&row).await;
        (row, secret)
    }

    pub(super) async fn digest(&self) -> (Row, String) {
        let row = Row::of(self.before.agent().await);
        let (secret, columns) = issue(&digests(bcrypt()), &row).await;
        let row = row.with(columns);
        self.before.insert(&row).await;
        (row, secret)
    }

    /// A credential that was in Vault, and has a digest since; its secret lies at its old place.
    async fn moved_away(&self) -> Row {
        let (row, _) = self.in_vault().await;
        let before = self.row(&row).await;
        let (_, secret) = issue(&digests(bcrypt()), &row).await;
        let after = Credential { secret: secret.clone(), ..before.clone() };
        rows::replace(&self.server.site.app.repos, &before, &after, self.now()).await;
        row.with(secret)
    }

    pub(super) async fn row(&self, row: &Row) -> Credential {
        self.server.site.row(row.client_id, row.credential_id).await
    }

    /// What the old server does in a rotation: writes over the latest version.
    async fn old_write(&self, row: &Row, latest: u64) -> (Row, String) {
        old_write(&self.before, &self.vault, row, latest).await
    }

    pub(super) async fn rotate(&self, row: &Row) -> crate::site::Reply {
        self.server.site.rotate(row.client_id, row.credential_id).await
    }

    pub(super) async fn logs_in(&self, row: &Row, secret: &str) -> u16 {
        self.server.site.grant(row.client_id, secret).await.status
    }
}

async fn old_write(before: &Before, vault: &SecretStore, row: &Row, latest: u64) -> (Row, String) {
    let secret = ClientSecret::generate().unwrap();
    vault.overwrite(&key(row), latest, secret.clone()).await.unwrap();
    let columns = before.columns(row, Some(i64::try_from(latest).unwrap() + 1));
    (row.with(columns), secret.expose_secret().to_owned())
}

async fn a_write_of_the_old_server_gives_a_fresh_revision(before: Before) {
    let beside = Beside::of(before).await;
    let (row, _) = beside.digest().await;
    let revision = async || beside.row(&row).await.secret.revision;
    let first = revision().await;
    let (_, columns) = issue(&digests(bcrypt()), &row).await;
    let second = row.with(SecretColumns { awaits_use: true, ..columns });
    assert!(beside.before.replace(&row, &second).await);
    let rotated = revision().await;
    assert!(rotated.is_some() && rotated != first);

    beside.before.used(&second).await;
    assert_eq!(revision().await, rotated, "the secret is the same");
    let selected = SecretColumns { secret_selector: Some("k1:0123456789abcdef".to_owned()), ..second.secret.clone() };
    let second = second.with(SecretColumns { awaits_use: false, ..second.secret.clone() });
    assert!(beside.before.replace(&second, &row.with(SecretColumns { awaits_use: false, ..selected })).await);
    assert_eq!(revision().await, rotated, "and so is its record");
    assert_eq!(beside.rotate(&row).await.status, 200);
}

async fn an_old_rotation_overtakes_the_commit_of_a_new_one(before: Before) {
    let beside = Beside::of(before).await;
    let (row, first) = beside.in_vault().await;
    let (old, vault, old_row) = (Arc::clone(&beside.before), beside.vault.clone(), row.clone());
    let shown = Arc::new(std::sync::Mutex::new(String::new()));
    let old_shown = Arc::clone(&shown);
    beside.commits.run(async move {
        // It met the version that is not committed, found its row unchanged, and wrote over that version.
        let (after, secret) = old_write(&old, &vault, &old_row, 2).await;
        assert!(old.replace(&old_row, &after).await);
        *old_shown.lock().unwrap() = secret;
    });
    let reply = beside.rotate(&row).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(beside.row(&row).await.secret.vault_version, Some(4));
    let old_secret = shown.lock().unwrap().clone();
    assert_eq!(beside.logs_in(&row, &reply.secret()).await, 200);
    for over in [first, old_secret] {
        assert_eq!(beside.logs_in(&row, &over).await, 401);
    }
}

async fn an_old_rotation_loses_to_a_new_one(before: Before) {
    let beside = Beside::of(before).await;
    let (row, _) = beside.in_vault().await;
    let (after, uncommitted) = beside.old_write(&row, 1).await;
    let reply = beside.rotate(&row).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_ne!(reply.secret(), uncommitted, "only what today's server noted is taken over");
    assert!(!beside.before.replace(&row, &after).await);
    assert_eq!(beside.logs_in(&row, &reply.secret()).await, 200);
    assert_eq!(beside.logs_in(&row, &uncommitted).await, 401);
}

async fn an_old_move_overtakes_the_commit_of_a_new_one(before: Before) {
    let beside = Beside::of(before).await;
    let (row, _) = beside.digest().await;
    let (old, vault, old_row, now) = (Arc::clone(&beside.before), beside.vault.clone(), row.clone(), beside.now());
    beside.commits.run(async move {
        let path = old.path(&old_row);
        assert!(old.intend(&old_row, &path, now.plus(seconds(600)), now).await);
        let (after, _) = old_write(&old, &vault, &old_row, 1).await;
        assert!(old.replace(&old_row, &after).await && old.redeem(&old_row, &path).await);
    });
    let reply = beside.rotate(&row).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(beside.row(&row).await.secret.vault_version, Some(3));
    assert_eq!(beside.logs_in(&row, &reply.secret()).await, 200);
}

async fn an_old_move_loses_to_a_new_one(before: Before) {
    let mut beside = Beside::of(before).await;
    let (row, _) = beside.digest().await;
    let (path, now) = (beside.before.path(&row), beside.now());
    assert!(beside.before.intend(&row, &path, now.plus(seconds(600)), now).await);
    let (after, _) = beside.old_write(&row, 0).await;
    let reply = beside.rotate(&row).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(!beside.before.replace(&row, &after).await);
    beside.server.settles().await;
    assert_eq!(beside.logs_in(&row, &reply.secret()).await, 200);
}

/// An old move died and left its job, which is due while today's server moves the credential.
async fn an_old_server_claims_no_place_that_is_being_moved_to(before: Before) {
    let mut beside = Beside::of(before).await;
    let (row, _) = beside.digest().await;
    let (path, now) = (beside.before.path(&row), beside.now());
    beside.old_write(&row, 0).await;
    beside.before.schedule(&row, &path, now.minus(seconds(1))).await;
    let (old, vault, old_row) = (Arc::clone(&beside.before), beside.vault.clone(), row.clone());
    beside.commits.run(async move {
        let path = old.path(&old_row);
        if old.claim(&old_row, &path, now, now.plus(seconds(60))).await {
            vault.forget(&key(&old_row)).await.unwrap();
            old.done(&old_row, now.plus(seconds(60))).await;
        }
    });
    let reply = beside.rotate(&row).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(beside.logs_in(&row, &reply.secret()).await, 200, "what was shown is there");
    beside.server.settles().await;
    assert_eq!(beside.logs_in(&row, &reply.secret()).await, 200);
}

async fn a_claim_of_an_old_server_keeps_a_move_out(before: Before) {
    let mut beside = Beside::of(before).await;
    let (row, secret) = beside.digest().await;
    let (path, now) = (beside.before.path(&row), beside.now());
    beside.before.schedule(&row, &path, now).await;
    assert!(beside.before.claim(&row, &path, now, now.plus(seconds(60))).await);
    assert_eq!(beside.rotate(&row).await.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert_eq!(beside.logs_in(&row, &secret).await, 200, "the old secret stays valid");
    // The server died. Its DELETE has two more minutes to arrive.
    beside.server.run(seconds(190)).await;
    let reply = beside.rotate(&row).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    beside.server.settles().await;
    assert_eq!(beside.logs_in(&row, &reply.secret()).await, 200);
}

/// No server comes to that in time; one that was stopped for ten minutes may.
async fn a_claim_of_an_old_server_refuses_the_commit(before: Before) {
    let mut beside = Beside::of(before).await;
    let agent = beside.before.agent().await;
    let (old, vault, now) = (Arc::clone(&beside.before), beside.vault.clone(), beside.now());
    beside.commits.run(async move {
        let row = old.being_created(agent).await;
        let path = old.path(&row);
        assert!(old.adopt(&row, &path, now).await);
        assert!(old.claim(&row, &path, now, now.plus(seconds(60))).await);
        vault.forget(&key(&row)).await.unwrap();
    });
    let reply = beside.server.site.call("POST", &format!("/agents/{agent}/credentials"), Value::Null).await;
    assert_eq!(reply.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert!(beside.server.site.rows(agent).await.is_empty(), "nothing was made");
    beside.server.settles().await;
}

async fn an_old_revocation_is_carried_out(before: Before) {
    let mut beside = Beside::of(before).await;
    let (row, secret) = beside.in_vault().await;
    beside.before.end(&row, beside.now()).await;
    assert_eq!(beside.logs_in(&row, &secret).await, 401);
    beside.server.settles().await;
    assert!(!beside.before.in_vault(&row).await);
}

async fn an_old_revocation_ends_what_the_credential_had_left(before: Before) {
    let mut beside = Beside::of(before).await;
    let blanked = beside.moved_away().await;
    beside.server.run(seconds(10)).await;
    assert!(beside.before.in_vault(&blanked).await, "blank, and kept in mind");
    let owed = beside.moved_away().await;

    // A move that died after its write.
    let (moving, _) = beside.digest().await;
    let (now, vault_path, attempt) = (beside.now(), beside.before.path(&moving), Uuid::new_v4());
    let Row { client_id, credential_id, .. } = moving;
    let columns = SecretColumns { vault_path: Some(vault_path), ..SecretColumns::default() };
    let write =
        Credential { secret: columns.written_by(attempt), ..beside.server.site.row(client_id, credential_id).await };
    rows::open_write(&beside.server.site.app.repos, &write, now).await;
    beside.old_write(&moving, 0).await;

    let places = [blanked, owed, moving];
    for row in &places {
        beside.before.end(row, beside.now()).await;
    }
    beside.server.settles().await;
    for row in &places {
        assert!(!beside.before.in_vault(row).await);
    }
    assert!(beside.before.texts("SELECT kind FROM open_writes").await.is_empty());
}

async fn an_old_revocation_overtakes_a_rotation(before: Before) {
    let mut beside = Beside::of(before).await;
    let (row, secret) = beside.in_vault().await;
    let (old, vault, ended, now) = (Arc::clone(&beside.before), beside.vault.clone(), row.clone(), beside.now());
    beside.commits.run(async move {
        old.end(&ended, now).await;
        let (path, until) = (old.path(&ended), now.plus(seconds(60)));
        assert!(old.claim(&ended, &path, now, until).await);
        vault.forget(&key(&ended)).await.unwrap();
        old.done(&ended, until).await;
    });
    let reply = beside.rotate(&row).await;
    assert_eq!(reply.failure().1, "CREDENTIAL_ALREADY_REVOKED");
    assert_eq!(beside.logs_in(&row, &secret).await, 401);
    beside.server.settles().await;
    assert!(!beside.before.in_vault(&row).await);
    assert!(beside.before.texts("SELECT kind FROM open_writes").await.is_empty());
}

async fn an_old_leader_adopts_the_place_of_a_new_credential(before: Before) {
    let mut beside = Beside::of(before).await;
    let agent = beside.before.agent().await;
    let (old, now) = (Arc::clone(&beside.before), beside.now());
    beside.commits.run(async move {
        let row = old.being_created(agent).await;
        assert!(old.adopt(&row, &old.path(&row), now.plus(seconds(600))).await, "it knows no open writes");
    });
    let (_, secret) = beside.server.site.credential(agent).await;
    beside.server.settles().await;
    beside.server.site.granted(agent, &secret).await;
}

/// The credential has left a place. An old server moves it back while today's pushes the old secret out there.
async fn a_blank_version_waits_for_an_old_move(before: Before) {
    let mut beside = Beside::of(before).await;
    let rows = [beside.moved_away().await, beside.moved_away().await];
    let (now, mut moved) = (beside.now(), Vec::new());
    for row in &rows {
        assert!(beside.before.intend(row, &beside.before.path(row), now.plus(seconds(600)), now).await);
        moved.push(beside.old_write(row, 1).await);
    }
    beside.server.run(seconds(60)).await;
    let [(after, secret), (died, _)] = moved.try_into().unwrap();
    assert!(beside.before.replace(&rows[0], &after).await);
    assert!(beside.before.redeem(&after, &beside.before.path(&after)).await);
    assert_eq!(beside.logs_in(&after, &secret).await, 200);

    // The other one never commits: its secrets are pushed out, all of them.
    beside.server.settles().await;
    assert_eq!(beside.logs_in(&after, &secret).await, 200);
    for version in [1, 2] {
        assert!(matches!(beside.vault.inspect(&key(&died), Some(version)).await.unwrap(), Held::Nothing));
    }
}

impl Before {
    /// The credential that today's server is creating.
    pub(super) async fn being_created(&self, client_id: Uuid) -> Row {
        let open = self.texts("SELECT CAST(credential_id AS text) FROM open_writes WHERE kind = 'create'").await;
        let [credential_id] = open.try_into().unwrap();
        Row { credential_id: credential_id.parse().unwrap(), ..Row::of(client_id) }
    }
}
