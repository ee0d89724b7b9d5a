//! A commit takes place and the server never gets the answer: the row tells.

use agentidp_server::domain::SecretColumns;

use super::Vaulted;
use crate::interposed::Before;
use crate::log::Log;
use crate::support::process::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_whose_answer_from_the_database_is_lost_is_answered_as_done() {
    for vaulted in [Vaulted::new().await, Vaulted::on_postgres().await] {
        let agent = vaulted.site.agent("a@agents.example").await;
        vaulted.commits.next(Before::LostAnswer);
        let (credential, secret) = vaulted.site.credential(agent).await;
        assert_eq!(vaulted.site.rows(agent).await.len(), 1);
        assert!(vaulted.site.accepts(agent, &secret).await);
        assert_eq!(vaulted.pending().await, 0, "nothing is deleted");
        assert!(vaulted.in_vault(agent, credential).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_whose_answer_from_the_database_is_lost_is_answered_as_done() {
    for vaulted in [Vaulted::new().await, Vaulted::on_postgres().await] {
        let agent = vaulted.site.agent("a@agents.example").await;
        let (credential, old) = vaulted.site.credential(agent).await;
        vaulted.commits.next(Before::LostAnswer);
        let reply = vaulted.site.rotate(agent, credential).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(vaulted.site.accepts(agent, &reply.secret()).await);
        assert!(!vaulted.site.accepts(agent, &old).await);
        assert_eq!(vaulted.site.row(agent, credential).await.secret.vault_version, Some(2), "written once");
        let rotations = vaulted.site.actions(agent).await.into_iter().filter(|action| action == "credential.rotated");
        assert_eq!(rotations.count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_path_that_is_pinned_without_an_answer_is_rotated() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.site.credential(agent).await;
    let bare = SecretColumns { vault_path: Some(vaulted.path(agent, credential)), ..SecretColumns::default() };
    vaulted.set_columns(agent, credential, bare).await;
    vaulted.commits.next_upgrade(Before::LostAnswer);
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
}

#[tokio::test]
async fn an_upgrade_whose_answer_from_the_database_is_lost_is_reported_as_done() {
    let (log, _listening) = Log::of_this_thread();
    let mut vaulted = Vaulted::new().await;
    vaulted.site.change(|app| app.upgrades = true);
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.bcrypt_credential(agent).await;
    vaulted.commits.next_upgrade(Before::LostAnswer);
    vaulted.site.granted(agent, &secret).await;
    let is_done = || log.text().contains("a credential's record was put into today's form");
    let is_over = || is_done() || log.text().contains("a credential was not upgraded");
    until("the end of the upgrade", async || is_over()).await;
    assert!(is_done(), "{}", log.text());
    assert_eq!(vaulted.site.row(agent, credential).await.secret.vault_path, Some(vaulted.path(agent, credential)));
    assert!(vaulted.site.accepts(agent, &secret).await);
}
