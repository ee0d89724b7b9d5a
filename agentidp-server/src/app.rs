//! What a running server consists of.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use agentidp_secrets::backends::VaultKv2;
use agentidp_secrets::folder::FolderGate;
use agentidp_secrets::layers::FairSemaphore;
use agentidp_secrets::lifecycle::UpgradePolicy;
use agentidp_secrets::{ClientId, Clock, SecretStore};
use hyper::header::HeaderValue;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::dependencies::Dependencies;
use crate::domain::Timestamp;
use crate::horizon::Horizon;
use crate::ledger::Ledger;
use crate::ledger_clock::LedgerClock;
use crate::life::{self, Life};
use crate::metrics::Metrics;
use crate::rate_limit::RateLimiter;
use crate::repo::Repos;
use crate::tokens::Tokens;
use crate::vault_token::VaultToken;

/// Everything that a request is answered with.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "put together in one place, and by tests")]
pub struct App {
    /// Bounds and switches.
    pub settings: Settings,
    /// Where secrets are issued and verified.
    pub store: SecretStore,
    /// Whether a login puts the record that it has proved into today's form.
    pub upgrades: bool,
    /// The sequences over the parts here, put together when the first of them is begun.
    pub life: OnceLock<Life>,
    /// Where secrets live in Vault; none in bcrypt mode.
    pub vault: Option<VaultPlace>,
    /// Vault itself, where a secret is read back for a request that comes again, and the rows are compared with what is
    /// there; none in bcrypt mode.
    pub vault_client: Option<VaultKv2>,
    /// The token that Vault knows the server by; none in bcrypt mode.
    pub vault_token: Option<VaultToken>,
    /// Whether anything may be deleted in Vault.
    pub gate: FolderGate,
    /// What opens and closes that gate; none in bcrypt mode.
    pub ledger: Option<Ledger>,
    /// The database.
    pub repos: Repos,
    /// Access tokens.
    pub tokens: Tokens,
    /// How often a client may call.
    pub limiter: RateLimiter,
    /// What is counted.
    pub metrics: Metrics,
    /// The time by which all servers on this database judge.
    pub clock: Arc<dyn Clock>,
    /// The same clock, where it follows the database's; none where `clock` alone counts.
    pub ledger_clock: Option<Arc<LedgerClock>>,
    /// How far deletion by age may go.
    pub horizon: Horizon,
    /// When the server started, on `clock`.
    pub started: Instant,
    /// What is known of the database and of Vault.
    pub dependencies: Dependencies,
    /// Turns at the connections for lists, by caller: a flood of deep pages of one leaves the others their share.
    pub list_turns: FairSemaphore<String>,
    /// Cancelled as soon as the server is asked to stop: from then on it is not ready.
    pub stopping: CancellationToken,
}

/// Bounds and switches.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "data, built from the configuration and by tests")]
pub struct Settings {
    /// How many agents there may be.
    pub agent_limit: Option<u64>,
    /// How many active credentials an agent may have.
    pub credential_limit: Option<u64>,
    /// How many tokens a client may get in a calendar month (UTC).
    pub monthly_token_limit: Option<u64>,
    /// How long the secret before a rotation may be asked to work.
    pub max_overlap: Duration,
    /// How long the secret before has to be unused for its end before its time.
    pub previous_secret_idle: Duration,
    /// How long the secret before has to be unused for the server to end it before its time; zero is never.
    pub end_idle_overlaps: Duration,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The origin whose pages may call.
    pub cors_origin: Option<HeaderValue>,
    /// Longest request body in bytes.
    pub body_limit: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// Time between two comparisons of the rows with Vault; zero is never.
    pub reconcile_interval: Duration,
    /// How many records logins put into today's form in a second at the most; none is no limit.
    pub upgrade_rate: Option<u32>,
    /// The agents whose records stay as they are.
    pub upgrade_except: Arc<BTreeSet<Uuid>>,
    /// The ids of the keys that keyed digests are verified with.
    pub mac_key_ids: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            agent_limit: None,
            credential_limit: None,
            monthly_token_limit: None,
            max_overlap: Duration::from_secs(7 * 86_400),
            previous_secret_idle: Duration::from_secs(2 * 3600),
            end_idle_overlaps: Duration::ZERO,
            trusted_proxies: Vec::new(),
            cors_origin: None,
            // The largest sensible body, an agent with hundreds of capabilities, has a few KiB.
            body_limit: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            reconcile_interval: Duration::ZERO,
            upgrade_rate: None,
            upgrade_except: Arc::default(),
            mac_key_ids: BTreeSet::new(),
        }
    }
}

/// Where secrets live in Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two settings")]
pub struct VaultPlace {
    /// The KV v2 mount.
    pub mount: String,
    /// Our folder in it.
    pub prefix: String,
}

impl VaultPlace {
    /// What the paths in rows begin with whose secrets are in it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/data/{}/", self.mount, self.prefix)
    }
}

impl App {
    /// What issues, verifies, rotates and ends credentials.
    pub fn life(&self) -> &Life {
        let Self { store, repos, clock, gate, metrics, .. } = self;
        self.life.get_or_init(|| life::life(store, repos, clock, gate, self.upgrade_policy(), metrics))
    }

    fn upgrade_policy(&self) -> UpgradePolicy {
        let except = Arc::clone(&self.settings.upgrade_except);
        let is_excepted =
            move |client: &ClientId| Uuid::try_parse(client.as_str()).is_ok_and(|id| except.contains(&id));
        let policy = UpgradePolicy::from(self.upgrades).except(is_excepted);
        match self.settings.upgrade_rate {
            Some(rate) => policy.rate(rate),
            None => policy,
        }
    }

    /// The time of day, as rows and events have it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from(self.clock.now())
    }
}
