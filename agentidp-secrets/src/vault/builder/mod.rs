//! How a [`VaultKv2`] is set up.

mod folder;

use std::sync::Arc;
use std::time::Duration;

use self::folder::{invalid, parse_folder};
use super::auth::{ClientCert, Session, VaultAuth};
use super::config::VaultKv2Config;
use super::failure::Site;
use super::kv::VaultrsKv;
use super::kv2::VaultKv2;
use super::namespace;
use super::setting::{Names, Setting};
use super::wire::{Dial, Route, Transport, parse_addresses};
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::record::BackendId;

/// Sets up a [`VaultKv2`]. Everything is checked in [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct VaultKv2Builder {
    config: VaultKv2Config,
    clock: Arc<dyn Clock>,
    names: Names,
}

impl VaultKv2 {
    /// Sets up a backend on the server at `address`, or on a cluster whose nodes' addresses are separated by commas.
    /// A text for `auth` is the token.
    ///
    /// Addresses are those of Vault's own clients: `https://vault.example:8200`, `https://gateway.example/vault`, or
    /// `unix:///run/vault-agent.sock`.
    pub fn builder(address: impl Into<String>, auth: impl Into<VaultAuth>) -> VaultKv2Builder {
        VaultKv2Config::new(address, auth).into_builder()
    }
}

impl VaultKv2Config {
    /// A builder that starts from these settings.
    pub fn into_builder(self) -> VaultKv2Builder {
        VaultKv2Builder::new(self)
    }
}

impl VaultKv2Builder {
    fn new(config: VaultKv2Config) -> Self {
        Self { config, clock: Arc::new(SystemClock), names: Names::default() }
    }

    /// The mount of the KV engine, version 2. Default `secret`.
    pub fn mount(mut self, mount: impl Into<String>) -> Self {
        self.config.mount = mount.into();
        self
    }

    /// Our folder on the mount. Default `agentidp`. Empty, with a [`layout`](Self::layout) of your own, it is the whole mount: let nothing
    /// else write there.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.config.prefix = prefix.into();
        self
    }

    /// Where below the prefix a credential's entry lies: segments of `A-Z a-z 0-9 . _ -`, one of which holds `{client}` and a later
    /// one `{credential}`. Default `agents/{client}/credentials/{credential}`.
    ///
    /// For entries that other software has written: with the prefix `apps` and the layout `{client}/{credential}` the secret is at
    /// `secret/apps/CLIENT/CREDENTIAL`, and at `secret/CLIENT/CREDENTIAL` with an empty prefix. Ids are escaped as in a [`VaultPath`](super::VaultPath). Both ids have to be in it: a path without
    /// the credential would be that of the client's next credential too, whose secret the end of this one deletes.
    /// [Import](crate::lifecycle::Lifecycle::import) such secrets.
    ///
    /// A write then keeps what else an entry holds, unless [`keep_other_members`](Self::keep_other_members) says no.
    ///
    /// Never change it for rows that exist: another layout is another Vault, with an [`instance`](Self::instance) and a
    /// [`prefix`](Self::prefix) of its own.
    pub fn layout(mut self, template: impl Into<String>) -> Self {
        self.config.layout = Some(template.into());
        self
    }

    /// The member of an entry that holds the secret. Default `clientSecret`. Where it is another one, a write keeps what else an entry
    /// holds, unless [`keep_other_members`](Self::keep_other_members) says no.
    pub fn member(mut self, name: impl Into<String>) -> Self {
        self.config.member = name.into();
        self
    }

    /// Whether a write keeps the other members of an entry as they are, which costs a read. Default yes with a
    /// [`layout`](Self::layout) or a [`member`](Self::member) of your own, because other software may have written some; else no.
    ///
    /// With `false` a new version holds the secret only: the first rotation of an entry drops every other member of it, and
    /// the last version that has them is evicted ten writes later.
    ///
    /// Compare-and-set on the version that was read lets no change of theirs get lost. The end of a credential deletes its entry as a
    /// whole. Each write of other software is a version too: after as many as are kept the one that a row pins is evicted, so
    /// let it write rarely, or rotate after it.
    pub fn keep_other_members(mut self, keep: bool) -> Self {
        self.config.keep_other_members = Some(keep);
        self
    }

    /// The name of this Vault where a store has several, in the ids of its records: `{vault-kv2:eu}…`. Default none. A second
    /// mount, prefix or namespace is a second Vault too. Never changed once records carry it, and never two names for one folder.
    pub fn instance(mut self, name: impl Into<String>) -> Self {
        self.config.instance = Some(name.into());
        self
    }

    /// How many versions of a secret the mount keeps: its `max_versions`, or 10 where it has none, which is the default. A
    /// [`Lifecycle`](crate::lifecycle::Lifecycle) writes no more of them than there is room for beside those that count.
    pub fn versions_kept(mut self, versions: u64) -> Self {
        self.config.versions_kept = versions;
        self
    }

    /// The namespace. Default none, which an empty text, `/` and `root` are, too.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.config.namespace = Some(namespace.into());
        self
    }

    /// The namespace that the token is from: logins, look-ups and renewals go there. Default that of the secrets. An empty text is
    /// the one at the top. A token is good in its own namespace and in those below.
    pub fn auth_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.config.auth_namespace = Some(namespace.into());
        self
    }

    /// The only CA certificates to trust, in PEM form. Default those of the system.
    pub fn ca_cert_pem(mut self, pem: impl Into<String>) -> Self {
        self.config.ca_cert_pem = Some(pem.into());
        self
    }

    /// What we show to a server that asks for a certificate. Default nothing.
    pub fn client_cert(mut self, client_cert: ClientCert) -> Self {
        self.config.client_cert = Some(client_cert);
        self
    }

    /// The name in the server's certificate. Default the host of the address. It does not go with a proxy.
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.config.tls_server_name = Some(name.into());
        self
    }

    /// The proxy to go through. Default none; proxy variables of the environment are never looked at.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.config.proxy = Some(url.into());
        self
    }

    /// How long a connection may take to come up. Default 500 ms.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// How long a connection is kept that nobody uses. Default 30 s, below the 60 s after which common balancers drop it.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// How long a connection is used at the most. Default 5 minutes: within them a changed name in DNS is taken up.
    pub fn max_connection_age(mut self, age: Duration) -> Self {
        self.config.max_connection_age = age;
        self
    }

    /// How long one read may take as a whole, whichever nodes it asks. Default 1 s. While there are others to ask, a node
    /// gets half of what is left.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.config.read_timeout = timeout;
        self
    }

    /// How long one write may take as a whole, whichever nodes it asks. Default 2 s.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.config.write_timeout = timeout;
        self
    }

    /// Whether plain http may be spoken to a host other than this one. Default no: the token and every secret would
    /// cross the network in clear.
    pub fn danger_allow_plain_http(mut self, allow: bool) -> Self {
        self.config.danger_allow_plain_http = allow;
        self
    }

    /// The clock by which the life of tokens and the age of connections are measured. Default the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What error texts call each setting. Default the [method](Setting::method) that sets it; a program that takes its settings
    /// from the environment or a file gives their names there.
    pub fn setting_names(mut self, names: fn(Setting) -> &'static str) -> Self {
        self.names = Names(names);
        self
    }

    /// Checks every setting and makes the backend. Nothing is sent: [`VaultKv2::check`] does that.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the setting. The message does not repeat the address, which may hold a password.
    pub fn build(self) -> Result<VaultKv2> {
        let (config, names) = (&self.config, self.names);
        let id = match &config.instance {
            Some(name) => BackendId::VAULT_KV2.with_instance(name).map_err(|_| {
                invalid(format!("the instance is 1 to 32 bytes of a-z 0-9 -: {}", names.of(Setting::Instance)))
            })?,
            None => BackendId::VAULT_KV2,
        };
        let folder = parse_folder(config, names)?;
        if !(1..=128).contains(&config.member.len()) || config.member.contains(char::is_control) {
            let setting = names.of(Setting::Member);
            return Err(invalid(format!(
                "the name of the member is 1 to 128 bytes without a control character: {setting}"
            )));
        }
        let member: Arc<str> = Arc::from(config.member.as_str());
        let (versions_kept, keeps_others) = (config.versions_kept, config.keeps_other_members());
        let Connected { session, address } = self.connect()?;
        let client = VaultrsKv { session, member: Arc::clone(&member), keeps_others };
        Ok(VaultKv2::over(id, Arc::new(client), Site { address, folder, member, names }, versions_kept))
    }

    /// The way to Vault, for a backend on any engine: what the settings say of the mount is not looked at.
    pub(super) fn connect(self) -> Result<Connected> {
        let Self { config, clock, names } = self;
        let mut addresses = parse_addresses(&config.address, config.danger_allow_plain_http, names)?;
        if let Some(name) = &config.tls_server_name {
            let named = addresses.into_iter().map(|address| address.with_tls_server_name(name, names));
            addresses = named.collect::<Result<_>>()?;
        }
        let named: Vec<_> = addresses.iter().map(|address| address.named.clone()).collect();
        let namespace = namespace::parse(config.namespace.as_deref().unwrap_or(""), Setting::Namespace, names)?;
        let auth_namespace = match &config.auth_namespace {
            Some(namespace) => namespace::parse(namespace, Setting::AuthNamespace, names)?,
            None => namespace,
        };
        let times = [
            config.connect_timeout,
            config.idle_timeout,
            config.max_connection_age,
            config.read_timeout,
            config.write_timeout,
        ];
        if times.contains(&Duration::ZERO) {
            return Err(invalid("a timeout of the Vault client is zero: nothing would ever be in time"));
        }
        let dial = Dial {
            ca_cert_pem: config.ca_cert_pem,
            client_cert: config.client_cert,
            proxy: config.proxy,
            connect_timeout: config.connect_timeout,
            idle_timeout: config.idle_timeout,
            max_age: config.max_connection_age,
            names,
        };
        let (read_timeout, write_timeout) = (config.read_timeout, config.write_timeout);
        let route = Route { addresses, namespace, auth_namespace, dial, read_timeout, write_timeout };
        let transport = Transport::new(route, Arc::clone(&clock))?;
        let session = Session::new(transport, config.auth, clock, names)?;
        Ok(Connected { session, address: named.join(", ") })
    }

    pub(super) fn names(&self) -> Names {
        self.names
    }

    pub(super) fn shared_clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }
}

/// The way to Vault.
pub(super) struct Connected {
    pub(super) session: Session,
    /// What error texts call it: the addresses of all nodes.
    pub(super) address: String,
}

#[cfg(test)]
mod tests;
