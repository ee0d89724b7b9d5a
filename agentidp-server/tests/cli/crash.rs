//! The process dies between two steps of a change; then `reconcile`, and it starts again.
//!
//! Every fail point has its case, on PostgreSQL and on SQLite, with a real OpenBao. `CRASH_ROUNDS=20` repeats each on
//! PostgreSQL so often.

use std::collections::BTreeSet;

use agentidp_server::keys::{KeyAlgorithm, SigningKey};
use reqwest::Method;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::binary::{Client, Place, Running};
use crate::support::bao::{Mount, least_privilege};
use crate::support::{self, Bao};

/// What a server is asked for while it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Create,
    Rotate,
    Login,
    Revoke,
    Decommission,
}

/// A death and what it leaves.
#[derive(Clone, Copy, Debug)]
struct Case {
    step: &'static str,
    act: Act,
    /// Whether the credential was a digest when Vault came.
    moves: bool,
    /// Whether its secret is good afterwards. If not, the trail says why.
    keeps: bool,
    /// Successes on the agent's trail afterwards: generated, rotated, revoked, decommissioned.
    trail: [u64; 4],
}

const ACTIONS: [&str; 4] = ["credential.generated", "credential.rotated", "credential.revoked", "agent.decommissioned"];

macro_rules! crash_points {
    ($($name:ident: $step:literal, $act:ident, moves $moves:literal, keeps $keeps:literal, $trail:expr;)+) => {
        const CASES: &[Case] = &[$(
            Case { step: $step, act: Act::$act, moves: $moves, keeps: $keeps, trail: $trail },
        )+];

        $(#[tokio::test]
        async fn $name() {
            let case = Case { step: $step, act: Act::$act, moves: $moves, keeps: $keeps, trail: $trail };
            in_each_database(&case).await;
        })+
    };
}

crash_points! {
    a_create_after_its_intent: "create.intended", Create, moves false, keeps true, [1, 0, 0, 0];
    a_create_after_its_write: "create.written", Create, moves false, keeps true, [1, 0, 0, 0];
    a_create_after_its_commit: "create.committed", Create, moves false, keeps true, [2, 0, 0, 0];
    a_rotation_that_moves_after_its_intent: "rotate.intended", Rotate, moves true, keeps true, [1, 0, 0, 0];
    a_rotation_that_moves_after_its_write: "rotate.written", Rotate, moves true, keeps true, [1, 0, 0, 0];
    a_rotation_that_moves_after_its_commit: "rotate.committed", Rotate, moves true, keeps false, [1, 1, 0, 0];
    a_rotation_after_its_intent: "rotate.intended", Rotate, moves false, keeps true, [1, 0, 0, 0];
    a_rotation_after_its_write: "rotate.written", Rotate, moves false, keeps true, [1, 0, 0, 0];
    a_rotation_after_its_commit: "rotate.committed", Rotate, moves false, keeps false, [1, 1, 0, 0];
    an_upgrade_after_its_intent: "upgrade.intended", Login, moves true, keeps true, [1, 0, 0, 0];
    an_upgrade_after_its_write: "upgrade.written", Login, moves true, keeps true, [1, 0, 0, 0];
    an_upgrade_after_its_commit: "upgrade.committed", Login, moves true, keeps true, [1, 0, 0, 0];
    a_revocation_after_its_commit: "revoke.committed", Revoke, moves false, keeps false, [1, 0, 1, 0];
    a_decommission_after_its_commit: "change_agent.committed", Decommission, moves false, keeps false, [1, 0, 1, 1];
    a_purge_after_its_claim: "purge.claimed", Revoke, moves false, keeps false, [1, 0, 1, 0];
    a_purge_after_vault_forgot: "purge.forgotten", Revoke, moves false, keeps false, [1, 0, 1, 0];
    a_purge_after_it_was_done: "purge.done", Revoke, moves false, keeps false, [1, 0, 1, 0];
}

#[test]
fn every_fail_point_has_its_case() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lifecycle");
    let mut points = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let named = source.split("fail_point(\"").skip(1).filter_map(|rest| rest.split('"').next());
        points.extend(named.map(str::to_owned));
    }
    let cases: BTreeSet<String> = CASES.iter().map(|case| case.step.to_owned()).collect();
    assert_eq!(points, cases);
}

async fn in_each_database(case: &Case) {
    Trial::run(case, None).await;
    let rounds = std::env::var_os("CRASH_ROUNDS").map_or(1, |rounds| rounds.to_str().unwrap().parse().unwrap());
    for _ in 0..rounds {
        Trial::run(case, Some(support::postgres().fresh_database().await)).await;
    }
}

/// One death in a place of its own.
struct Trial {
    place: Place,
    mount: Mount,
    url: String,
    key: String,
}

impl Trial {
    async fn run(case: &Case, postgres: Option<String>) {
        let (place, mount) = (Place::new(), support::bao().fresh_mount(2).await);
        let list = format!("path \"{}/metadata/agentidp/*\" {{ capabilities = [\"list\"] }}", mount.name);
        support::bao().write_policy(&mount.name, &(least_privilege(&mount.name) + &list)).await;
        let key = place.path().join("key.pem");
        std::fs::write(&key, SigningKey::generate_pem(KeyAlgorithm::Es256).unwrap().as_bytes()).unwrap();
        let url = postgres.unwrap_or_else(|| format!("sqlite:{}", place.path().join("rows.sqlite").display()));
        let trial = Self { key: key.to_str().unwrap().to_owned(), place, mount, url };
        trial.die_and_live(case).await;
    }

    fn without_vault(&self) -> Vec<(&str, &str)> {
        vec![("DATABASE_URL", &self.url), ("JWT_PRIVATE_KEY_FILE", &self.key), ("RECONCILE_INTERVAL", "0s")]
    }

    fn with_vault(&self) -> Vec<(&str, &str)> {
        let vault = [
            ("VAULT_ADDR", support::bao().address()),
            ("VAULT_TOKEN", self.mount.policy_token.as_str()),
            ("VAULT_KV_MOUNT", self.mount.name.as_str()),
        ];
        [self.without_vault(), vault.to_vec()].concat()
    }

    async fn die_and_live(&self, case: &Case) {
        let operator = self.place.operator(&self.without_vault()).await;
        let first = self.place.serve(&if case.moves { self.without_vault() } else { self.with_vault() }).await;
        let (client, other) =
            (first.agent_with_credential(&operator).await, first.agent_with_credential(&operator).await);
        first.stop().await;

        self.die(case, &client, &operator).await;
        self.let_time_go_by().await;
        let mended = self.reconcile().await;
        let again = self.reconcile().await;
        assert!(again.contains("purges: 0 due"), "{case:?}: nothing is left to be done: {mended} {again}");

        let server = self.place.serve(&self.with_vault()).await;
        assert_eq!(server.token(&client).await.0 == 200, case.keeps, "{case:?}");
        assert_eq!(server.token(&other).await.0, 200, "{case:?}: somebody else");
        self.nothing_else_counts(case, &client, &server).await;
        for (action, expected) in ACTIONS.into_iter().zip(case.trail) {
            let path = format!("/api/v1/audit?agentId={}&action={action}", client.id);
            assert_eq!(get(&server, &operator, &path).await["total"], expected, "{case:?}: {action}");
        }
        if matches!(case.act, Act::Create | Act::Rotate | Act::Login) {
            // Whatever the crash left is in nobody's way.
            let path = format!("/api/v1/agents/{}/credentials/{}/rotate", client.id, client.credential);
            let rotated = server.post(&operator, &path, &Value::Null).await;
            let secret = rotated["clientSecret"].as_str().unwrap().to_owned();
            assert_eq!(server.token(&Client { secret, ..client }).await.0, 200, "{case:?}");
        }
        server.stop().await;
    }

    async fn die(&self, case: &Case, client: &Client, operator: &str) {
        let dying = [("AGENTIDP_FAIL_POINT", case.step), ("UPGRADE_ON_VERIFY", "true")];
        let mut dying = self.place.serve(&[self.with_vault(), dying.to_vec()].concat()).await;
        let agent = format!("/api/v1/agents/{}", client.id);
        let (method, path) = match case.act {
            Act::Create => (Method::POST, format!("{agent}/credentials")),
            Act::Rotate => (Method::POST, format!("{agent}/credentials/{}/rotate", client.credential)),
            Act::Revoke => (Method::DELETE, format!("{agent}/credentials/{}", client.credential)),
            Act::Decommission => (Method::DELETE, agent),
            Act::Login => (Method::POST, "/api/v1/token".to_owned()),
        };
        let request = reqwest::Client::new().request(method, format!("{}{path}", dying.origin));
        if case.act == Act::Login {
            let form =
                [("grant_type", "client_credentials"), ("client_id", &client.id), ("client_secret", &client.secret)];
            // The upgrade comes in the background: the answer may be out by then, or not.
            let _ = request.form(&form).send().await;
        } else {
            request.bearer_auth(operator).send().await.expect_err("nobody is left to answer");
        }
        assert_eq!(dying.ended().await, None, "{case:?}: it was not an exit");
        assert!(self.place.log().contains("dying at a fail point"), "{case:?}: {}", self.place.log());
    }

    /// Leases and claims end with time, of which there is none in a test.
    async fn let_time_go_by(&self) {
        self.sql("UPDATE open_writes SET lease_until = '2000-01-01T00:00:00.000Z'").await;
        self.sql("UPDATE purge_debts SET due_at = '2000-01-01T00:00:00.000Z'").await;
        self.sql("UPDATE purge_debts SET claimed_until = due_at WHERE claimed_until IS NOT NULL").await;
    }

    /// Places of live credentials that hold what a move left whose commit never came.
    async fn kept_in_mind(&self) -> BTreeSet<String> {
        let sql = "SELECT w.vault_path FROM open_writes w JOIN credentials c ON c.credential_id = w.credential_id \
                   WHERE w.kind = 'move' AND c.status = 'active'";
        let paths: Vec<(String,)> = if self.url.starts_with("sqlite:") {
            sqlx::query_as(sql).fetch_all(&mut SqliteConnection::connect(&self.url).await.unwrap()).await.unwrap()
        } else {
            sqlx::query_as(sql).fetch_all(&mut PgConnection::connect(&self.url).await.unwrap()).await.unwrap()
        };
        paths.into_iter().map(|(path,)| path).collect()
    }

    async fn sql(&self, sql: &'static str) {
        if self.url.starts_with("sqlite:") {
            sqlx::raw_sql(sql).execute(&mut SqliteConnection::connect(&self.url).await.unwrap()).await.unwrap();
        } else {
            sqlx::raw_sql(sql).execute(&mut PgConnection::connect(&self.url).await.unwrap()).await.unwrap();
        }
    }

    /// The active credentials in Vault: path and pinned version.
    async fn vaulted(&self) -> BTreeSet<(String, i64)> {
        let sql =
            "SELECT vault_path, vault_version FROM credentials WHERE vault_path IS NOT NULL AND status = 'active'";
        let rows: Vec<(String, i64)> = if self.url.starts_with("sqlite:") {
            sqlx::query_as(sql).fetch_all(&mut SqliteConnection::connect(&self.url).await.unwrap()).await.unwrap()
        } else {
            sqlx::query_as(sql).fetch_all(&mut PgConnection::connect(&self.url).await.unwrap()).await.unwrap()
        };
        rows.into_iter().collect()
    }

    async fn reconcile(&self) -> String {
        let output = self.place.run(&["reconcile"], &self.with_vault()).await;
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Each path in Vault is a row's, each row has its version, and no other version is good for a token. An upgrade that
    /// died leaves the secret that the client has: the row's digest still accepts it.
    async fn nothing_else_counts(&self, case: &Case, client: &Client, server: &Running) {
        let (bao, rows) = (support::bao(), self.vaulted().await);
        let kept = self.kept_in_mind().await;
        let mut missing: BTreeSet<String> = rows.iter().map(|(path, _)| path.clone()).collect();
        let agents = format!("{}/metadata/agentidp/agents", self.mount.name);
        for agent in names(bao, &agents).await {
            let agent = agent.trim_end_matches('/');
            for credential in names(bao, &format!("{agents}/{agent}/credentials")).await {
                let path = format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", self.mount.name);
                assert!(missing.remove(&path) || kept.contains(&path), "{case:?}: a path without a row");
                for version in 1..=3_i64 {
                    let Some(held) = bao.read_root(&format!("{path}?version={version}")).await else { continue };
                    let (id, secret) = (agent.to_owned(), held.client_secret().to_owned());
                    let upgraded = case.act == Act::Login && secret == client.secret;
                    let held = Client { id, credential: credential.clone(), secret };
                    let counts = upgraded || rows.contains(&(path.clone(), version));
                    assert_eq!(server.token(&held).await.0 == 200, counts, "{case:?}: version {version}");
                }
            }
        }
        assert!(missing.is_empty(), "{case:?}: rows without a path");
    }
}

async fn names(bao: &Bao, folder: &str) -> Vec<String> {
    let (_, body) = bao.call(bao.root_token(), Method::GET, &format!("{folder}?list=true"), None).await;
    let keys = body["data"]["keys"].as_array().cloned().unwrap_or_default();
    keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect()
}

async fn get(server: &Running, operator: &str, path: &str) -> Value {
    let request = reqwest::Client::new().get(format!("{}{path}", server.origin)).bearer_auth(operator);
    request.send().await.unwrap().json().await.unwrap()
}
