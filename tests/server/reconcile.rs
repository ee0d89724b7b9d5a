//! The rows compared with Vault: each way to differ made by hand, told, mended, and told no more.

use std::time::Duration;

use agentidp_secrets::lifecycle::compare::Removal;
use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::domain::{Credential, SecretColumns};
use agentidp_server::reconcile::{self, DriftClass, Mode, Summary};
use agentidp_server::workers::reconcile::Reconciler;
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::rows;
use crate::site::{Site, use_vault};
use crate::support;
use crate::support::bao::{Mount, least_privilege};

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// A site on PostgreSQL in Vault mode, whose token may list.
struct Place {
    site: Site,
    mount: Mount,
    faults: FaultLayer,
}

impl Place {
    async fn new() -> Self {
        Self::without_listing().await.with_listing().await
    }

    async fn on_sqlite() -> Self {
        let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
        let site = Site::vault(&mount, &faults).await;
        Self { site, mount, faults }.with_listing().await
    }

    async fn with_listing(self) -> Self {
        let place = self;
        let policy = place.site.app.vault_client.as_ref().unwrap().listing_policy();
        support::bao().write_policy(&place.mount.name, &(least_privilege(&place.mount.name) + &policy)).await;
        place
    }

    async fn without_listing() -> Self {
        let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
        let site = Site::build_on_postgres(|app| use_vault(app, &mount, &faults)).await;
        Self { site, mount, faults }
    }

    fn path(&self, agent: Uuid, credential: Uuid) -> String {
        format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", self.mount.name)
    }

    async fn exists(&self, agent: Uuid, credential: Uuid) -> bool {
        support::bao().metadata_exists(&self.path(agent, credential)).await
    }

    async fn forget(&self, agent: Uuid, credential: Uuid) {
        let metadata = self.path(agent, credential).replacen("/data/", "/metadata/", 1);
        support::bao().root(Method::DELETE, &metadata, json!(null)).await;
    }

    /// The lines, in an order of their own, and what came of it.
    async fn pass(&self, mode: Mode) -> (Vec<String>, Summary) {
        let mut lines = Vec::new();
        let mut tell = |drift: &reconcile::Drift| lines.push(reconcile::line(&self.site.app, drift));
        let summary = reconcile::pass(&self.site.app, mode, &mut tell).await.unwrap();
        lines.sort();
        (lines, summary)
    }

    /// The differences.
    async fn drifts(&self, mode: Mode) -> Vec<reconcile::Drift> {
        let mut found = Vec::new();
        let mut tell = |drift: &reconcile::Drift| found.push(drift.clone());
        reconcile::pass(&self.site.app, mode, &mut tell).await.unwrap();
        found
    }

    /// Their kinds and credentials.
    async fn told(&self, mode: Mode) -> Vec<(DriftClass, String)> {
        self.drifts(mode).await.into_iter().map(|drift| (drift.kind, drift.credential_id)).collect()
    }

    /// What the operator's command removes, if there are so many.
    async fn remove_paths(&self, how_many: usize) -> Option<usize> {
        let (life, vault) = (self.site.app.life(), self.site.app.vault_client.as_ref().unwrap());
        match life.remove_places(vault, how_many).await.unwrap() {
            Removal::Removed(removed) => Some(removed),
            _ => None,
        }
    }

    /// All that a comparison could change: the jobs, the rows, and what Vault has.
    async fn state(&self, agent: Uuid) -> (Vec<(Uuid, Uuid)>, String, Vec<String>) {
        let far = self.site.app.now().plus(Duration::from_secs(86_400));
        let jobs = self.site.app.repos.changes.due(far, 1000).await.unwrap();
        let rows = format!("{:?}", self.site.rows(agent).await);
        let folder = format!("{}/metadata/agentidp/agents/{agent}/credentials?list=true", self.mount.name);
        let (_, listed) = support::bao().call(support::bao().root_token(), Method::GET, &folder, None).await;
        let keys = listed["data"]["keys"].as_array().cloned().unwrap_or_default();
        (jobs, rows, keys.iter().map(ToString::to_string).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_differs_nothing_is_told() {
    let place = Place::new().await;
    let agent = place.site.agent("a@agents.example").await;
    for _ in 0..3 {
        let (credential, _) = place.site.credential(agent).await;
        place.site.rotate(agent, credential).await;
    }
    let (ended, _) = place.site.credential(agent).await;
    place.site.revoke(agent, ended).await;
    for mode in [Mode::DryRun, Mode::Repair] {
        let (lines, summary) = place.pass(mode).await;
        assert!(lines.is_empty() && summary.unlisted.is_none() && summary.found.total() == 0, "{lines:?} {summary:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_told_and_a_second_time_changes_nothing() {
    each_kind(Place::new().await).await;
    each_kind(Place::on_sqlite().await).await;
}

async fn each_kind(place: Place) {
    let bao = support::bao();
    let agent = place.site.agent("a@agents.example").await;
    let mut credentials = Vec::new();
    for _ in 0..9 {
        credentials.push(place.site.credential(agent).await.0);
    }
    let [gone, behind, other, unfinished, soft, destroyed, rubbish, elsewhere, sound] = credentials.try_into().unwrap();
    place.forget(agent, gone).await;
    bao.write_root(&place.path(agent, behind), "sk_live_never-committed").await;
    place.forget(agent, other).await;
    bao.write_root(&place.path(agent, other), "sk_live_another-write").await;
    place.faults.once(Operation::Rotate, Fault::LoseAnswer);
    assert_eq!(place.site.rotate(agent, unfinished).await.status, 500);
    bao.soft_delete(&place.path(agent, soft)).await;
    bao.destroy(&place.path(agent, destroyed), 1).await;
    bao.root(Method::POST, &place.path(agent, rubbish), json!({ "data": { "other": 1 } })).await;
    set_columns(&place, agent, rubbish, &place.path(agent, rubbish), 2).await;
    set_columns(&place, agent, elsewhere, &format!("old-{}", place.path(agent, elsewhere)), 1).await;
    let orphan = Uuid::new_v4();
    bao.write_root(&place.path(agent, orphan), "sk_live_orphan").await;
    bao.write_root(&format!("{}/data/agentidp/agents/check/credentials/x", place.mount.name), "left by a check").await;

    let expected = [
        (DriftClass::RowWithoutPath, gone),
        (DriftClass::VersionBehind, behind),
        (DriftClass::OtherWrite, other),
        (DriftClass::VersionUnfinished, unfinished),
        (DriftClass::SoftDeleted, soft),
        (DriftClass::VersionMissing, destroyed),
        (DriftClass::Unreadable, rubbish),
        (DriftClass::Elsewhere, elsewhere),
        (DriftClass::PathWithoutRow, orphan),
    ];
    let before = place.state(agent).await;
    let (dry, _) = place.pass(Mode::DryRun).await;
    let mut told = place.told(Mode::DryRun).await;
    for (class, credential) in expected {
        let at = told.iter().position(|found| *found == (class, credential.to_string()));
        told.swap_remove(at.unwrap_or_else(|| panic!("{class:?} is not told: {dry:#?}")));
    }
    assert_eq!(told, [(DriftClass::ForeignName, String::new())], "and nothing of {sound}");
    assert_eq!(place.state(agent).await, before, "a dry run changes nothing");

    for _ in 0..3 {
        let (lines, summary) = place.pass(Mode::Repair).await;
        assert_eq!(lines, dry, "the same lines");
        assert_eq!((summary.found.total(), summary.found.for_operator()), (10, 9));
        assert_eq!((summary.waiting.later, summary.left), (0, 0));
        let after = place.state(agent).await;
        assert_eq!((after.0.len(), &after.1, &after.2), (0, &before.1, &before.2), "no path is scheduled or deleted");
        place.site.clock.advance(TEN_MINUTES);
    }

    // Only the explicit command removes a path, and not one of a credential that is active.
    assert_eq!((place.remove_paths(2).await, place.remove_paths(1).await), (None, Some(1)));
    assert!(!place.exists(agent, orphan).await && place.exists(agent, elsewhere).await);

    // What the lines say mends the rest.
    let undelete = dry.iter().find_map(|line| line.split('`').nth(1).filter(|it| it.starts_with("bao kv undelete")));
    let arguments: Vec<&str> = undelete.unwrap().split(' ').skip(1).collect();
    assert!(bao.cli(bao.root_token(), &arguments).await.status.success());
    for credential in [gone, behind, other, unfinished, destroyed, rubbish, elsewhere] {
        assert_eq!(place.site.rotate(agent, credential).await.status, 200);
    }
    assert_eq!(place.told(Mode::Repair).await, [(DriftClass::ForeignName, String::new())]);
}

async fn set_columns(place: &Place, agent: Uuid, credential: Uuid, path: &str, version: i64) {
    let before = place.site.row(agent, credential).await;
    let columns =
        SecretColumns { vault_path: Some(path.to_owned()), vault_version: Some(version), ..SecretColumns::default() };
    let after = Credential { secret: columns.written_by(Uuid::new_v4()), ..before.clone() };
    rows::replace(&place.site.app.repos, &before, &after, place.site.app.now()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_a_row_or_a_job_is_about_by_now_is_not_removed() {
    let place = Place::new().await;
    let agent = place.site.agent("a@agents.example").await;
    let (credential, secret) = place.site.credential(agent).await;
    let row = place.site.row(agent, credential).await;
    // As if neither were there yet when Vault was listed.
    set_columns(&place, agent, credential, &format!("old-{}", place.path(agent, credential)), 1).await;
    let (written, intended) = (Uuid::new_v4(), Credential { credential_id: Uuid::new_v4(), ..row.clone() });
    for credential in [written, intended.credential_id] {
        support::bao().write_root(&place.path(agent, credential), "sk_live_on-its-way").await;
    }
    let found = place.drifts(Mode::DryRun).await;
    assert_eq!(found.iter().filter(|drift| drift.kind == DriftClass::PathWithoutRow).count(), 2, "{found:?}");
    let now = place.site.row(agent, credential).await;
    let row = Credential { secret: row.secret.written_by(Uuid::new_v4()), ..row };
    rows::replace(&place.site.app.repos, &now, &row, place.site.app.now()).await;
    let path = place.path(agent, intended.credential_id);
    let columns = SecretColumns { vault_path: Some(path), ..row.secret.clone() };
    place.site.open_write(&Credential { secret: columns, ..intended.clone() }).await;
    assert_eq!((place.remove_paths(2).await, place.remove_paths(1).await), (None, Some(1)));
    assert!(place.site.accepts(agent, &secret).await);
    assert!(place.exists(agent, intended.credential_id).await && !place.exists(agent, written).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_on_its_way_is_no_drift() {
    let place = Place::new().await;
    let agent = place.site.agent("a@agents.example").await;
    place.faults.once(Operation::Store, Fault::LoseAnswer);
    assert_eq!(place.site.call("POST", &format!("/agents/{agent}/credentials"), json!(null)).await.status, 500);
    for mode in [Mode::DryRun, Mode::Repair] {
        let (lines, summary) = place.pass(mode).await;
        assert!(lines.is_empty(), "{lines:?}");
        assert_eq!(summary.waiting.due, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn purges_that_are_due_are_carried_out_and_not_by_a_dry_run() {
    let place = Place::without_listing().await;
    let agent = place.site.agent("a@agents.example").await;
    let (credential, _) = place.site.credential(agent).await;
    place.faults.always(Operation::Revoke, Fault::Fail(ErrorKind::Unavailable));
    assert_eq!(place.site.revoke(agent, credential).await.status, 204);
    place.site.clock.advance(Duration::from_secs(5));
    let (_, summary) = place.pass(Mode::Repair).await;
    assert_eq!((summary.waiting.due, summary.left), (1, 0), "it failed and was put off");
    place.faults.heal();
    place.site.clock.advance(Duration::from_secs(10));
    let (_, summary) = place.pass(Mode::DryRun).await;
    assert_eq!((summary.waiting.due, summary.left), (1, 1));
    assert!(place.exists(agent, credential).await);
    let (_, summary) = place.pass(Mode::Repair).await;
    assert_eq!((summary.waiting.due, summary.left), (1, 0));
    assert!(!place.exists(agent, credential).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_list_the_rest_is_compared_and_it_is_said() {
    let place = Place::without_listing().await;
    let agent = place.site.agent("a@agents.example").await;
    let (credential, _) = place.site.credential(agent).await;
    place.forget(agent, credential).await;
    support::bao().write_root(&place.path(agent, Uuid::new_v4()), "sk_live_orphan").await;
    let (lines, summary) = place.pass(Mode::Repair).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let unlisted = summary.unlisted.unwrap().to_string();
    assert!(unlisted.contains("must allow `list` on"), "{unlisted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_no_drift() {
    let place = Place::new().await;
    let agent = place.site.agent("a@agents.example").await;
    place.site.credential(agent).await;
    support::bao().revoke_token(&place.mount.policy_token).await;
    let mut tell = |drift: &reconcile::Drift| panic!("{drift}");
    let error = reconcile::pass(&place.site.app, Mode::Repair, &mut tell).await.unwrap_err();
    assert!(error.to_string().starts_with("Vault could not be asked"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_one_leads_and_the_other_takes_over() {
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    let url = support::postgres().fresh_database().await;
    let one = Site::build_at(&url, |app| use_vault(app, &mount, &faults)).await;
    let two = Site::build_at(&url, |app| use_vault(app, &mount, &faults)).await;
    let (mut first, mut second) = (Reconciler::default(), Reconciler::default());
    assert!(first.round(&one.app).await);
    assert!(!second.round(&two.app).await);
    assert!(first.round(&one.app).await, "it still is");
    let drift = r#"agentidp_drift{class="path_without_row"} 0"#;
    assert!(one.app.metrics.render().contains(drift) && !two.app.metrics.render().contains(drift));
    let agent = one.agent("a@agents.example").await;
    let (credential, _) = one.credential(agent).await;
    let path = format!("{}/metadata/agentidp/agents/{agent}/credentials/{credential}", mount.name);
    support::bao().root(Method::DELETE, &path, json!(null)).await;
    first.round(&one.app).await;
    let gone = r#"agentidp_drift{class="row_without_path"} "#;
    let shown = |site: &Site| {
        let text = site.app.metrics.render();
        text.lines().find_map(|line| line.strip_prefix(gone).map(str::to_owned))
    };
    assert_eq!((shown(&one).as_deref(), shown(&two)), (Some("1"), None));

    // It dies: its connection ends, and the lock with it.
    let mut database = PgConnection::connect(&url).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' AND database = \
               (SELECT oid FROM pg_database WHERE datname = current_database())";
    let ended: Vec<bool> = sqlx::query_scalar(end).fetch_all(&mut database).await.unwrap();
    assert_eq!(ended, [true]);
    assert!(second.round(&two.app).await);
    assert!(!first.round(&one.app).await, "it notices");
    assert_eq!((shown(&one).as_deref(), shown(&two).as_deref()), (Some("0"), Some("1")), "the leader's numbers count");
    drop(second);
    support::process::until("the lock", async || Reconciler::default().round(&one.app).await).await;
}

#[tokio::test]
async fn on_its_own_database_a_server_always_leads_and_without_vault_says_so() {
    let site = Site::bcrypt().await;
    assert!(Reconciler::default().round(&site.app).await);
    let error = reconcile::pass(&site.app, Mode::DryRun, &mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("VAULT_ADDR is not set"), "{error}");
}
