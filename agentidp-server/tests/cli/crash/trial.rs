//! One change, one fault, and what is left of them.

use std::collections::BTreeSet;
use std::pin::pin;

use agentidp_server::keys::{KeyAlgorithm, SigningKey};
use futures_util::future::{Either, select};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::binary::{Client, Place, Running};
use crate::support::bao::{Mount, least_privilege};
use crate::support::process::until;
use crate::support::{self, Bao};

/// What a server is asked for while it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Create,
    Rotate,
    RotateOverlapping,
    EndPrevious,
    Login,
    Revoke,
    Suspend,
    Decommission,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Die,
    DieWithin,
    Lose,
    Undo,
    Pause,
}

pub(super) struct Outcome {
    /// Whether the fault's turn came.
    pub(super) has_happened: bool,
    /// Whether the trail says that the change was made.
    pub(super) is_committed: bool,
}

/// A fault in a place of its own.
pub(super) struct Trial {
    act: Act,
    moves: bool,
    fault: String,
    place: Place,
    mount: Mount,
    url: String,
    key: String,
    operator: String,
}

/// What a client was told, and whether the server is still there.
struct Answer {
    status: Option<u16>,
    body: Value,
}

impl Act {
    /// The action of the trail, and how often it succeeded before.
    const fn action(self) -> (&'static str, u64) {
        match self {
            Self::Create => ("credential.generated", 1),
            Self::Rotate | Self::RotateOverlapping => ("credential.rotated", 0),
            Self::EndPrevious => ("credential.rotated", 1),
            Self::Login => ("token.issued", 0),
            Self::Revoke => ("credential.revoked", 0),
            Self::Suspend => ("agent.suspended", 0),
            Self::Decommission => ("agent.decommissioned", 0),
        }
    }

    fn request(self, client: &Client) -> (Method, String, Value) {
        let agent = format!("/api/v1/agents/{}", client.id);
        let credential = format!("{agent}/credentials/{}", client.credential);
        match self {
            Self::Create => (Method::POST, format!("{agent}/credentials"), Value::Null),
            Self::Rotate => (Method::POST, format!("{credential}/rotate"), Value::Null),
            Self::RotateOverlapping => {
                (Method::POST, format!("{credential}/rotate"), json!({ "overlapSeconds": 3600 }))
            }
            Self::EndPrevious => (Method::DELETE, format!("{credential}/previous?force=true"), Value::Null),
            Self::Revoke => (Method::DELETE, credential, Value::Null),
            Self::Suspend => (Method::PATCH, agent, json!({ "status": "suspended" })),
            Self::Decommission => (Method::DELETE, agent, Value::Null),
            Self::Login => unreachable!("a login is no call of an operator"),
        }
    }
}

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::Die => "die",
            Self::DieWithin => "die-within",
            Self::Lose => "lose",
            Self::Undo => "undo",
            Self::Pause => "pause",
        }
    }
}

impl Trial {
    pub(super) async fn run(act: Act, moves: bool, fault: Fault, number: u32, postgres: Option<String>) -> Outcome {
        let (place, mount) = (Place::new(), support::bao().fresh_mount(2).await);
        let list = format!("path \"{}/metadata/agentidp/*\" {{ capabilities = [\"list\"] }}", mount.name);
        support::bao().write_policy(&mount.name, &(least_privilege(&mount.name) + &list)).await;
        let key = place.path().join("key.pem");
        std::fs::write(&key, SigningKey::generate_pem(KeyAlgorithm::Es256).unwrap().as_bytes()).unwrap();
        let url = postgres.unwrap_or_else(|| format!("sqlite:{}", place.path().join("rows.sqlite").display()));
        let (fault, key) = (format!("{} {number}", fault.name()), key.to_str().unwrap().to_owned());
        let mut trial = Self { act, moves, fault, place, mount, url, key, operator: String::new() };
        trial.operator = trial.place.operator(&trial.without_vault()).await;
        trial.fail_and_live().await
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

    fn told(&self) -> String {
        format!("{:?}, moves {}, {}, {}", self.act, self.moves, self.fault, self.url)
    }

    async fn fail_and_live(&self) -> Outcome {
        let first = self.place.serve(&if self.moves { self.without_vault() } else { self.with_vault() }).await;
        let mut client = first.agent_with_credential(&self.operator).await;
        let other = first.agent_with_credential(&self.operator).await;
        let mut previous = None;
        if self.act == Act::EndPrevious {
            let (_, path, body) = Act::RotateOverlapping.request(&client);
            let rotated = first.post(&self.operator, &path, &body).await;
            let now = Client::shown(client.id.clone(), &rotated);
            previous = Some(std::mem::replace(&mut client, now));
        }
        first.stop().await;

        let (answer, has_happened) = self.fail(&client).await;
        self.let_time_go_by().await;
        let mended = self.reconcile().await;
        let again = self.reconcile().await;
        let told = self.told();
        assert!(again.contains("purges: 0 due"), "{told}: nothing is left to be done: {mended} {again}");

        let server = self.place.serve(&self.with_vault()).await;
        let is_committed = self.is_committed(&server, &client).await;
        if answer.status.is_some_and(|status| status < 300) {
            assert!(is_committed || self.act == Act::Login, "{told}: it was acknowledged");
        }
        self.what_counts(&server, &client, previous.as_ref(), &answer, is_committed).await;
        assert_eq!(server.token(&other).await.0, 200, "{told}: somebody else");
        self.nothing_else_counts(&client, &server).await;
        self.is_in_nobodys_way(&server, client).await;
        server.stop().await;
        Outcome { has_happened, is_committed }
    }

    /// Each secret that somebody holds counts as the trail says.
    async fn what_counts(
        &self,
        server: &Running,
        client: &Client,
        previous: Option<&Client>,
        answer: &Answer,
        is_committed: bool,
    ) {
        let told = self.told();
        let expected = match self.act {
            Act::Create | Act::RotateOverlapping | Act::EndPrevious | Act::Login => 200,
            Act::Rotate | Act::Revoke => {
                if is_committed {
                    401
                } else {
                    200
                }
            }
            Act::Suspend | Act::Decommission => {
                if is_committed {
                    403
                } else {
                    200
                }
            }
        };
        // A decommissioned agent has no credential that could be right.
        let status = server.token(client).await.0;
        let gone = self.act == Act::Decommission && is_committed && status == 401;
        assert!(status == expected || gone, "{told}: the secret from before: {status}, committed {is_committed}");
        if let Some(previous) = previous {
            assert_eq!(server.token(previous).await.0 == 200, !is_committed, "{told}: the previous secret");
        }
        if answer.body["clientSecret"].is_string() {
            let shown = Client::shown(client.id.clone(), &answer.body);
            assert_eq!(server.token(&shown).await.0, 200, "{told}: the secret that was shown");
        }
    }

    /// Whatever the fault left, the next rotation works.
    async fn is_in_nobodys_way(&self, server: &Running, client: Client) {
        if matches!(self.act, Act::Create | Act::Rotate | Act::RotateOverlapping | Act::EndPrevious | Act::Login) {
            let (_, path, _) = Act::Rotate.request(&client);
            let rotated = server.post(&self.operator, &path, &Value::Null).await;
            let secret = rotated["clientSecret"].as_str().unwrap().to_owned();
            assert_eq!(server.token(&Client { secret, ..client }).await.0, 200, "{}", self.told());
        }
    }

    async fn is_committed(&self, server: &Running, client: &Client) -> bool {
        if self.act == Act::Login {
            let moved = "SELECT vault_path, vault_version FROM credentials \
                         WHERE vault_path IS NOT NULL AND CAST(client_id AS text) = $1";
            return !self.versions(moved, &client.id).await.is_empty();
        }
        let (action, before) = self.act.action();
        let path = format!("/api/v1/audit?agentId={}&action={action}&outcome=success", client.id);
        let total = get(server, &self.operator, &path).await["total"].as_u64().unwrap();
        assert!(total == before || total == before + 1, "{}: {total} on the trail", self.told());
        total > before
    }

    /// The request at a server that fails: what is answered, and whether the fault's turn came.
    async fn fail(&self, client: &Client) -> (Answer, bool) {
        let failing = [("AGENTIDP_FAIL_POINT", self.fault.as_str()), ("UPGRADE_ON_VERIFY", "true")];
        let mut failing = self.place.serve(&[self.with_vault(), failing.to_vec()].concat()).await;
        let answer = match select(pin!(self.ask(&failing, client)), pin!(self.resumed())).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), asked)) => asked.await,
        };
        if self.act == Act::Login {
            // The upgrade comes in the background, and may be what fails.
            let ends = ["dying at a fail point", "today's form", "was not upgraded"];
            let has_ended = until("the upgrade ends", || async {
                let log = self.place.log();
                ends.iter().any(|end| log.contains(end))
            });
            select(
                pin!(has_ended),
                pin!(async {
                    loop {
                        self.resumed().await
                    }
                }),
            )
            .await;
        }
        let log = self.place.log();
        if log.contains("dying at a fail point") {
            assert_eq!(failing.ended().await, None, "{}: it was not an exit", self.told());
        } else {
            assert!(answer.status.is_some(), "{}: no answer", self.told());
            failing.stop().await;
        }
        (answer, log.contains("at a fail point"))
    }

    /// Should the process stand still, leases end meanwhile, another one does what is due, and then it goes on.
    async fn resumed(&self) {
        let paused = self.place.path().join("paused-at-a-fail-point");
        if !self.fault.starts_with("pause") {
            return std::future::pending().await;
        }
        until("it stands still", || async { paused.exists() }).await;
        self.let_time_go_by().await;
        self.reconcile().await;
        std::fs::remove_file(&paused).unwrap();
    }

    async fn ask(&self, failing: &Running, client: &Client) -> Answer {
        let http = reqwest::Client::new();
        let sent = if self.act == Act::Login {
            http.post(format!("{}/api/v1/token", failing.origin)).form(&client.form()).send().await
        } else {
            let (method, path, body) = self.act.request(client);
            let request = http.request(method, format!("{}{path}", failing.origin)).bearer_auth(&self.operator);
            let request = if body.is_null() { request } else { request.json(&body) };
            request.send().await
        };
        match sent {
            Ok(response) => {
                let status = Some(response.status().as_u16());
                Answer { status, body: response.json().await.unwrap_or_default() }
            }
            Err(_) => Answer { status: None, body: Value::Null },
        }
    }

    /// Leases and claims end with time, of which there is none in a test.
    async fn let_time_go_by(&self) {
        self.sql("UPDATE open_writes SET lease_until = '2000-01-01T00:00:00.000Z'").await;
        self.sql("UPDATE purge_debts SET due_at = '2000-01-01T00:00:00.000Z'").await;
        self.sql("UPDATE purge_debts SET claimed_until = due_at WHERE claimed_until IS NOT NULL").await;
    }

    /// Places of live credentials that hold what a move left whose commit never came.
    async fn kept_in_mind(&self) -> BTreeSet<String> {
        let sql = "SELECT w.vault_path, CAST(0 AS bigint) FROM open_writes w \
                   JOIN credentials c ON c.credential_id = w.credential_id \
                   WHERE w.kind = 'move' AND c.status = $1";
        self.versions(sql, "active").await.into_iter().map(|(path, _)| path).collect()
    }

    /// The active credentials in Vault, previous secrets among them: path and pinned version.
    async fn vaulted(&self) -> BTreeSet<(String, i64)> {
        let sql = "SELECT vault_path, vault_version FROM credentials WHERE vault_path IS NOT NULL AND status = $1 \
                   UNION SELECT previous_path, previous_version FROM credentials \
                   WHERE previous_path IS NOT NULL AND previous_of = revision AND status = $1";
        self.versions(sql, "active").await.into_iter().collect()
    }

    async fn versions(&self, sql: &'static str, bound: &str) -> Vec<(String, i64)> {
        if self.url.starts_with("sqlite:") {
            let mut database = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_as(sql).bind(bound).fetch_all(&mut database).await.unwrap()
        } else {
            let mut database = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_as(sql).bind(bound).fetch_all(&mut database).await.unwrap()
        }
    }

    async fn sql(&self, sql: &'static str) {
        if self.url.starts_with("sqlite:") {
            sqlx::raw_sql(sql).execute(&mut SqliteConnection::connect(&self.url).await.unwrap()).await.unwrap();
        } else {
            sqlx::raw_sql(sql).execute(&mut PgConnection::connect(&self.url).await.unwrap()).await.unwrap();
        }
    }

    async fn reconcile(&self) -> String {
        let output = self.place.run(&["reconcile"], &self.with_vault()).await;
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Each path in Vault is a row's, each row has its version, and no other version is good for a token. An upgrade that was
    /// not committed leaves the secret that the client has: the row's digest still accepts it.
    async fn nothing_else_counts(&self, client: &Client, server: &Running) {
        let (bao, rows, told) = (support::bao(), self.vaulted().await, self.told());
        let kept = self.kept_in_mind().await;
        let mut missing: BTreeSet<String> = rows.iter().map(|(path, _)| path.clone()).collect();
        let agents = format!("{}/metadata/agentidp/agents", self.mount.name);
        for agent in names(bao, &agents).await {
            let agent = agent.trim_end_matches('/');
            for credential in names(bao, &format!("{agents}/{agent}/credentials")).await {
                let path = format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", self.mount.name);
                assert!(missing.remove(&path) || kept.contains(&path), "{told}: a path without a row");
                for version in 1..=4_i64 {
                    let Some(held) = bao.read_root(&format!("{path}?version={version}")).await else { continue };
                    let (id, secret) = (agent.to_owned(), held.client_secret().to_owned());
                    let is_clients = agent == client.id;
                    let upgraded = self.act == Act::Login && secret == client.secret;
                    let suspended = self.act == Act::Suspend && is_clients;
                    let held = Client { id, credential: credential.clone(), secret };
                    let counts = upgraded || rows.contains(&(path.clone(), version));
                    let status = server.token(&held).await.0;
                    assert!(
                        status == if counts { 200 } else { 401 } || suspended,
                        "{told}: version {version}: {status}"
                    );
                }
            }
        }
        assert!(missing.is_empty(), "{told}: rows without a path");
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
