//! States that come back: an older database, an older Vault, an entry that is gone.

use agentidp_secrets::folder::{Disagreement, FolderState, Others};
use agentidp_server::domain::{Credential, SecretColumns};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_deletion_stops_while_the_entry_is_another_one_and_an_operator_lets_it_go_on() {
    let bao = support::bao();
    for expected in [
        Disagreement::EntryOlder,
        Disagreement::EntryMissing,
        Disagreement::EntryDeleted,
        Disagreement::EntryUnreadable,
        Disagreement::OtherMark,
        Disagreement::NotAdmitted,
    ] {
        let mount = listable_mount().await;
        let mut server = Server::on_sqlite(&mount).await;
        let (agent, one, _) = credential(&server).await;
        let (two, _) = server.site.credential(agent).await;
        server.round().await;
        let old = entry(&mount).await;
        server.run(3 * MINUTE).await;
        match expected {
            Disagreement::EntryOlder => write_entry(&mount, old).await,
            Disagreement::EntryMissing => {
                bao.root(Method::DELETE, &entry_path(&mount).replacen("/data/", "/metadata/", 1), Value::Null).await;
            }
            Disagreement::EntryDeleted => bao.soft_delete(&entry_path(&mount)).await,
            Disagreement::EntryUnreadable => write_entry(&mount, json!({ "ledgers": 7 })).await,
            Disagreement::OtherMark => {
                let mut other = entry(&mount).await;
                other["ledgers"].as_object_mut().unwrap().values_mut().next().unwrap()["mark"] = json!(Uuid::new_v4());
                write_entry(&mount, other).await;
            }
            _ => write_entry(&mount, json!({ "ledgers": { "other": { "counter": 1, "mark": "m" } } })).await,
        }
        assert_eq!(server.run(STEP).await, FolderState::Disagrees(expected));
        server.revoke(agent, one).await;
        server.run(20 * MINUTE).await;
        assert!(exists(&mount, agent, one).await && server.jobs().await == 1, "{expected:?}");
        let health = server.site.get_health().await;
        assert_eq!((&health["status"], &health["ledger"]), (&json!("degraded"), &json!("disagrees")), "{expected:?}");
        assert!(server.site.app.metrics.render().contains(r#"agentidp_ledger_state{state="disagrees"} 1"#));

        let found = server.ledger().compare().await.unwrap();
        server.ledger().admit(&found, Others::Keep).await.unwrap();
        assert_eq!(server.run(STEP).await, FolderState::Watching, "{expected:?}");
        assert_eq!(server.run(2 * MINUTE).await, FolderState::Agrees, "{expected:?}");
        assert!(!exists(&mount, agent, one).await && exists(&mount, agent, two).await, "{expected:?}");
        let health = server.site.get_health().await;
        assert_eq!((&health["status"], &health["ledger"]), (&json!("ok"), &json!("agrees")), "{expected:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_deletes_nothing_and_admitting_it_stops_the_newer_one() {
    let (mount, file) = (listable_mount().await, File::new());
    let mut newer = Server::at(&file.url(), &mount).await;
    newer.round().await;
    let (agent, credential, secret) = credential(&newer).await;
    newer.run(3 * MINUTE).await;
    let backup = file.copy().await;
    newer.run(10 * MINUTE).await;
    let (later, _) = newer.site.credential(agent).await;

    let mut older = Server::at(&backup.url(), &mount).await;
    assert_eq!(older.round().await, FolderState::Disagrees(Disagreement::EntryNewer));
    older.revoke(agent, credential).await;
    older.run(20 * MINUTE).await;
    assert!(exists(&mount, agent, later).await && newer.site.accepts(agent, &secret).await);

    let found = older.ledger().compare().await.unwrap();
    older.ledger().admit(&found, Others::Keep).await.unwrap();
    run(&mut [&mut newer, &mut older], 3 * MINUTE).await;
    assert!(older.may_delete() && !newer.may_delete(), "one of the two, as the operator said");
    assert!(!exists(&mount, agent, credential).await, "what its own rows say");
    assert!(exists(&mount, agent, later).await, "a path without a row stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_are_gone_can_be_removed_from_the_entry() {
    let mount = support::bao().fresh_mount(2).await;
    let (mut gone, mut server) = (Server::on_sqlite(&mount).await, Server::on_sqlite(&mount).await);
    gone.round().await;
    server.round().await;
    for (others, left) in [(Others::Keep, 1), (Others::Remove, 0)] {
        let found = server.ledger().compare().await.unwrap();
        server.ledger().admit(&found, others).await.unwrap();
        assert_eq!(server.ledger().compare().await.unwrap().others(), left);
    }
    assert_eq!(gone.round().await, FolderState::Disagrees(Disagreement::NotAdmitted));
    let found = server.ledger().compare().await.unwrap();
    gone.ledger().admit(&gone.ledger().compare().await.unwrap(), Others::Keep).await.unwrap();
    let late = server.ledger().admit(&found, Others::Keep).await.unwrap_err();
    assert!(late.to_string().contains("changed meanwhile"), "{late}");
}

/// The restored state is one between the write to Vault and its commit: of a new credential, and of a rotation.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_write_in_a_restored_database_deletes_nothing() {
    let (mount, original) = (listable_mount().await, File::new());
    let mut server = Server::at(&original.url(), &mount).await;
    let (agent, rotated, _) = credential(&server).await;
    server.run(3 * MINUTE).await;

    // Writes that were under way when the copy was made: of a rotation, and of a credential that is committed a moment later.
    let row = server.site.row(agent, rotated).await;
    let created = Credential { credential_id: Uuid::new_v4(), ..row.clone() };
    let mut written = Vec::new();
    for (row, version) in [(&row, 2), (&created, 1)] {
        let place = format!("{}/data/agentidp/agents/{agent}/credentials/{}", mount.name, row.credential_id);
        let columns =
            SecretColumns { vault_path: Some(place.clone()), vault_version: Some(version), ..row.secret.clone() };
        let open = Credential { secret: columns.written_by(Uuid::new_v4()), ..row.clone() };
        server.site.open_write(&open).await;
        support::bao().write_root(&place, "sk_live_committed-after-the-copy").await;
        written.push(open);
    }
    let backup = original.copy().await;
    let [after, created] = written.as_slice() else { unreachable!() };
    for committed in [after, created] {
        server.site.put(committed).await;
    }
    server.run(3 * MINUTE).await;
    let mut copy = Server::at(&backup.url(), &mount).await;
    copy.run(30 * MINUTE).await;
    for credential in [rotated, created.credential_id] {
        assert!(exists(&mount, agent, credential).await, "it is another database's by now");
    }
    assert!(copy.jobs().await > 0, "the deletion waits for an operator");
}
