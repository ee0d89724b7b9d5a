//! A database and a Vault, the process that is alive at the moment, and the model beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::backends::KeyedDigest;
use agentidp_secrets::layers::WarmLayer;
use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{ErrorKind, MacKeys, Operation, SecretStore, stack};
use agentidp_server::app::{App, VaultPlace};
use agentidp_server::domain::{AgentStatus, Credential, CredentialStatus, Page};
use agentidp_server::lifecycle::Upgrades;
use agentidp_server::repo::{AuditFilter, Repos};
use agentidp_server::workers::purge;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::fate::Fate;
use super::life::{Act, Life, Mode, Outage, Step};
use super::vault::Vault;
use crate::site::{Reply, Site};

pub(super) const AGENTS: usize = 2;

pub(super) struct World {
    /// The database's, without the fate of a process.
    repos: Repos,
    vault: Vault,
    faults: FaultLayer,
    outage: Outage,
    mode: Mode,
    site: Site,
    fate: Fate,
    agents: Vec<Uuid>,
    ended_agents: BTreeSet<Uuid>,
    lives: Vec<Life>,
    /// Every secret that was shown, and whose it was.
    shown: Vec<(Uuid, String)>,
    _data: TempDir,
}

impl World {
    pub(super) async fn new(mode: Mode) -> Self {
        // In memory, where there is such a folder: what is tested survives the process and not the machine.
        let data = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let url = format!("sqlite:{}", data.path().join("model.sqlite").display());
        let (vault, faults, fate) = (Vault::new(), FaultLayer::new(), Fate::default());
        let mut repos = None;
        let site = Site::build_at(&url, |app| {
            repos = Some(app.repos.clone());
            wire(app, mode, &vault, &faults, &fate);
        });
        let (site, repos) = (site.await, repos.unwrap());
        let mut agents = Vec::new();
        for number in 0..AGENTS {
            agents.push(site.agent(&format!("{number}@agents.example")).await);
        }
        Self {
            repos,
            vault,
            faults,
            outage: Outage::None,
            mode,
            site,
            fate,
            agents,
            ended_agents: BTreeSet::new(),
            lives: Vec::new(),
            shown: Vec::new(),
            _data: data,
        }
    }

    pub(super) async fn take(&mut self, step: Step) {
        match step {
            Step::Act(act) => self.act(act).await,
            Step::Advance(minutes) => self.advance(Duration::from_secs(60 * minutes)),
            Step::DieLater(death) => self.fate.set(Some(death)),
            Step::Outage(outage) => self.set_outage(outage),
            Step::Restart(mode) => self.restart(mode),
        }
    }

    /// What time and a Vault that is well bring about: whatever was left half done is finished or undone.
    pub(super) async fn settle(&mut self) {
        self.set_outage(Outage::None);
        self.restart(Mode { vault: true, ..self.mode });
        // The life of an intent is ten minutes, the longest pause of a purge five.
        self.advance(Duration::from_secs(20 * 60));
        for _ in 0..2 {
            purge::round(&self.site.app).await;
        }
        assert_eq!(self.site.app.repos.purges.pending().await.unwrap(), 0);
    }

    /// What must hold of a world that has settled.
    pub(super) async fn check(&self) {
        let (rows, told) = (self.rows().await, self.told().await);
        assert_eq!(rows.len(), self.lives.len(), "credentials without a row, or rows that nobody asked for");
        for life in &self.lives {
            life.check(&rows[&life.id], &told[&life.id]);
        }
        let of_rows =
            |row: &Credential| row.secret.vault_path.clone().filter(|_| row.status == CredentialStatus::Active);
        let expected: BTreeSet<String> = rows.values().filter_map(of_rows).collect();
        assert_eq!(self.vault.paths().into_iter().collect::<BTreeSet<_>>(), expected, "Vault and rows");

        let now = self.site.app.now();
        for agent in &self.agents {
            let current = self.lives.iter().filter(|life| life.agent == *agent && life.counts_at(now));
            let unseen = current.clone().filter(|life| life.current.is_none()).count();
            let known: BTreeSet<&str> = current.filter_map(|life| life.current.as_deref()).collect();
            for (_, secret) in &self.shown {
                assert_eq!(self.site.accepts(*agent, secret).await, known.contains(secret.as_str()), "a secret shown");
            }
            // Of those that were never shown no more count than answers were lost.
            let is_shown = |secret: &str| self.shown.iter().any(|(_, shown)| shown == secret);
            let mut others = 0;
            for secret in self.vault.written().iter().filter(|secret| !is_shown(secret.expose_secret())) {
                others += usize::from(self.site.accepts(*agent, secret.expose_secret()).await);
            }
            assert!(others <= unseen, "{others} secrets count that nobody was shown, {unseen} answers were lost");
        }
    }

    async fn act(&mut self, act: Act) {
        let (agent, path) = match act {
            Act::Purge => return self.purge().await,
            Act::Verify(number) => return self.verify(number).await,
            Act::Create(number, _) => (self.agents[number], format!("/agents/{}/credentials", self.agents[number])),
            Act::Decommission(number) => (self.agents[number], format!("/agents/{}", self.agents[number])),
            Act::Revoke(number) | Act::Rotate(number, _) => {
                let Some(life) = self.life(number) else { return };
                let end = if matches!(act, Act::Rotate(..)) { "/rotate" } else { "" };
                (life.agent, format!("/agents/{}/credentials/{}{end}", life.agent, life.id))
            }
        };
        let reply = match act {
            Act::Create(_, expires) | Act::Rotate(_, expires) => {
                let body = expires.map_or(Value::Null, |minutes| self.expiry(minutes));
                self.call("POST", &path, body).await
            }
            _ => self.call("DELETE", &path, Value::Null).await,
        };
        match reply {
            Some(reply) => self.learn(act, agent, &reply),
            // Nobody was told what has become of it; rows and trail have to agree on that.
            None => {
                self.restart(self.mode);
                self.find_out(act, agent).await;
            }
        }
    }

    /// The answer; none when the process has died.
    async fn call(&mut self, method: &str, path: &str, body: Value) -> Option<Reply> {
        self.advance(Duration::from_millis(1));
        let reply = tokio::select! {
            reply = self.site.call(method, path, body) => Some(reply),
            () = self.fate.death() => None,
        };
        reply
    }

    fn learn(&mut self, act: Act, agent: Uuid, reply: &Reply) {
        let expires_at = || serde_json::from_value(reply.json()["expiresAt"].clone()).unwrap();
        let vault_fails = self.mode.vault && self.outage != Outage::None;
        match (act, reply.status) {
            (Act::Create(..), 201) => {
                self.shown.push((agent, reply.secret()));
                let (id, current) = (reply.id("credentialId"), Some(reply.secret()));
                self.lives.push(Life { agent, id, current, rotations: 0, expires_at: expires_at(), ended: false });
            }
            (Act::Create(..), 403) => assert!(self.ended_agents.contains(&agent)),
            (Act::Rotate(number, _), 200) => {
                self.shown.push((agent, reply.secret()));
                let (secret, expires_at) = (reply.secret(), expires_at());
                self.life_mut(number).rotated(Some(secret), expires_at);
            }
            (Act::Revoke(number), 204) => self.life_mut(number).ended = true,
            (Act::Rotate(number, _) | Act::Revoke(number), 409) => assert!(self.life_mut(number).ended),
            (Act::Decommission(_), 204) => self.end(agent),
            (Act::Decommission(_), 409) => assert!(self.ended_agents.contains(&agent)),
            // Without a Vault, what lives in it cannot be rotated.
            (Act::Create(..) | Act::Rotate(..), 500) => {
                assert!(vault_fails || !self.mode.vault, "{act:?}: {reply:?}");
                assert_eq!(reply.failure().1, "VAULT_WRITE_ERROR");
            }
            _ => panic!("{act:?}: {reply:?}"),
        }
    }

    async fn find_out(&mut self, act: Act, agent: Uuid) {
        let (mut rows, told) = (self.rows().await, self.told().await);
        for life in &self.lives {
            let row = rows.remove(&life.id);
            assert!(row.is_some(), "{life:?} has no row");
        }
        match act {
            Act::Create(..) => {
                assert!(rows.len() <= 1, "{rows:?}");
                for (id, row) in rows {
                    let expires_at = row.expires_at;
                    self.lives.push(Life { agent, id, current: None, rotations: 0, expires_at, ended: false });
                }
            }
            Act::Rotate(number, _) => {
                let expires_at = self.rows().await[&self.life_mut(number).id].expires_at;
                let life = self.life_mut(number);
                if told[&life.id].get("credential.rotated") == Some(&(life.rotations + 1)) {
                    life.rotated(None, expires_at);
                }
            }
            Act::Revoke(number) => {
                let life = self.life_mut(number);
                life.ended |= told[&life.id].contains_key("credential.revoked");
            }
            Act::Decommission(_) => {
                let found = self.repos.agents.find(agent).await.unwrap().unwrap();
                if found.status == AgentStatus::Decommissioned {
                    self.end(agent);
                }
            }
            Act::Purge | Act::Verify(_) => assert!(rows.is_empty(), "{rows:?}"),
        }
    }

    /// Asks for a token with a secret that was shown once, or with one that never was.
    async fn verify(&mut self, number: usize) {
        let never = (self.agents[0], format!("sk_live_{}", "0".repeat(64)));
        let (agent, secret) = self.shown.get(number % (self.shown.len() + 1)).cloned().unwrap_or(never);
        self.advance(Duration::from_millis(1));
        let reply = tokio::select! {
            reply = self.site.grant(agent, &secret) => Some(reply),
            () = self.fate.death() => None,
        };
        self.fate.rest().await;
        let Some(reply) = reply else {
            self.restart(self.mode);
            return self.find_out(Act::Verify(number), agent).await;
        };
        let now = self.site.app.now();
        let life = self.lives.iter().find(|life| life.agent == agent && life.current.as_deref() == Some(&secret));
        let is_right = life.is_some_and(|life| life.counts_at(now));
        let is_well = self.mode.vault && self.outage == Outage::None;
        match reply.status {
            200 => assert!(is_right, "{secret} is accepted"),
            401 => assert!(!is_right, "{secret} is refused"),
            500 => {
                assert!(!is_well, "{reply:?}");
                assert_eq!(reply.failure().1, "VAULT_READ_ERROR");
                let in_vault =
                    self.rows().await.values().any(|row| row.client_id == agent && row.secret.vault_path.is_some());
                assert!(in_vault, "digests do without Vault");
            }
            _ => panic!("{reply:?}"),
        }
    }

    async fn purge(&mut self) {
        tokio::select! {
            () = purge::round(&self.site.app) => return,
            () = self.fate.death() => {}
        }
        self.restart(self.mode);
        self.find_out(Act::Purge, self.agents[0]).await;
    }

    fn advance(&mut self, time: Duration) {
        self.site.clock.advance(time);
    }

    fn set_outage(&mut self, outage: Outage) {
        self.outage = outage;
        self.faults.heal();
        match outage {
            Outage::None => {}
            Outage::Down => self.faults.on_everything(Fault::Fail(ErrorKind::Unavailable)),
            Outage::AnswersLost => {
                for operation in [Operation::Store, Operation::Rotate, Operation::Revoke] {
                    self.faults.always(operation, Fault::LoseAnswer);
                }
            }
        }
    }

    /// Another process takes over; the former one is as good as killed.
    fn restart(&mut self, mode: Mode) {
        (self.mode, self.fate) = (mode, Fate::default());
        let wire = |app: &mut App| wire(app, mode, &self.vault, &self.faults, &self.fate);
        self.site = self.site.again(self.repos.clone(), wire);
    }

    fn end(&mut self, agent: Uuid) {
        self.ended_agents.insert(agent);
        self.lives.iter_mut().filter(|life| life.agent == agent).for_each(|life| life.ended = true);
    }

    fn expiry(&self, minutes: u64) -> Value {
        json!({ "expiresAt": self.site.app.now().plus(Duration::from_secs(60 * minutes)) })
    }

    fn life(&self, number: usize) -> Option<&Life> {
        self.lives.get(number % self.lives.len().max(1))
    }

    fn life_mut(&mut self, number: usize) -> &mut Life {
        let there_are = self.lives.len();
        &mut self.lives[number % there_are]
    }

    async fn rows(&self) -> BTreeMap<Uuid, Credential> {
        let mut rows = BTreeMap::new();
        for agent in &self.agents {
            let found = self.repos.credentials.list(*agent, None, Page { page: 1, limit: 1000 }).await.unwrap().data;
            rows.extend(found.into_iter().map(|row| (row.credential_id, row)));
        }
        rows
    }

    /// How often the trail tells of each action on each credential.
    async fn told(&self) -> BTreeMap<Uuid, BTreeMap<String, usize>> {
        let mut told: BTreeMap<Uuid, BTreeMap<String, usize>> = BTreeMap::new();
        for agent in &self.agents {
            let filter = AuditFilter { agent_id: Some(*agent), ..AuditFilter::default() };
            let events = self.repos.audit.list(&filter, Page { page: 1, limit: 1000 }).await.unwrap();
            assert!(events.total <= 1000);
            for event in events.data {
                let Some(id) = event.metadata.to_value()["credentialId"].as_str().map(str::to_owned) else { continue };
                *told.entry(id.parse().unwrap()).or_default().entry(event.action.as_str().to_owned()).or_default() += 1;
            }
        }
        told
    }
}

/// Gives an app the settings, the Vault and the fate of a process.
fn wire(app: &mut App, mode: Mode, vault: &Vault, faults: &FaultLayer, fate: &Fate) {
    fate.bind(app);
    let warm = WarmLayer::builder().lifetime(Duration::from_secs(60)).clock(Arc::clone(&app.clock)).build().unwrap();
    let keys = MacKeys::parse("k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92").unwrap();
    // The cheapest digest: what a digest is made of makes no difference here.
    let digest = stack(KeyedDigest::new(keys.clone()), &[fate, &warm]);
    let store = if mode.vault {
        app.vault = Some(VaultPlace { mount: "secret".to_owned(), prefix: "agentidp".to_owned() });
        SecretStore::builder(stack(vault.clone(), &[faults, fate, &warm])).accepts(digest)
    } else {
        SecretStore::builder(digest)
    };
    let store = if mode.selecting { store.selector_keys(keys) } else { store };
    app.store = store.clock(Arc::clone(&app.clock)).build().unwrap();
    app.upgrades = Upgrades::new(mode.upgrading);
}
