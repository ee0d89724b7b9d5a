//! Credentials of every form after the upgrade.

use agentidp_secrets::StoredSecret;
use agentidp_secrets::folder::FolderState;
use agentidp_server::domain::idempotency::{fingerprint, record_sha256};
use agentidp_server::domain::{CredentialStatus, Scopes};
use serde_json::Value;

use super::*;
use crate::support::process::until;

on_both!(
    JOBS;
    every_secret_is_judged_as_before,
    every_form_can_be_rotated,
    every_form_can_be_revoked,
    a_login_puts_every_form_into_todays,
    the_trail_and_revoked_tokens_and_keyed_requests_are_as_before,
);

mod of_eeb7202 {
    use super::{
        a_login_puts_every_form_into_todays, every_form_can_be_revoked, every_form_can_be_rotated,
        every_secret_is_judged_as_before, on_both, the_trail_and_revoked_tokens_and_keyed_requests_are_as_before,
    };

    on_both!(
        NOTES;
        every_secret_is_judged_as_before,
        every_form_can_be_rotated,
        every_form_can_be_revoked,
        a_login_puts_every_form_into_todays,
        the_trail_and_revoked_tokens_and_keyed_requests_are_as_before,
    );
}

impl Server {
    pub(super) async fn judges(&self, clients: &[Client]) {
        for Client { form, row, secret, status } in clients {
            let reply = self.site.grant(row.client_id, secret).await;
            assert_eq!(reply.status, *status, "{form}: {reply:?}");
        }
    }

    /// What the background does in so long; afterwards nothing waits.
    pub(super) async fn settles(&mut self) {
        self.run(LONG_ENOUGH).await;
        assert_eq!(self.jobs().await, 0);
    }
}

async fn every_secret_is_judged_as_before(before: Before) {
    let clients = before.fill().await;
    let mut server = before.start(&[]).await;
    server.judges(&clients).await;
    assert_eq!(server.round().await, FolderState::Agrees, "an unclaimed folder is claimed at the first start");
    for Client { form, row, .. } in &clients {
        assert_ne!(server.site.grant(row.client_id, "wrong").await.status, 200, "{form}");
        let now = server.site.row(row.client_id, row.credential_id).await;
        assert_eq!(now.secret.place(), row.secret.place(), "{form}");
        // A digest beside a path counts for nothing, and goes with the next write.
        let is_as_before = now.secret.secret_hash == row.secret.secret_hash || now.secret.place().is_some();
        assert!(is_as_before, "{form}");
    }
    server.settles().await;
    server.judges(&clients).await;
    // A second server, and the first one started again.
    before.start(&[]).await.judges(&clients).await;
}

async fn every_form_can_be_rotated(before: Before) {
    let clients = before.fill().await;
    let mut server = before.start(&[]).await;
    server.round().await;
    let mut shown = Vec::new();
    for Client { form, row, secret, .. } in &clients {
        let reply = server.site.rotate(row.client_id, row.credential_id).await;
        if row.revoked_at.is_some() {
            assert_eq!(reply.failure().1, "CREDENTIAL_ALREADY_REVOKED", "{form}");
            continue;
        }
        assert_eq!(reply.status, 200, "{form}: {reply:?}");
        assert_eq!(server.site.grant(row.client_id, secret).await.status, 401, "{form}");
        let now = server.site.row(row.client_id, row.credential_id).await;
        assert_eq!(now.secret.vault_path, Some(before.path(row)), "{form}");
        assert!(now.secret.secret_hash.is_none() && now.secret.vault_version.is_some(), "{form}");
        shown.push((form, row.client_id, reply.secret()));
    }
    server.run(LONG_ENOUGH).await;
    for (form, client, secret) in shown {
        assert_eq!(server.site.grant(client, &secret).await.status, 200, "{form}");
    }
}

async fn every_form_can_be_revoked(before: Before) {
    let clients = before.fill().await;
    let mut server = before.start(&[]).await;
    server.round().await;
    for Client { form, row, secret, .. } in clients.iter().filter(|client| client.row.revoked_at.is_none()) {
        let reply = server.site.revoke(row.client_id, row.credential_id).await;
        assert_eq!(reply.status, 204, "{form}: {reply:?}");
        assert_eq!(server.site.grant(row.client_id, secret).await.status, 401, "{form}");
        assert!(!before.in_vault(row).await, "{form}: deleted on the spot");
    }
    server.run(LONG_ENOUGH).await;
    let elsewhere = clients.iter().filter(|client| client.status == 500).count();
    assert_eq!(server.jobs().await, u64::try_from(elsewhere).unwrap(), "no token for another mount: it waits");
    for Client { form, row, .. } in &clients {
        let now = server.site.row(row.client_id, row.credential_id).await;
        assert_eq!(now.status, CredentialStatus::Revoked, "{form}");
        assert!(!before.in_vault(row).await, "{form}");
    }
}

async fn a_login_puts_every_form_into_todays(before: Before) {
    let clients = before.fill().await;
    let mut server = before.start(&[UPGRADE]).await;
    server.round().await;
    for Client { form, row, secret, .. } in clients.iter().filter(|client| client.status == 200) {
        until(form, async || {
            server.site.granted(row.client_id, secret).await;
            let now = server.site.row(row.client_id, row.credential_id).await;
            // What a bare path means may change: it gets no selector before it is pinned.
            let is_bare = row.secret.place().is_some_and(|(_, version)| version.is_none());
            now.secret.vault_path.is_some() && (is_bare || now.secret.secret_selector.is_some())
        })
        .await;
        let now = server.site.row(row.client_id, row.credential_id).await;
        match row.secret.place() {
            Some(place) => assert_eq!(now.secret.place(), Some(place), "{form}"),
            None => assert_eq!(now.secret.place(), Some((before.path(row).as_str(), Some(1))), "{form}"),
        }
    }
    server.settles().await;
    server.judges(&clients).await;
}

async fn the_trail_and_revoked_tokens_and_keyed_requests_are_as_before(before: Before) {
    let [client] = [Row::of(before.agent().await)];
    let secrets = before.write(&before.vault(), &client, 1).await;
    let row = client.with(before.columns(&client, Some(1)));
    before.insert(&row).await;
    before.trail(&row).await;
    // Another server with the same key issued the token.
    let (other, day) = (Site::bcrypt().await, Duration::from_secs(86_400));
    let issued = other.app.tokens.issue_now(&row.client_id.to_string(), Scopes::ALL, day, false).unwrap();
    let (token, jti) = (issued.token, issued.claims.jti);
    let (at, ends) = (began(), began().plus(Duration::from_secs(86_400)));
    before
        .sql(format!("INSERT INTO token_revocations (jti, expires_at, revoked_at) VALUES ('{jti}', '{ends}', '{at}')"))
        .await;
    let path = format!("/agents/{}/credentials", row.client_id);
    before.keyed(&row, "done", &path, Some(&row.secret.to_record().unwrap())).await;
    before.keyed(&row, "open", &path, None).await;
    let trail = "SELECT CAST(event_id AS text) || action || CAST(metadata AS text) FROM audit_events ORDER BY event_id";
    let was = before.texts(trail).await;
    assert_eq!(was.len(), 2);

    let mut server = before.start(&[]).await;
    server.round().await;
    assert_eq!(before.texts(trail).await, was);
    assert_eq!(server.site.send(&token, "GET", "/agents", "").await.status, 401, "it stays revoked");
    assert_eq!(server.site.send(&server.site.token(row.client_id), "GET", "/agents", "").await.status, 200);

    let replayed = server.site.keyed(&server.site.operator, "done", &path, "").await;
    assert!(replayed.is_replay(), "{replayed:?}");
    assert_eq!((replayed.id("credentialId"), replayed.secret()), (row.credential_id, secrets[0].clone()));
    let other = server.site.keyed(&server.site.operator, "done", &path, "{}").await;
    assert_eq!(other.failure().1, "IDEMPOTENCY_KEY_REUSED");
    let taken = server.site.keyed(&server.site.operator, "open", &path, "").await;
    assert_eq!(taken.status, 409, "an old server is at it: {taken:?}");
    server.run(Duration::from_secs(70)).await;
    let crashed = server.site.keyed(&server.site.operator, "open", &path, "").await;
    assert_eq!((crashed.status, crashed.is_replay()), (201, false), "{crashed:?}");

    server.run(LONG_ENOUGH).await;
    agentidp_server::workers::retention::round(&server.site.app).await;
    let now = before.texts(trail).await;
    assert!(was.iter().all(|event| now.contains(event)), "nothing of the trail is lost");
    assert_eq!(server.site.send(&token, "GET", "/agents", "").await.status, 401);
    let shown: Value = server.site.get(&format!("/audit?agentId={}", row.client_id)).await.json();
    assert!(shown["total"].as_u64().unwrap() >= 2);
}

impl Before {
    /// Two events of the agent.
    async fn trail(&self, row: &Row) {
        for action in ["agent.created", "credential.generated"] {
            let metadata = format!(r#"{{"credentialId": "{}"}}"#, row.credential_id);
            self.sql(format!(
                "INSERT INTO audit_events (event_id, agent_id, action, outcome, ip_address, user_agent, metadata, timestamp) \
                 VALUES ('{}', '{}', '{action}', 'success', '192.0.2.1', 'curl', '{metadata}', '{}')",
                Uuid::now_v7(),
                row.client_id,
                began().minus(seconds(3600)),
            ))
            .await;
        }
    }

    /// An operator's keyed request to `path`, carried out with this record or under way.
    async fn keyed(&self, row: &Row, name: &str, path: &str, carried_out: Option<&StoredSecret>) {
        let (until, ends) = (began().plus(seconds(60)), began().plus(seconds(86_400)));
        let (asked, claim) = (fingerprint("POST", path, b""), Uuid::new_v4());
        let [client, credential] = [row.client_id, row.credential_id].map(|id| literal(carried_out.map(|_| id)));
        let sha256 = literal(carried_out.map(record_sha256));
        self.sql(format!(
            "INSERT INTO idempotency_keys (caller, idempotency_key, fingerprint, claim, claimed_until, expires_at, client_id, \
             credential_id, record_sha256) VALUES ('operator', '{name}', '{asked}', '{claim}', '{until}', '{ends}', {client}, \
             {credential}, {sha256})"
        ))
        .await;
    }
}
