//! Two deployments on one folder, copies of a database, and replicas.

use std::time::Duration;

use agentidp_secrets::folder::{Disagreement, FolderState, Others};

use super::*;

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

#[tokio::test(flavor = "multi_thread")]
async fn a_new_installation_claims_its_folder_and_deletes_at_once() {
    let mount = support::bao().fresh_mount(2).await;
    let mut server = Server::on_sqlite(&mount).await;
    let (agent, credential, _) = credential(&server).await;
    assert!(!server.may_delete(), "nothing was looked at yet");
    assert_eq!(server.round().await, FolderState::Agrees);
    server.revoke(agent, credential).await;
    assert!(!exists(&mount, agent, credential).await, "on the spot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_deployment_with_rows_of_its_own_touches_nothing_of_the_first() {
    let mount = listable_mount().await;
    let (mut first, mut second) = (Server::on_sqlite(&mount).await, Server::on_sqlite(&mount).await);
    first.round().await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(credential(&first).await);
    }
    let (agent, own, _) = credential(&second).await;
    second.revoke(agent, own).await;
    run(&mut [&mut second, &mut first], HALF_AN_HOUR).await;
    assert_eq!(second.site.app.gate.state(), FolderState::Disagrees(Disagreement::NotAdmitted));
    assert!(exists(&mount, agent, own).await && second.jobs().await == 1, "not even its own, until it is admitted");
    assert_eq!(first.site.app.gate.state(), FolderState::Agrees);

    let found = second.ledger().compare().await.unwrap();
    second.ledger().admit(&found, Others::Keep).await.unwrap();
    run(&mut [&mut second, &mut first], HALF_AN_HOUR).await;
    assert!(!exists(&mount, agent, own).await && second.jobs().await == 0, "both delete what is theirs");
    assert!(first.may_delete() && second.may_delete());
    for (agent, credential, secret) in &held {
        assert!(first.site.accepts(*agent, secret).await, "{credential}");
    }
    let lines = first.site.app.metrics.render();
    assert!(lines.contains(r#"agentidp_drift{class="path_without_row"} 0"#), "{lines}");
    let lines = second.site.app.metrics.render();
    assert!(lines.contains(r#"agentidp_drift{class="path_without_row"} 10"#), "it listed all of them: {lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_runs_beside_the_original_deletes_nothing() {
    let (mount, file) = (listable_mount().await, File::new());
    let mut original = Server::at(&file.url(), &mount).await;
    original.round().await;
    let (agent, credential, secret) = credential(&original).await;
    original.run(3 * MINUTE).await;
    // At any point between two advances, or later.
    for age in [0, 10, 30, 50, 130] {
        let copied = file.copy().await;
        original.run(Duration::from_secs(age)).await;
        let mut copy = Server::at(&copied.url(), &mount).await;
        copy.round().await;
        copy.revoke(agent, credential).await;
        for _ in 0..HALF_AN_HOUR.as_secs() / STEP.as_secs() {
            run(&mut [&mut original, &mut copy], STEP).await;
            assert!(!copy.may_delete(), "copied {age} s ago");
        }
        assert!(matches!(copy.site.app.gate.state(), FolderState::Disagrees(_)), "copied {age} s ago");
        assert_eq!(copy.jobs().await, 1);
        assert!(original.may_delete() && original.site.accepts(agent, &secret).await, "copied {age} s ago");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_original_and_a_copy_that_start_together_one_deletes() {
    let (mount, file) = (support::bao().fresh_mount(2).await, File::new());
    Server::at(&file.url(), &mount).await.round().await;
    let copied = file.copy().await;
    let (mut one, mut two) = (Server::at(&file.url(), &mount).await, Server::at(&copied.url(), &mount).await);
    for _ in 0..HALF_AN_HOUR.as_secs() / STEP.as_secs() {
        run(&mut [&mut one, &mut two], STEP).await;
        assert!(!(one.may_delete() && two.may_delete()));
    }
    assert!(one.may_delete());
    assert!(matches!(two.site.app.gate.state(), FolderState::Disagrees(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_original_that_hangs_has_a_closed_gate_before_a_copy_opens_its_own() {
    let (mount, file) = (support::bao().fresh_mount(2).await, File::new());
    let mut original = Server::at(&file.url(), &mount).await;
    for age_of_the_advance in 0..7 {
        original.run(10 * MINUTE + age_of_the_advance * STEP).await;
        assert!(original.may_delete());
        let mut copy = Server::at(&file.copy().await.url(), &mount).await;
        while !copy.may_delete() {
            original.site.clock.advance(STEP);
            copy.run(STEP).await;
            assert!(!(original.may_delete() && copy.may_delete()));
        }
        assert!(matches!(original.round().await, FolderState::Disagrees(_)), "it is not the one any more");
        let found = original.ledger().compare().await.unwrap();
        original.ledger().admit(&found, Others::Keep).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_one_database_agree_and_advance_once_a_minute() {
    let (mount, url) = (support::bao().fresh_mount(2).await, support::postgres().fresh_database().await);
    let (mut one, mut two) = (Server::at(&url, &mount).await, Server::at(&url, &mount).await);
    one.round().await;
    assert_eq!(two.round().await, FolderState::Watching, "it did not claim the folder itself");
    run(&mut [&mut one, &mut two], 3 * MINUTE).await;
    let counter = async || {
        let ledgers = entry(&mount).await["ledgers"].as_object().unwrap().clone();
        assert_eq!(ledgers.len(), 1, "one identity");
        ledgers.values().next().unwrap()["counter"].as_u64().unwrap()
    };
    let before = counter().await;
    for _ in 0..HALF_AN_HOUR.as_secs() / STEP.as_secs() {
        run(&mut [&mut one, &mut two], STEP).await;
        assert!(one.may_delete() && two.may_delete());
    }
    let advanced = counter().await - before;
    assert!((25..=31).contains(&advanced), "{advanced} in half an hour");
    // The other one goes on alone.
    drop(one);
    for _ in 0..30 {
        two.run(STEP).await;
        assert!(two.may_delete());
    }
    assert!(counter().await > before + advanced);
}
