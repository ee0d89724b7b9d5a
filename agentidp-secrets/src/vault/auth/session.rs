//! The token in use: who sends with it, and how the next one comes.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use http::HeaderValue;
use tokio::sync::Mutex;

use super::grant::Grant;
use super::life::Life;
use super::source::VaultAuth;
use super::token::VaultToken;
use crate::clock::Clock;
use crate::error::Result;
use crate::vault::auth_kind::AuthKind;
use crate::vault::failure::Failure;
use crate::vault::setting::Names;
use crate::vault::wire::{Answer, Request, Transport, answer};

/// The pause after a first login that failed; it doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause, and the one after a refusal, which only somebody's doing mends.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Requests to Vault under one identity. Clones of the backend share it.
pub(crate) struct Session {
    pub(super) transport: Arc<Transport>,
    pub(super) auth: VaultAuth,
    pub(super) clock: Arc<dyn Clock>,
    names: Names,
    held: RwLock<Option<Held>>,
    /// Locked while the source is asked, so that it is asked once.
    attempts: Mutex<Attempts>,
    pub(super) book: Mutex<Book>,
}

/// The token in use with what is known of it.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) pass: Pass,
    pub(super) life: Life,
}

/// A token, told apart from those before and after it by its number.
#[derive(Clone)]
pub(super) struct Pass {
    pub(super) number: u64,
    /// None: an agent in between adds its own.
    pub(super) token: Option<HeaderValue>,
    /// Whether Vault has taken it for a living one.
    accepted: Arc<AtomicBool>,
    jitter: u8,
}

/// What came of asking the source. A login counts as failed until Vault has accepted its token: else a token that is
/// dead on arrival would cost a login with every request.
#[derive(Default)]
struct Attempts {
    failures: u32,
    not_before: Option<Instant>,
    /// None: a login whose token was not accepted yet.
    failure: Option<Failure>,
    /// A login that whoever waited for it has given up. Its secret id may open once only, so the next one waits for its answer.
    under_way: Option<Login>,
}

#[derive(Clone)]
struct Login {
    begun: Instant,
    granted: Shared<BoxFuture<'static, Result<Grant, Failure>>>,
}

/// What is remembered from one look to the next.
pub(super) struct Book {
    pub(super) failures: u32,
    /// The number of the token that was last told of: requests get others, too.
    pub(super) told: u64,
}

impl Book {
    fn new(told: u64) -> Self {
        Self { failures: 0, told }
    }
}

impl Session {
    pub(crate) fn new(transport: Transport, auth: VaultAuth, clock: Arc<dyn Clock>, names: Names) -> Result<Self> {
        auth.check(names)?;
        let held = match &auth {
            VaultAuth::Token(token) => Some(Held::new(1, Some(token.header(names)?), Life::Unknown)),
            // It looks after its token itself.
            VaultAuth::Agent => Some(Held::new(1, None, Life::Mute)),
            _ => None,
        };
        let book = Mutex::new(Book::new(held.as_ref().map_or(0, |held| held.pass.number)));
        Ok(Self {
            transport: Arc::new(transport),
            auth,
            clock,
            names,
            held: RwLock::new(held),
            attempts: Mutex::default(),
            book,
        })
    }

    /// Sends one request. Where Vault calls the token dead, gets another one and sends it once more: such a refusal comes
    /// before anything is done, so a write is not done twice.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let pass = match self.held() {
            Some(held) => held.pass,
            None => self.another(None).await?.ok_or(Failure::TokenDead)?,
        };
        let answer = self.send_as(&pass, request.clone()).await?;
        if !answer::says_dead_token(answer.status, &answer.body) {
            return Ok(answer);
        }
        match self.another(Some(&pass)).await? {
            Some(fresh) => self.send_as(&fresh, request).await,
            None if pass.token.is_none() => Err(Failure::LoginRefused(AuthKind::Agent)),
            None => Ok(answer),
        }
    }

    /// Sends one request with just this token.
    pub(super) async fn send_as(&self, pass: &Pass, request: Request) -> Result<Answer, Failure> {
        let answer = self.transport.send(request, pass.token.as_ref()).await?;
        if !pass.accepted.load(Ordering::Relaxed) && !answer::says_dead_token(answer.status, &answer.body) {
            pass.accepted.store(true, Ordering::Relaxed);
        }
        Ok(answer)
    }

    /// Another token than `former`; none where the source has no other one. However many ask, the source is asked once.
    pub(super) async fn another(&self, former: Option<&Pass>) -> Result<Option<Pass>, Failure> {
        if matches!(self.auth.kind(), AuthKind::Token | AuthKind::Agent) {
            return Ok(None);
        }
        let mut attempts = self.attempts.lock().await;
        if let Some(held) = self.held() {
            if former.is_none_or(|former| former.number != held.pass.number) {
                return Ok(Some(held.pass));
            }
        }
        let now = self.clock.instant();
        if !self.auth.kind().logs_in() {
            // A file costs nobody anything: it is looked at whenever its token is dead.
            let grant = self.auth.obtain(&self.transport).await?;
            let same = former.is_some_and(|former| former.token.as_ref() == Some(&grant.token));
            return Ok((!same).then(|| self.take_up(grant, now)));
        }
        attempts.forget_if_accepted(former);
        if attempts.under_way.is_none() {
            attempts.refuse_before_its_time(now)?;
        }
        let login = attempts.under_way.get_or_insert_with(|| self.log_in(now)).clone();
        let granted = login.granted.await;
        attempts.made(login.begun, granted.as_ref().err().copied());
        granted.map(|grant| Some(self.take_up(grant, login.begun)))
    }

    fn log_in(&self, begun: Instant) -> Login {
        let (auth, transport) = (self.auth.clone(), Arc::clone(&self.transport));
        let granted = async move { auth.obtain(&transport).await };
        Login { begun, granted: granted.boxed().shared() }
    }

    /// Uses another token from the next request on, until it is dead.
    pub(crate) fn replace_token(&self, token: &VaultToken) -> Result<()> {
        let token = token.header(self.names)?;
        self.take_up(Grant { token, lease: None }, self.clock.instant());
        Ok(())
    }

    /// The address and what is known of its storage.
    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// How the token is come by.
    pub(crate) fn auth(&self) -> &VaultAuth {
        &self.auth
    }

    pub(super) fn held(&self) -> Option<Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what was found out about a token, unless it is not in use any more.
    pub(super) fn note(&self, pass: &Pass, life: Life) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut().filter(|held| held.pass.number == pass.number) {
            held.life = life;
        }
    }

    pub(super) fn take_up(&self, grant: Grant, now: Instant) -> Pass {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let number = held.as_ref().map_or(0, |held| held.pass.number) + 1;
        let life = grant.lease.map_or(Life::Unknown, |lease| Life::granted(lease, now));
        held.insert(Held::new(number, Some(grant.token), life)).pass.clone()
    }
}

impl Held {
    fn new(number: u64, token: Option<HeaderValue>, life: Life) -> Self {
        // Without randomness the replicas come together: a nuisance, no fault.
        let mut jitter = [0];
        let _ = getrandom::fill(&mut jitter);
        Self { pass: Pass { number, token, accepted: Arc::default(), jitter: jitter[0] }, life }
    }
}

impl Pass {
    /// How much before its time this one is renewed, from 0 to 255.
    pub(super) fn jitter(&self) -> u8 {
        self.jitter
    }
}

impl Attempts {
    fn forget_if_accepted(&mut self, former: Option<&Pass>) {
        if self.failure.is_none() && former.is_some_and(|former| former.accepted.load(Ordering::Relaxed)) {
            *self = Self::default();
        }
    }

    fn refuse_before_its_time(&self, now: Instant) -> Result<(), Failure> {
        match self.not_before {
            Some(not_before) if now < not_before => Err(self.failure.unwrap_or(Failure::TokenDead)),
            _ => Ok(()),
        }
    }

    /// Notes an attempt: the next one has to wait, unless the token of this one is accepted.
    fn made(&mut self, now: Instant, failure: Option<Failure>) {
        let doubled = FIRST_PAUSE * 2_u32.pow(self.failures.min(8));
        let pause = if failure.is_some_and(Failure::waits_for_somebody) { LONGEST_PAUSE } else { doubled };
        self.failures += 1;
        self.not_before = Some(now + pause.min(LONGEST_PAUSE));
        self.failure = failure;
        self.under_way = None;
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("transport", &self.transport).field("auth", &self.auth).finish_non_exhaustive()
    }
}
