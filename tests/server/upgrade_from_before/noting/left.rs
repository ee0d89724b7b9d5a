//! Open writes whose server was stopped before their commit.

use super::*;

on_both!(
    NOTES;
    a_secret_that_it_wrote_and_never_showed_is_taken,
    a_version_that_it_did_not_note_is_written_over,
    a_write_that_it_holds_is_waited_for,
    a_presented_secret_that_it_moved_is_never_shown,
    a_credential_that_it_never_committed_is_deleted,
    a_credential_that_it_commits_while_rolling_counts,
    a_repair_that_it_began_is_finished,
    a_bare_path_that_it_was_pinning_is_pinned,
);

async fn a_secret_that_it_wrote_and_never_showed_is_taken(before: Before) {
    let (row, first) = before.first_version().await;
    before.insert(&row).await;
    let second = before.write_next(&row, 1).await;
    // An earlier attempt wrote nothing.
    let digests = format!("{} {}", noted("another"), noted(&second));
    before.leave(&row, &Write::of("rotate", 1, digests, began()).dead()).await;

    let mut server = before.start(&[]).await;
    // A database that was restored believes no note.
    server.round().await;
    let logs_in = async |secret: &str| server.site.grant(row.client_id, secret).await.status;
    assert_eq!((logs_in(&first).await, logs_in(&second).await), (200, 401), "what is not committed does not count");
    let reply = server.site.rotate(row.client_id, row.credential_id).await;
    assert_eq!(reply.secret(), second, "so that no number of dead attempts evicts the version that counts");
    assert_eq!((logs_in(&first).await, logs_in(&second).await), (401, 200));
    assert_eq!(server.site.row(row.client_id, row.credential_id).await.secret.vault_version, Some(2));
    assert!(before.open_writes().await.is_empty());
}

async fn a_version_that_it_did_not_note_is_written_over(before: Before) {
    let (row, first) = before.first_version().await;
    before.insert(&row).await;
    let second = before.write_next(&row, 1).await;
    before.leave(&row, &Write::of("rotate", 1, noted("another"), began()).dead()).await;

    let mut server = before.start(&[]).await;
    server.round().await;
    let reply = server.site.rotate(row.client_id, row.credential_id).await;
    assert_ne!(reply.secret(), second);
    for (secret, status) in [(&first, 401), (&second, 401), (&reply.secret(), 200)] {
        assert_eq!(server.site.grant(row.client_id, secret).await.status, status);
    }
    assert_eq!(server.site.row(row.client_id, row.credential_id).await.secret.vault_version, Some(3));
}

async fn a_write_that_it_holds_is_waited_for(before: Before) {
    let (row, first) = before.first_version().await;
    before.insert(&row).await;
    let server = before.start(&[]).await;
    let second = before.write_next(&row, 1).await;
    let write = Write::of("rotate", 1, noted(&second), server.site.app.now());
    assert_eq!(before.open(&row, &write, server.site.app.now()).await, Some(Vec::new()));
    let after = row.with(before.columns(&row, Some(2)).written_by(write.attempt));
    let (reply, committed) =
        tokio::join!(server.site.rotate(row.client_id, row.credential_id), before.commit(&row, &after));
    assert!(committed);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_ne!(reply.secret(), second, "the old server has shown that one");
    for (secret, status) in [(&first, 401), (&second, 401), (&reply.secret(), 200)] {
        assert_eq!(server.site.grant(row.client_id, secret).await.status, status);
    }
}

async fn a_presented_secret_that_it_moved_is_never_shown(before: Before) {
    let (row, secret) = before.with_digest().await;
    before.insert(&row).await;
    before.write_over(&row, 0, &secret).await;
    before.leave(&row, &Write::of("move", 0, "", began()).dead()).await;

    let server = before.start(&[]).await;
    assert_eq!(server.site.grant(row.client_id, &secret).await.status, 200);
    let reply = server.site.rotate(row.client_id, row.credential_id).await;
    assert_ne!(reply.secret(), secret);
    assert_eq!(server.site.grant(row.client_id, &reply.secret()).await.status, 200);
    assert_eq!(server.site.grant(row.client_id, &secret).await.status, 401);
    assert_eq!(server.site.row(row.client_id, row.credential_id).await.secret.vault_version, Some(2));
}

async fn a_credential_that_it_never_committed_is_deleted(before: Before) {
    let (row, _) = before.first_version().await;
    before.leave(&row, &Write::of("create", 0, "", began()).dead()).await;
    let mut server = before.start(&[]).await;
    server.run(seconds(10)).await;
    assert!(!before.in_vault(&row).await);
    // Its write arrives now.
    before.write_next(&row, 0).await;
    server.run(seconds(100)).await;
    assert!(!before.in_vault(&row).await, "the place is deleted again");
    assert!(before.open_writes().await.is_empty());
}

async fn a_credential_that_it_commits_while_rolling_counts(before: Before) {
    let (row, secret) = before.first_version().await;
    let write = Write { attempt: row.secret.revision.unwrap(), ..Write::of("create", 0, "", began()) };
    before.leave(&row, &Write { lease_until: began().plus(seconds(600)), ..write }).await;
    let mut server = before.start(&[]).await;
    server.run(seconds(60)).await;
    assert!(before.in_vault(&row).await, "its lease lasts ten minutes");
    before.sql(format!("DELETE FROM open_writes WHERE credential_id = '{}'", row.credential_id)).await;
    before.insert(&row).await;
    server.settles().await;
    server.site.granted(row.client_id, &secret).await;
}

async fn a_repair_that_it_began_is_finished(before: Before) {
    let (row, secret) = before.first_version().await;
    before.insert(&row).await;
    before.write_next(&row, 1).await;
    before.write_over(&row, 2, &secret).await;
    let digests = format!("current:{}", noted(&secret));
    before.leave(&row, &Write::of("repair", 1, digests, began()).dead()).await;

    let mut server = before.start(&[]).await;
    server.site.granted(row.client_id, &secret).await;
    server.round().await;
    server.run(seconds(130)).await;
    assert_eq!(server.site.row(row.client_id, row.credential_id).await.secret.vault_version, Some(3));
    assert!(before.open_writes().await.is_empty());
    server.site.granted(row.client_id, &secret).await;
    let reply = server.site.rotate(row.client_id, row.credential_id).await;
    assert_ne!(reply.secret(), secret, "a repaired secret is never shown");
}

async fn a_bare_path_that_it_was_pinning_is_pinned(before: Before) {
    let (row, _) = before.first_version().await;
    let latest = before.write_next(&row, 1).await;
    let row = row.with(before.columns(&row, None).written_by(Uuid::new_v4()));
    before.insert(&row).await;
    before.leave(&row, &Write::of("pin", 0, "", began()).dead()).await;

    let server = before.start(&[]).await;
    server.site.granted(row.client_id, &latest).await;
    let reply = server.site.rotate(row.client_id, row.credential_id).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(server.site.row(row.client_id, row.credential_id).await.secret.vault_version, Some(3));
    assert_eq!(server.site.grant(row.client_id, &latest).await.status, 401);
    assert!(before.open_writes().await.is_empty());
}
