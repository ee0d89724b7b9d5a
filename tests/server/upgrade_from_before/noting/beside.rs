//! A server of eeb7202 at work on the same credentials as today's, step by step.

use serde_json::{Value, json};

use super::*;
use crate::interposed;
use crate::support::process::until;
use crate::upgrade_from_before::beside::Beside;

on_both!(
    NOTES;
    every_secret_is_judged_alike,
    an_old_rotation_waits_for_a_new_one,
    an_old_server_takes_what_a_new_one_never_showed,
    an_old_rotation_and_a_new_one_in_turn,
    an_old_revocation_overtakes_a_rotation,
    a_debt_is_paid_by_one_server_at_a_time,
    an_old_leader_takes_no_place_that_is_being_created,
    an_overlap_is_not_known_to_an_old_server,
);

impl Beside {
    /// With its first secret in Vault, and the secret.
    async fn noted(&self) -> (Row, String) {
        let (row, secret) = self.before.first_version().await;
        self.before.insert(&row).await;
        (row, secret)
    }

    /// The row as it is now.
    async fn reread(&self, row: &Row) -> Row {
        row.with(self.row(row).await.secret)
    }
}

async fn every_secret_is_judged_alike(before: Before) {
    let clients = before.fill().await;
    let beside = Beside::of(before).await;
    let known = clients.iter().filter(|client| client.status == 200 && !client.form.starts_with("a digest beside"));
    for Client { form, row, .. } in known {
        let reply = beside.rotate(row).await;
        assert_eq!(reply.status, 200, "{form}: {reply:?}");
        let new = reply.secret();
        assert_eq!(beside.logs_in(row, &new).await, 200, "{form}");
        assert!(beside.before.old_login(row, &new, beside.now()).await, "{form}: an old server reads it too");
        assert!(!beside.before.old_login(row, "wrong", beside.now()).await, "{form}");
    }
}

async fn an_old_rotation_waits_for_a_new_one(before: Before) {
    let beside = Beside::of(before).await;
    let (row, first) = beside.noted().await;
    let (old, held, now) = (Arc::clone(&beside.before), row.clone(), beside.now());
    beside.commits.run(async move {
        assert_eq!(old.open(&held, &Write::of("rotate", 1, noted("another"), now), now).await, None);
    });
    let reply = beside.rotate(&row).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(beside.row(&row).await.secret.vault_version, Some(2));
    assert_eq!((beside.logs_in(&row, &reply.secret()).await, beside.logs_in(&row, &first).await), (200, 401));
}

async fn an_old_server_takes_what_a_new_one_never_showed(before: Before) {
    let beside = Beside::of(before).await;
    let (row, first) = beside.noted().await;
    beside.commits.next(interposed::Before::Outage);
    assert_ne!(beside.rotate(&row).await.status, 200);
    let held = beside.vault.inspect(&key(&row), Some(2)).await.unwrap();
    let second = held.secret().unwrap().expose_secret().to_owned();

    let write = Write::of("rotate", 1, noted("another"), beside.now());
    let left = beside.before.open(&row, &write, beside.now()).await.unwrap();
    assert!(left.iter().any(|digest| is_of(digest, &second)), "it recognises the version by what was noted");
    let after = row.with(beside.before.columns(&row, Some(2)).written_by(write.attempt));
    assert!(beside.before.commit(&row, &after).await);
    assert_eq!((beside.logs_in(&row, &second).await, beside.logs_in(&row, &first).await), (200, 401));
    assert!(beside.before.open_writes().await.is_empty());
}

async fn an_old_rotation_and_a_new_one_in_turn(before: Before) {
    let mut beside = Beside::of(before).await;
    let (mut row, mut secret) = beside.noted().await;
    for _ in 0..6 {
        let version = row.secret.vault_version.unwrap();
        let write = Write::of("rotate", version, "", beside.now());
        assert!(beside.before.open(&row, &write, beside.now()).await.is_some());
        let old = beside.before.write_next(&row, version.unsigned_abs()).await;
        let after = row.with(beside.before.columns(&row, Some(version + 1)).written_by(write.attempt));
        assert!(beside.before.commit(&row, &after).await);
        for (over, status) in [(&secret, 401), (&old, 200)] {
            assert_eq!(beside.logs_in(&row, over).await, status);
        }
        let reply = beside.rotate(&row).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        secret = reply.secret();
        assert!(!beside.before.commit(&after, &row).await, "its row has changed");
        row = beside.reread(&row).await;
        assert!(beside.before.old_login(&row, &secret, beside.now()).await);
        assert!(!beside.before.old_login(&row, &old, beside.now()).await);
    }
    beside.server.settles().await;
    assert_eq!(beside.logs_in(&row, &secret).await, 200);
}

async fn an_old_revocation_overtakes_a_rotation(before: Before) {
    let mut beside = Beside::of(before).await;
    let (row, secret) = beside.noted().await;
    let (old, ended, now) = (Arc::clone(&beside.before), row.clone(), beside.now());
    beside.commits.run(async move { old.revoke(&ended, now).await });
    assert_eq!(beside.rotate(&row).await.failure().1, "CREDENTIAL_ALREADY_REVOKED");
    assert_eq!(beside.logs_in(&row, &secret).await, 401);
    beside.server.settles().await;
    assert!(!beside.before.in_vault(&row).await);
    assert!(beside.before.open_writes().await.is_empty());
}

async fn a_debt_is_paid_by_one_server_at_a_time(before: Before) {
    let mut beside = Beside::of(before).await;
    let (row, _) = beside.noted().await;
    beside.before.revoke(&row, beside.now()).await;
    let (now, until) = (beside.now(), beside.now().plus(seconds(60)));
    assert!(beside.before.claim_debt(&row, "delete", now, until).await);
    beside.server.run(seconds(30)).await;
    assert!(beside.before.in_vault(&row).await, "the old server is at it");
    beside.vault.forget(&key(&row)).await.unwrap();
    beside.before.debt_done(&row, now, until).await;
    assert!(!beside.before.claim_debt(&row, "delete", now, until).await, "not due yet");

    // A first write that arrives late is deleted by whichever server is next.
    beside.before.write_next(&row, 0).await;
    beside.server.run(seconds(130)).await;
    assert!(!beside.before.in_vault(&row).await);
}

async fn an_old_leader_takes_no_place_that_is_being_created(before: Before) {
    let mut beside = Beside::of(before).await;
    let agent = beside.before.agent().await;
    let (old, now) = (Arc::clone(&beside.before), beside.now());
    beside.commits.run(async move {
        let row = old.being_created(agent).await;
        assert!(!old.adopt_place(&row, now).await);
    });
    let (_, secret) = beside.server.site.credential(agent).await;
    beside.server.settles().await;
    beside.server.site.granted(agent, &secret).await;
}

/// What the page on rolling updates says of overlaps.
async fn an_overlap_is_not_known_to_an_old_server(before: Before) {
    let mut beside = Beside::of(before).await;
    let (row, first) = beside.noted().await;
    let path = format!("/agents/{}/credentials/{}/rotate", row.client_id, row.credential_id);
    let reply = beside.server.site.call("POST", &path, json!({ "overlapSeconds": 3600 })).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let second = reply.secret();
    assert!(beside.before.old_login(&row, &second, beside.now()).await);
    assert!(!beside.before.old_login(&row, &first, beside.now()).await, "a login there with the previous secret fails");
    beside.before.tidy(beside.now()).await;
    beside.server.run(seconds(60)).await;
    assert_eq!((beside.logs_in(&row, &first).await, beside.logs_in(&row, &second).await), (200, 200));

    // It writes the selector at a login. Today's may have been quicker, in the background.
    until("its commit", async || {
        let now = beside.reread(&row).await;
        let selector = mac_keys().selector(key(&row).client_id(), &second.as_str().into());
        let secret_selector = selector.map(|selector| selector.to_text());
        let after = now.with(SecretColumns { secret_selector, ..now.secret.clone() }.written_by(Uuid::new_v4()));
        beside.before.commit(&now, &after).await
    })
    .await;
    assert_eq!(beside.logs_in(&row, &first).await, 401, "its write ends the overlap");
    assert_eq!(beside.logs_in(&row, &second).await, 200, "and leaves the secret");
    let shown = beside.server.site.get(&format!("/agents/{}/credentials", row.client_id)).await.json();
    assert_eq!(shown["data"][0]["previousExpiresAt"], Value::Null);
}
