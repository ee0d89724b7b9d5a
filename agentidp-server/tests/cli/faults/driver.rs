//! A modest load, and the account of it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use super::Dice;
use super::account::{Account, Change, Entry};
use super::fault::Fault;
use super::field::{Field, Origins};
use super::tally::Counts;
use crate::support::process::until;

/// Clients at work, each with an agent of its own; and agents whose secrets are digests, which all of them ask for.
const CLIENTS: usize = 4;
const DIGESTS: usize = 2;

/// Credentials of an agent that are alive.
const MOST: usize = 4;

/// The agent of the faults that aim at a credential: its number comes after those of the clients.
const AIMED_AT: usize = DIGESTS + CLIENTS;

/// Clones are the same.
#[derive(Clone)]
pub(super) struct Driver(pub(super) Arc<Inner>);

pub(super) struct Inner {
    http: Client,
    origins: Origins,
    operator: String,
    pub(super) accounts: Vec<RwLock<Account>>,
    fault: Mutex<Option<Fault>>,
    counts: Counts,
    /// Held shared for each operation, and alone by who checks.
    pub(super) gate: RwLock<()>,
    /// The agent whose credentials tell whether the servers are of use.
    probe: String,
    tasks: Mutex<JoinSet<()>>,
}

/// What a request came to: status and body, none when nobody answered.
pub(super) type Answer = Option<(u16, Value)>;

impl Driver {
    /// Makes the digests, then starts the servers and the load.
    pub(super) async fn start(field: &mut Field, dice: &Dice) -> Self {
        let mut accounts = Vec::new();
        let first = field.digest_server().await;
        for _ in 0..DIGESTS {
            let client = first.agent_with_credential(&field.operator).await;
            let entry = Entry::new(client.credential, Some(client.secret), 0);
            accounts.push(Account { agent: client.id, credentials: vec![entry], creations: 0, digests: true });
        }
        for _ in 0..=CLIENTS {
            let agent = first.agent(&field.operator).await;
            accounts.push(Account { agent, credentials: Vec::new(), creations: 0, digests: false });
        }
        let probe = first.agent(&field.operator).await;
        first.stop().await;
        field.start_servers().await;

        let http = Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let driver = Self(Arc::new(Inner {
            http,
            origins: Arc::clone(&field.origins),
            operator: field.operator.clone(),
            accounts: accounts.into_iter().map(RwLock::new).collect(),
            fault: Mutex::default(),
            counts: Counts::default(),
            gate: RwLock::default(),
            probe,
            tasks: Mutex::default(),
        }));
        for number in 0..CLIENTS {
            let (driver, mut dice) = (driver.clone(), Dice(dice.clone().0 ^ (number as u64) << 32));
            let work = driver.clone();
            driver.0.tasks.lock().unwrap().spawn(async move {
                loop {
                    work.operate(DIGESTS + number, &mut dice).await;
                }
            });
        }
        driver
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    pub(super) fn aimed_at(&self) -> &RwLock<Account> {
        &self.0.accounts[AIMED_AT]
    }

    pub(super) fn operations(&self) -> u64 {
        self.0.counts.operations.load(Ordering::SeqCst)
    }

    pub(super) fn set_fault(&self, fault: Option<Fault>) {
        *self.0.fault.lock().unwrap() = fault;
    }

    /// A server has lost what it remembered.
    pub(super) async fn restarted(&self, server: usize) {
        for account in &self.0.accounts {
            account.write().await.credentials.iter_mut().for_each(|entry| entry.warm[server] = false);
        }
    }

    /// Waits until each server creates a credential and gives a token for it, so often in a row.
    pub(super) async fn of_use(&self, times: usize) {
        for server in [0, 1].repeat(times) {
            until("a server to be of use", async || {
                let path = format!("/api/v1/agents/{}/credentials", self.0.probe);
                let Some((201, made)) = self.api(server, Method::POST, &path).await else { return false };
                let granted = self.token(server, &self.0.probe, made["clientSecret"].as_str().unwrap()).await;
                granted.is_some_and(|(status, _)| status == 200)
            })
            .await;
        }
    }

    async fn operate(&self, number: usize, dice: &mut Dice) {
        let _open = self.0.gate.read().await;
        let server = dice.below(2);
        match dice.below(20) {
            0 | 1 => self.create(number, server).await,
            2 | 3 => self.rotate(number, server, dice).await,
            4 => self.revoke(number, server, dice).await,
            5..8 => self.ask_wrong(number, server, dice).await,
            8 => self.ask_right(dice.below(DIGESTS), server, dice).await,
            _ => self.ask_right(number, server, dice).await,
        }
        Counts::add(&self.0.counts.operations);
    }

    async fn create(&self, number: usize, server: usize) {
        let mut account = self.0.accounts[number].write().await;
        if account.credentials.iter().filter(|entry| !entry.ended).count() >= MOST {
            return;
        }
        let path = format!("/api/v1/agents/{}/credentials", account.agent);
        match self.api(server, Method::POST, &path).await {
            Some((201, body)) => {
                let mut entry = Entry::new(text(&body, "credentialId"), secret(&body), server);
                self.ask_fresh(&account.agent, &mut entry, 1 - server).await;
                account.credentials.push(entry);
            }
            answer if nothing_was_done(&answer) => Counts::add(&self.0.counts.outages),
            _ => {
                account.creations += 1;
                Counts::add(&self.0.counts.outages);
            }
        }
    }

    async fn rotate(&self, number: usize, server: usize, dice: &mut Dice) {
        let mut account = self.0.accounts[number].write().await;
        let agent = account.agent.clone();
        let Some(entry) = alive(&mut account, dice) else { return };
        let path = format!("/api/v1/agents/{agent}/credentials/{}/rotate", entry.id);
        match self.api(server, Method::POST, &path).await {
            Some((200, body)) => {
                entry.rotated(secret(&body), server);
                self.ask_fresh(&agent, entry, 1 - server).await;
            }
            answer if nothing_was_done(&answer) => Counts::add(&self.0.counts.outages),
            _ => self.uncertain(entry, Change::Rotation),
        }
    }

    async fn revoke(&self, number: usize, server: usize, dice: &mut Dice) {
        let mut account = self.0.accounts[number].write().await;
        let agent = account.agent.clone();
        let Some(entry) = alive(&mut account, dice) else { return };
        let path = format!("/api/v1/agents/{agent}/credentials/{}", entry.id);
        match self.api(server, Method::DELETE, &path).await {
            Some((204, _)) => entry.revoked(server),
            _ => self.uncertain(entry, Change::Revocation),
        }
    }

    /// Presents a secret at the server that did not make it, right after it was shown (F8).
    async fn ask_fresh(&self, agent: &str, entry: &mut Entry, server: usize) {
        let counts = &self.0.counts;
        match self.token(server, agent, entry.current.as_ref().unwrap()).await {
            Some((200, _)) => {
                Counts::add(&counts.fresh);
                entry.warm[server] = true;
            }
            Some((401, _)) => counts.note(&counts.wrongly_refused, format!("{} fresh, by {server}", entry.id)),
            _ => Counts::add(&counts.outages),
        }
    }

    fn uncertain(&self, entry: &mut Entry, change: Change) {
        entry.uncertain = Some(change);
        Counts::add(&self.0.counts.outages);
    }

    async fn ask_right(&self, number: usize, server: usize, dice: &mut Dice) {
        let account = self.0.accounts[number].read().await;
        let known = account.credentials.iter().filter(|entry| entry.uncertain.is_none() && entry.current.is_some());
        let known: Vec<&Entry> = known.collect();
        if known.is_empty() {
            return;
        }
        let entry = known[dice.below(known.len())];
        let (id, right, must) =
            (entry.id.clone(), entry.current.clone().unwrap(), account.digests || entry.warm[server]);
        let before = *self.0.fault.lock().unwrap();
        let answer = self.token(server, &account.agent, &right).await;
        let vaults = before.is_some_and(Fault::is_vaults) && before == *self.0.fault.lock().unwrap();
        drop(account);
        let counts = &self.0.counts;
        match answer {
            Some((200, _)) => {
                let mut account = self.0.accounts[number].write().await;
                let proved = account.credentials.iter_mut().find(|entry| entry.id == id);
                proved.expect("none is taken away").warm[server] = true;
            }
            Some((401, _)) => counts.note(&counts.wrongly_refused, format!("{id} refused by {server} in {before:?}")),
            other if vaults && must => {
                let told = other.map(|(status, body)| (status, body["code"].clone()));
                counts.note(&counts.warm_errors, format!("{id} met {before:?} at {server}: {told:?}"));
            }
            _ => Counts::add(&counts.outages),
        }
    }

    async fn ask_wrong(&self, number: usize, server: usize, dice: &mut Dice) {
        let account = self.0.accounts[number].read().await;
        let known = account.credentials.iter().filter(|entry| entry.is_known_to(server));
        let retired: Vec<&String> = known.flat_map(|entry| entry.retired.iter().rev().take(5)).collect();
        let never = format!("sk_live_{}", "0".repeat(64));
        let wrong = if retired.is_empty() { &never } else { retired[dice.below(retired.len())] };
        match self.token(server, &account.agent, wrong).await {
            Some((200, _)) => {
                let counts = &self.0.counts;
                counts.note(&counts.wrongly_accepted, format!("an old secret of {} by {server}", account.agent));
            }
            Some((401, _)) => {}
            _ => Counts::add(&self.0.counts.outages),
        }
    }

    pub(super) async fn api(&self, server: usize, method: Method, path: &str) -> Answer {
        let origin = self.0.origins.lock().unwrap()[server].clone();
        let request = self.0.http.request(method, format!("{origin}{path}")).bearer_auth(&self.0.operator);
        answer(request).await
    }

    pub(super) async fn token(&self, server: usize, agent: &str, secret: &str) -> Answer {
        let origin = self.0.origins.lock().unwrap()[server].clone();
        let form = [("grant_type", "client_credentials"), ("client_id", agent), ("client_secret", secret)];
        answer(self.0.http.post(format!("{origin}/api/v1/token")).form(&form)).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let body = response.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

/// Vault did not take the secret: then there is none, and an old one stays.
pub(super) fn nothing_was_done(answer: &Answer) -> bool {
    answer.as_ref().is_some_and(|(_, body)| body["code"] == json!("VAULT_WRITE_ERROR"))
}

fn alive<'a>(account: &'a mut Account, dice: &mut Dice) -> Option<&'a mut Entry> {
    let mut alive: Vec<&mut Entry> =
        account.credentials.iter_mut().filter(|entry| !entry.ended && entry.uncertain.is_none()).collect();
    if alive.is_empty() { None } else { Some(alive.swap_remove(dice.below(alive.len()))) }
}

pub(super) fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap().to_owned()
}

pub(super) fn secret(body: &Value) -> Option<String> {
    Some(text(body, "clientSecret"))
}
