//! Our own transport under vaultrs' request types: what is sent, what is never sent, and how much is read back.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::address::{Address, Way};
use super::answer;
use super::connections::{Connections, Dial};
use super::incoming::{MAX_ANSWER, MAX_LISTING, failure, read_body};
use super::index::NewestIndex;
use super::message::{Answer, Request};
use super::nodes::Nodes;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::vault::cause::Cause;
use crate::vault::failure::Failure;
use crate::vault::setting::Setting;

/// Longest time that a list of names may take: nobody's login waits for it, and OpenBao decrypts every name there is for each part
/// (10 to 16 seconds with a million).
const LISTING_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause before nodes that wait for an election are all asked again, so much plus up to three times as much: an election
/// took 1.7 to 5.5 s, and one look costs each node a tenth of a millisecond.
const ELECTION_PAUSE: Duration = Duration::from_millis(50);

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
/// The state of a replicated storage that an answer was given from.
const INDEX: HeaderName = HeaderName::from_static("x-vault-index");
/// What a standby shall do that has not reached the index yet.
const INCONSISTENT: HeaderName = HeaderName::from_static("x-vault-inconsistent");

/// How to reach one Vault, be it a node or a cluster.
pub(crate) struct Route<'a> {
    /// One at least.
    pub(crate) addresses: Vec<Address>,
    pub(crate) namespace: Option<&'a str>,
    /// That of the token.
    pub(crate) auth_namespace: Option<&'a str>,
    pub(crate) dial: Dial,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

/// What a node says of its cluster.
#[derive(Clone, Copy, Deserialize)]
struct Leader {
    ha_enabled: bool,
    is_self: bool,
}

/// The nodes of one Vault, asked one after the other until one does not turn the request away.
///
/// A request goes to another node when this one was not reached, is sealed, is a standby without its leader, or is behind:
/// then nothing was done. One that was sent and got no answer goes to another node only if it is a read; of a write nobody
/// knows whether it was done.
pub(crate) struct Transport {
    connections: Connections,
    nodes: Nodes,
    namespace: Option<HeaderValue>,
    auth_namespace: Option<HeaderValue>,
    /// A standby that is behind the index of a request passes it on. Reads have that of our newest write, so that they are
    /// not answered from before it; writes, and reads of the active node, have one that no node has reached, so that the
    /// active node carries them out.
    index: NewestIndex,
    /// Whether the storage is replicated, once that is known: successes have an index where it is, refusals never, and
    /// every node says it when asked.
    replicated: OnceLock<bool>,
    read_timeout: Duration,
    write_timeout: Duration,
}

impl Transport {
    pub(crate) fn new(route: Route<'_>, clock: Arc<dyn Clock>) -> Result<Self> {
        let names = route.dial.names;
        let header = |namespace: Option<&str>, setting: Setting| {
            namespace.map(HeaderValue::from_str).transpose().map_err(|_| {
                let message = format!("the namespace does not fit into a header: {}", names.of(setting));
                Error::new(ErrorKind::InvalidConfig, message)
            })
        };
        let namespace = header(route.namespace, Setting::Namespace)?;
        let auth_namespace = header(route.auth_namespace, Setting::AuthNamespace)?;
        Ok(Self {
            connections: Connections::new(route.dial, &route.addresses, clock)?,
            nodes: Nodes::new(route.addresses),
            namespace,
            auth_namespace,
            index: NewestIndex::default(),
            replicated: OnceLock::new(),
            read_timeout: route.read_timeout,
            write_timeout: route.write_timeout,
        })
    }

    /// Sends one request with a token or none, within the time of a read or a write. Any status is an answer.
    ///
    /// Where there are several nodes and all that answer wait for an election, they are asked again for as long as the
    /// time lasts.
    pub(crate) async fn send(&self, request: Request, token: Option<&HeaderValue>) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.time_for(&request);
        loop {
            let outcome = self.ask_in_turn(&request, token, deadline).await;
            let electing =
                self.has_several() && matches!(turned_away(&outcome), Some(Failure::Standby | Failure::Redirected));
            if !electing {
                return outcome;
            }
            let pause = election_pause();
            if Instant::now() + pause >= deadline {
                return outcome;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether what a node says may be from the past. Asks, unless it is known; yes where that cannot be found out.
    pub(crate) async fn may_be_behind(&self) -> bool {
        if let Some(replicated) = self.replicated.get() {
            return *replicated;
        }
        let told = self.leader(self.nodes.favourite()).await.map(|leader| leader.ha_enabled);
        told.is_none_or(|replicated| *self.replicated.get_or_init(|| replicated))
    }

    /// Whether a write is sure to be carried out by the active node: once one of the answers has told which cluster that is,
    /// where the storage is replicated. It changes when another cluster answers.
    pub(crate) fn aim(&self) -> Option<HeaderValue> {
        self.index.beyond()
    }

    /// Whether there is another node to ask.
    pub(crate) fn has_several(&self) -> bool {
        self.nodes.len() > 1
    }

    async fn ask_in_turn(
        &self,
        request: &Request,
        token: Option<&HeaderValue>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let favourite = self.nodes.favourite();
        let first = if request.of_active { self.active_node().await.unwrap_or(favourite) } else { favourite };
        let reading = request.is_read;
        let mut told = Err(Failure::Lost(Cause::Timeout));
        for (asked, node) in self.nodes.from(first).enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // A node that hangs must not take the time of those after it. A write that was sent is waited for.
            let share = if reading && asked + 1 < self.nodes.len() { left / 2 } else { left };
            let outcome = self.ask(node, request.clone(), token, share).await;
            let Some(failure) = turned_away(&outcome) else {
                self.nodes.prefer(node, favourite);
                return outcome;
            };
            self.nodes.prefer(self.nodes.after(node), node);
            if !reading && matches!(failure, Failure::Lost(_) | Failure::Failed(_)) {
                return outcome;
            }
            // What a node says tells more than that another one was not reached.
            if outcome.is_ok() || told.is_err() {
                told = outcome;
            }
        }
        told
    }

    /// Asks one node once.
    async fn ask(
        &self,
        node: usize,
        request: Request,
        token: Option<&HeaderValue>,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let (reading, most) = (request.is_read, if request.is_listing { MAX_LISTING } else { MAX_ANSWER });
        let prepared = self.prepare(node, request, token, timeout);
        let answer = self.connections.client(node).execute(prepared).await.map_err(|error| failure(&error))?;
        if let Some(index) = answer.headers().get(INDEX) {
            self.replicated.get_or_init(|| true);
            if reading {
                self.index.note_cluster(index);
            } else {
                self.index.note(index);
            }
        }
        Ok(Answer { status: answer.status().as_u16(), body: read_body(answer, most).await? })
    }

    /// The node that calls itself active, among several.
    async fn active_node(&self) -> Option<usize> {
        let nodes = if self.has_several() { self.nodes.len() } else { 0 };
        let asked = (0..nodes).map(async |node| self.leader(node).await.filter(|leader| leader.is_self).map(|_| node));
        join_all(asked).await.into_iter().flatten().next()
    }

    /// What a node says of its cluster, which it tells anybody.
    async fn leader(&self, node: usize) -> Option<Leader> {
        let request = Request::get("sys/leader".to_owned());
        let mut prepared = self.prepare(node, request, None, self.read_timeout / 2);
        // Namespaces have none.
        prepared.headers_mut().remove(NAMESPACE);
        let answer = self
            .connections
            .client(node)
            .execute(prepared)
            .await
            .ok()
            .filter(|answer| answer.status() == StatusCode::OK)?;
        serde_json::from_slice(&read_body(answer, MAX_ANSWER).await.ok()?).ok()
    }

    fn time_for(&self, request: &Request) -> Duration {
        match request {
            Request { is_listing: true, .. } => self.read_timeout.max(LISTING_TIMEOUT),
            Request { is_read: true, .. } => self.read_timeout,
            _ => self.write_timeout,
        }
    }

    fn prepare(
        &self,
        node: usize,
        request: Request,
        token: Option<&HeaderValue>,
        timeout: Duration,
    ) -> reqwest::Request {
        let address = self.nodes.address(node);
        let mut url = address.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(request.path.split('/'));
        }
        url.set_query(request.query.as_deref());
        // A standby carries out what it can: it says "done" to the deletion of something that it has not heard of yet.
        let index = match request.method {
            Method::GET if !request.of_active => self.index.get(),
            _ => self.index.beyond().or_else(|| self.index.get()),
        };
        let mut prepared = reqwest::Request::new(request.method, url);
        *prepared.timeout_mut() = Some(timeout);
        let headers = prepared.headers_mut();
        if let Some(token) = token {
            headers.insert(TOKEN, token.clone());
        }
        if let Way::Instead { header, .. } = &address.way {
            headers.insert(HOST, header.clone());
        }
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        let namespace = if request.of_token { &self.auth_namespace } else { &self.namespace };
        if let Some(namespace) = namespace {
            headers.insert(NAMESPACE, namespace.clone());
        }
        if let Some(index) = index {
            headers.insert(INDEX, index);
            headers.insert(INCONSISTENT, HeaderValue::from_static("forward-active-node"));
        }
        if let Some(body) = request.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *prepared.body_mut() = Some(body.into());
        }
        prepared
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

/// Why another node may do better; none where this one has dealt with the request.
fn turned_away(outcome: &Result<Answer, Failure>) -> Option<Failure> {
    match outcome {
        Ok(answer) => answer::turned_away(answer.status, &answer.body),
        Err(failure) => Some(*failure),
    }
}

fn election_pause() -> Duration {
    // Without randomness the callers come together: a nuisance, no fault.
    let mut random = [0];
    let _ = getrandom::fill(&mut random);
    ELECTION_PAUSE + ELECTION_PAUSE * 3 * u32::from(random[0]) / 255
}
