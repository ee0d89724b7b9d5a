//! Logins that move a credential to Vault, two at once and beside rotations (fault F4).

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Vaulted;
use crate::interposed::Before;
use crate::support::process::until;

/// Clients that log in twice at once.
const CLIENTS: usize = 100;

impl Vaulted {
    /// With logins that move digests to Vault.
    async fn upgrading(postgres: bool) -> Self {
        let mut this = if postgres { Self::on_postgres().await } else { Self::new().await };
        this.site.change(|app| app.upgrades = true);
        this
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_logins_at_once_lock_no_client_out() {
    let vaulted = Arc::new(Vaulted::upgrading(true).await);
    let (mut clients, mut logins) = (Vec::new(), JoinSet::new());
    for number in 0..CLIENTS {
        let agent = vaulted.site.agent(&format!("{number}@agents.example")).await;
        let (credential, secret) = vaulted.bcrypt_credential(agent).await;
        clients.push((agent, credential, secret.clone()));
        let vaulted = Arc::clone(&vaulted);
        // Both begin before either has moved the credential.
        logins.spawn(async move {
            tokio::join!(vaulted.site.granted(agent, &secret), vaulted.site.granted(agent, &secret));
        });
        if logins.len() == 10 {
            while logins.join_next().await.transpose().unwrap().is_some() {}
        }
    }
    logins.join_all().await;
    for (agent, credential, secret) in &clients {
        // No more than 16 upgrades are under way at a time: the others come with a later login.
        until("the move", async || {
            vaulted.site.granted(*agent, secret).await;
            vaulted.site.row(*agent, *credential).await.secret.vault_path.is_some()
        })
        .await;
    }
    vaulted.purge_after(Duration::from_secs(3600)).await;
    for (agent, _, secret) in &clients {
        assert!(vaulted.site.accepts(*agent, secret).await, "locked out");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_between_two_logins_locks_no_client_out_and_shows_no_presented_secret() {
    let vaulted = Arc::new(Vaulted::upgrading(true).await);
    let agent = vaulted.site.agent("a@agents.example").await;
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let (credential, presented) = vaulted.bcrypt_credential(agent).await;
        let vaulted = Arc::clone(&vaulted);
        clients.spawn(async move {
            let login = || vaulted.site.grant(agent, &presented);
            let (_, rotated, _) = tokio::join!(login(), vaulted.site.rotate(agent, credential), login());
            assert_eq!(rotated.status, 200, "{rotated:?}");
            let shown = rotated.secret();
            assert_ne!(shown, presented);
            // What a login has begun may still end; it changes nothing.
            vaulted.site.granted(agent, &shown).await;
            assert_eq!(vaulted.site.grant(agent, &presented).await.status, 401);
            (shown, presented)
        });
    }
    for (shown, presented) in clients.join_all().await {
        assert!(vaulted.site.accepts(agent, &shown).await && !vaulted.site.accepts(agent, &presented).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presented_secret_that_a_failed_move_has_left_in_vault_is_never_shown() {
    let vaulted = Vaulted::upgrading(false).await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, presented) = vaulted.bcrypt_credential(agent).await;
    vaulted.commits.next_upgrade(Before::Outage);
    vaulted.site.granted(agent, &presented).await;
    until("the write", async || vaulted.in_vault(agent, credential).await).await;
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_ne!(reply.secret(), presented);
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    assert!(!vaulted.site.accepts(agent, &presented).await);
}
