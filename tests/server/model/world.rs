//! A database and a Vault, the process that is alive at the moment, and the model beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::backends::KeyedDigest;
use agentidp_secrets::layers::WarmLayer;
use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{ErrorKind, MacKeys, Operation, SecretStore, stack};
use agentidp_server::app::{App, VaultPlace};
use agentidp_server::domain::{Credential, CredentialStatus, Page};
use agentidp_server::repo::{AuditFilter, Repos};
use agentidp_server::workers::purge;
use tempfile::TempDir;
use uuid::Uuid;

use super::asking::Keyed;
use super::fate::Fate;
use super::life::{Act, Life, Mode, Outage, Step};
use super::vault::Vault;
use crate::site::Site;

pub(super) const AGENTS: usize = 2;

/// How long a write of a dead process keeps others out.
const LEASE: Duration = Duration::from_secs(31);

/// After which nothing is half done any more.
const AGES: Duration = Duration::from_secs(20 * 60);

pub(super) struct World {
    /// The database's, without the fate of a process.
    pub(super) repos: Repos,
    vault: Vault,
    faults: FaultLayer,
    pub(super) outage: Outage,
    pub(super) mode: Mode,
    pub(super) site: Site,
    pub(super) fate: Fate,
    pub(super) agents: Vec<Uuid>,
    pub(super) suspended_agents: BTreeSet<Uuid>,
    pub(super) ended_agents: BTreeSet<Uuid>,
    pub(super) lives: Vec<Life>,
    /// Every secret that was shown, and whose it was.
    pub(super) shown: Vec<(Uuid, String)>,
    pub(super) keyed: Vec<Keyed>,
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
            suspended_agents: BTreeSet::new(),
            ended_agents: BTreeSet::new(),
            lives: Vec::new(),
            shown: Vec::new(),
            keyed: Vec::new(),
            _data: data,
        }
    }

    pub(super) async fn take(&mut self, step: Step) {
        match step {
            Step::Act(act) => self.act(&[act]).await,
            Step::Both(one, other) => self.act(&[one, other]).await,
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
        // The lease of a new credential is ten minutes, the longest pause of a purge five, the life of a claim one.
        self.advance(AGES);
        for number in 0..self.agents.len() {
            self.act(&[Act::Reactivate(number)]).await;
        }
        for number in 0..self.keyed.len() {
            self.keyed[number].lost = false;
            self.act(&[Act::Again(self.keyed.len() - 1 - number)]).await;
        }
        self.advance(AGES);
        for _ in 0..2 {
            purge::round(&self.site.app).await;
        }
        assert_eq!(self.site.app.repos.changes.pending().await.unwrap(), 0);
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
        let held: BTreeSet<String> = self.vault.paths().into_iter().collect();
        assert!(held.is_superset(&expected), "a row points to nothing");
        // What a move leaves whose commit never came stays until the next move, or the end.
        for path in held.difference(&expected) {
            let is_live = |row: &&Credential| path.ends_with(&row.credential_id.to_string());
            let row = rows.values().find(is_live).expect("a path without a row");
            assert_eq!(row.status, CredentialStatus::Active, "a path of a credential that has ended");
        }

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

    /// Whether the agent has a credential that counts with this secret.
    pub(super) fn is_right(&self, agent: Uuid, secret: &str) -> bool {
        let now = self.site.app.now();
        let is_of = |life: &&Life| life.agent == agent && life.current.as_deref() == Some(secret);
        self.lives.iter().find(is_of).is_some_and(|life| life.counts_at(now))
    }

    /// What happens at the same time has no order.
    pub(super) fn tick(&self) {
        self.advance(Duration::from_millis(1));
    }

    fn advance(&self, time: Duration) {
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
    pub(super) fn restart(&mut self, mode: Mode) {
        // What the dead one was writing waits for its lease to end.
        self.advance(LEASE);
        (self.mode, self.fate) = (mode, Fate::default());
        let wire = |app: &mut App| wire(app, mode, &self.vault, &self.faults, &self.fate);
        self.site = self.site.again(self.repos.clone(), wire);
    }

    pub(super) fn end(&mut self, agent: Uuid) {
        self.ended_agents.insert(agent);
        self.lives.iter_mut().filter(|life| life.agent == agent).for_each(|life| life.ended = true);
    }

    pub(super) async fn rows(&self) -> BTreeMap<Uuid, Credential> {
        let mut rows = BTreeMap::new();
        for agent in &self.agents {
            let found = self.repos.credentials.list(*agent, None, Page::new(1, 1000)).await.unwrap().data;
            rows.extend(found.into_iter().map(|row| (row.credential_id, row)));
        }
        rows
    }

    /// How often the trail tells of each action on each credential.
    pub(super) async fn told(&self) -> BTreeMap<Uuid, BTreeMap<String, usize>> {
        let mut told: BTreeMap<Uuid, BTreeMap<String, usize>> = BTreeMap::new();
        for agent in &self.agents {
            let filter = AuditFilter { agent_id: Some(*agent), ..AuditFilter::default() };
            let events = self.repos.audit.list(&filter, Page::new(1, 1000)).await.unwrap();
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
    app.upgrades = mode.upgrading;
}
