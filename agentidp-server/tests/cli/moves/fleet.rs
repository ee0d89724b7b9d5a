//! A fleet of clients goes to Vault and back, while it logs in.

use std::collections::BTreeSet;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use agentidp_secrets::ClientSecret;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{count, drained, held, in_vault, mount, text, told};
use crate::binary::{Client, Running};
use crate::dice::Dice;
use crate::replicas::Shared;
use crate::support;
use crate::support::process::until;

/// Clients unless `FLEET_CLIENTS` says it; a tenth of them never logs in, a hundred at the most.
const CLIENTS: usize = 200;

/// Logins at a time.
const AT_ONCE: u64 = 4;

const BCRYPT: [(&str, &str); 2] = [("SECRET_BACKEND", "bcrypt"), ("UPGRADE_ON_VERIFY", "true")];
const VAULT: [(&str, &str); 2] = [("SECRET_BACKEND", "vault-kv2"), ("UPGRADE_ON_VERIFY", "true")];

/// Clients that log in at random, at the server that is there.
struct Load {
    clients: Arc<Vec<Client>>,
    logging_in: usize,
    origin: RwLock<String>,
    logins: AtomicU64,
    over: AtomicBool,
}

impl Load {
    /// Gives what went wrong.
    async fn run(self: Arc<Self>, mut dice: Dice) -> Vec<String> {
        let (http, mut failures) = (reqwest::Client::new(), Vec::new());
        while !self.over.load(Ordering::SeqCst) {
            let client = &self.clients[dice.below(self.logging_in)];
            // Held until the answer: a server stops when nobody waits for it any more.
            let origin = self.origin.read().await;
            match http.post(format!("{origin}/api/v1/token")).form(&client.form()).send().await {
                Ok(reply) if reply.status() == 200 => {}
                other => failures.push(format!("{other:?}")),
            }
            self.logins.fetch_add(1, Ordering::SeqCst);
        }
        failures
    }

    /// Another server takes the place of this one.
    async fn turn_to(&self, server: Running, old: Running) -> Running {
        *self.origin.write().await = server.origin.clone();
        old.stop().await;
        server
    }
}

/// Clients of a release with cheap digests.
async fn insert(url: &str, count: usize) -> Vec<Client> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..count {
        let (id, credential, secret) = (Uuid::new_v4(), Uuid::new_v4(), ClientSecret::generate().unwrap());
        #[expect(clippy::disallowed_methods, reason = "of a generated secret, at a cost that the builder refuses")]
        let digest = bcrypt::hash(secret.expose_secret(), 4).unwrap();
        sqlx::query(
            "INSERT INTO agents (agent_id, email, agent_type, version, capabilities, owner, deployment_env) \
             VALUES ($1, $2, 'custom', '1.0.0', '{demo:read}', 'tests', 'development')",
        )
        .bind(id)
        .bind(format!("{id}@agents.example"))
        .execute(&mut *transaction)
        .await
        .unwrap();
        sqlx::query("INSERT INTO credentials (credential_id, client_id, secret_hash) VALUES ($1, $2, $3)")
            .bind(credential)
            .bind(id)
            .bind(digest)
            .execute(&mut *transaction)
            .await
            .unwrap();
        let secret = secret.expose_secret().to_owned();
        clients.push(Client { id: id.to_string(), credential: credential.to_string(), secret });
    }
    transaction.commit().await.unwrap();
    clients
}

async fn command(shared: &Shared, arguments: &[&str]) -> Output {
    shared.place.run(arguments, &shared.settings(&[])).await
}

/// What `credentials --json` says of each.
async fn report(shared: &Shared) -> Vec<Value> {
    let lines = told(&command(shared, &["credentials", "--json"]).await, 0);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The report's numbers are those of the tables.
async fn agrees(url: &str, report: &[Value]) {
    let backend = |name: &str| report.iter().filter(|line| line["backend"] == name).count() as i64;
    let digests = "credentials WHERE status = 'active' AND secret_hash LIKE '%$2b$%'";
    assert_eq!(backend("bcrypt"), count(url, digests).await);
    assert_eq!(backend("vault-kv2"), in_vault(url).await);
    assert_eq!(report.len() as i64, count(url, "credentials WHERE status = 'active'").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_goes_to_vault_and_back_without_a_failed_login() {
    let number = |name: &str| std::env::var_os(name).map(|text| text.to_str().unwrap().parse::<usize>().unwrap());
    let clients = number("FLEET_CLIENTS").unwrap_or(CLIENTS);
    let never = (clients / 10).min(100);
    let seed = number("FLEET_SEED").unwrap_or(std::process::id() as usize) as u64;
    println!("seed {seed} (set it with FLEET_SEED)");

    let (url, bao) = (support::postgres().fresh_database().await, support::bao());
    let mount = mount(bao).await;
    let shared = Shared::on(&url, Some(&mount)).await;
    let versions = ("VAULT_MAX_VERSIONS", super::VERSIONS);
    let serve = async |settings: [(&str, &str); 2]| shared.serve(&[&settings[..], &[versions]].concat()).await;
    told(&command(&shared, &["migrate"]).await, 0);
    let clients = Arc::new(insert(&url, clients).await);
    let all = clients.len() as i64;
    let seldom: BTreeSet<&str> = clients[clients.len() - never..].iter().map(|client| client.id.as_str()).collect();

    let before = shared.serve(&[("SECRET_BACKEND", "bcrypt")]).await;
    let load = Arc::new(Load {
        clients: Arc::clone(&clients),
        logging_in: clients.len() - never,
        origin: RwLock::new(before.origin.clone()),
        logins: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let mut logins = JoinSet::new();
    for task in 0..AT_ONCE {
        logins.spawn(Arc::clone(&load).run(Dice(seed + task)));
    }

    // There: by a setting. Who never logs in is named.
    let server = load.turn_to(serve(VAULT).await, before).await;
    until("all that log in to be in Vault", || async { in_vault(&url).await == all - never as i64 }).await;
    let rest = told(&command(&shared, &["move", "--to", "vault-kv2"]).await, 0);
    let named: BTreeSet<&str> =
        rest.lines().filter(|line| line.ends_with(" never")).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(named, seldom, "{rest}");
    assert!(rest.starts_with(&format!("{never} keep only a digest")), "{rest}");
    agrees(&url, &report(&shared).await).await;

    // Back: by a setting, and a command for those that do not come by.
    let server = load.turn_to(serve(BCRYPT).await, server).await;
    let back = told(&command(&shared, &["move", "--to", "bcrypt", "--rate", "1000"]).await, 0);
    assert!(back.contains("0 need their clients, 0 were being changed, 0 failed"), "{back}");
    assert_eq!(in_vault(&url).await, 0);
    drained(&url).await;
    assert_eq!(held(bao, &mount, &clients).await, 0, "nothing is left in Vault");
    load.over.store(true, Ordering::SeqCst);
    let failures: Vec<_> = logins.join_all().await.into_iter().flatten().collect();
    let total = load.logins.load(Ordering::SeqCst);
    assert!(
        failures.is_empty(),
        "{} of {total} failed, the first: {}\n{}",
        failures.len(),
        failures[0],
        shared.place.log()
    );
    println!("{total} logins");

    // A server that stops leaves no use unwritten.
    server.stop().await;
    let report = report(&shared).await;
    agrees(&url, &report).await;
    let used = report.iter().filter(|line| line["lastUsedAt"].is_string()).count() as i64;
    assert_eq!(used, count(&url, "credential_usage WHERE last_used_at IS NOT NULL").await);
    let unused = report.iter().filter(|line| line["lastUsedAt"].is_null());
    assert_eq!(unused.map(|line| line["agentId"].as_str().unwrap()).collect::<BTreeSet<_>>(), seldom);
    let server = serve(BCRYPT).await;
    for client in clients.iter().rev().take(2 * never) {
        assert_eq!(server.token(client).await.0, 200, "seed {seed}");
    }
    let check = command(&shared, &["reconcile", "--dry-run"]).await;
    assert!(text(&check.stdout).contains("\n0 found, 0 for you to mend"), "{}", text(&check.stdout));
}
