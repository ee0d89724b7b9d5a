//! Keeping the token alive: what is due, and when to look again.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::answer::{self, Inspected};
use super::life::{Life, Term, TokenLife};
use super::session::{Held, LONGEST_PAUSE, Pass, Session};
use super::source::VaultAuth;
use crate::error::Error;
use crate::vault::failure::Failure;
use crate::vault::wire::Request;
use crate::vault::wire::answer::data;

/// Longest time between two looks. A look costs a request only when something is due.
const LOOK: Duration = Duration::from_secs(10);

/// Shortest time between two looks.
const BREATH: Duration = Duration::from_millis(250);

/// The pause after the first failure; it doubles with every further one, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What a look at the token came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct TokenCare {
    /// What was done. An error is `Unavailable` where the next look may do better by itself, and of another kind where an
    /// operator has to act; it says how.
    pub outcome: Result<RenewalOutcome, Error>,
    /// When to look again.
    pub next: Duration,
}

/// What was done about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenewalOutcome {
    /// Nothing: nothing was due.
    Idle,
    /// Vault was asked how long it lives.
    Inspected,
    /// It was renewed.
    Renewed,
    /// Another one is in use: from a login, from its file, or from [`replace_token`](crate::vault::VaultKv2::replace_token).
    Replaced,
}

impl Session {
    /// Does what is due: asks about a token that is not known yet, renews one at two thirds of its life, logs in where it
    /// cannot be renewed, takes up a file that has changed.
    pub(crate) async fn tend(&self) -> (Result<RenewalOutcome, Failure>, Duration) {
        let mut book = self.book.lock().await;
        let outcome = self.do_what_is_due().await;
        let number = self.held().map_or(0, |held| held.pass.number);
        let replaced = std::mem::replace(&mut book.told, number) != number;
        match outcome {
            Ok(done) => {
                book.failures = 0;
                let done = if replaced { RenewalOutcome::Replaced } else { done };
                (Ok(done), self.until_due().clamp(BREATH, LOOK))
            }
            Err(failure) => {
                let pause = FIRST_PAUSE * 2_u32.pow(book.failures.min(8));
                book.failures += 1;
                let pause = if failure.waits_for_somebody() { LONGEST_PAUSE } else { pause.min(LONGEST_PAUSE) };
                (Err(failure), pause)
            }
        }
    }

    /// What Vault says about the token in use, or about a new one if that is dead.
    pub(crate) async fn inspected(&self) -> Result<Inspected, Failure> {
        let answer = self.send(lookup()).await?;
        data(answer.status, &answer.body)
    }

    /// How long the token in use lives, where that is known and not for ever.
    pub(crate) fn life(&self) -> Option<TokenLife> {
        self.held()?.life.told(self.clock.instant())
    }

    async fn do_what_is_due(&self) -> Result<RenewalOutcome, Failure> {
        let looked = self.look_at_file().await;
        match self.look_after_token().await {
            // A file that cannot be read is told of, and keeps nobody from renewing the token in use.
            Ok(RenewalOutcome::Idle) => looked.map(|()| RenewalOutcome::Idle),
            done => done,
        }
    }

    async fn look_after_token(&self) -> Result<RenewalOutcome, Failure> {
        let Some(Held { pass, life }) = self.held() else {
            return self.another(None).await.map(|_| RenewalOutcome::Replaced);
        };
        match life {
            Life::Mute | Life::Endless => Ok(RenewalOutcome::Idle),
            Life::Unknown => self.inspect(&pass).await,
            Life::Ends(term) if self.clock.instant() < term.due(pass.jitter()) => Ok(RenewalOutcome::Idle),
            Life::Ends(term) if term.renewable => self.renew(&pass, term).await,
            Life::Ends(_) if self.auth.kind().logs_in() => self.replace(&pass).await,
            Life::Ends(_) => Ok(RenewalOutcome::Idle),
        }
    }

    /// Takes up what the file holds by now, where there is one.
    async fn look_at_file(&self) -> Result<(), Failure> {
        let VaultAuth::TokenFile(_) = &self.auth else { return Ok(()) };
        let grant = self.auth.obtain(&self.transport).await?;
        if self.held().is_none_or(|held| held.pass.token.as_ref() != Some(&grant.token)) {
            self.take_up(grant, self.clock.instant());
        }
        Ok(())
    }

    async fn inspect(&self, pass: &Pass) -> Result<RenewalOutcome, Failure> {
        let now = self.clock.instant();
        let answer = self.send_as(pass, lookup()).await?;
        match data::<Inspected>(answer.status, &answer.body) {
            Ok(found) => {
                self.note(pass, found.life(now));
                Ok(RenewalOutcome::Inspected)
            }
            // It lives, and there is no use in asking again.
            Err(Failure::Denied(_)) => {
                self.note(pass, Life::Mute);
                Err(Failure::MayNotRenew)
            }
            Err(Failure::TokenDead) => self.replace(pass).await,
            Err(failure) => Err(failure),
        }
    }

    async fn renew(&self, pass: &Pass, term: Term) -> Result<RenewalOutcome, Failure> {
        let now = self.clock.instant();
        let answer = self.send_as(pass, renewal()).await?;
        let failure = match answer::lease(answer.status, &answer.body) {
            Ok(lease) => {
                self.note(pass, term.renewed(lease, now));
                return Ok(RenewalOutcome::Renewed);
            }
            Err(Failure::TokenDead) => return self.replace(pass).await,
            Err(Failure::Denied(_)) => Failure::MayNotRenew,
            Err(final_one @ (Failure::PastLongestLife | Failure::NotRenewable)) => final_one,
            Err(failure) => return Err(failure),
        };
        self.note(pass, Life::Ends(Term { renewable: false, ..term }));
        if self.auth.kind().logs_in() { self.replace(pass).await } else { Err(failure) }
    }

    async fn replace(&self, pass: &Pass) -> Result<RenewalOutcome, Failure> {
        match self.another(Some(pass)).await? {
            Some(_) => Ok(RenewalOutcome::Replaced),
            None => Err(Failure::TokenDead),
        }
    }

    fn until_due(&self) -> Duration {
        match self.held().map(|held| (held.life, held.pass)) {
            Some((Life::Ends(term), pass)) if term.renewable || self.auth.kind().logs_in() => {
                term.due(pass.jitter()).saturating_duration_since(self.clock.instant())
            }
            Some((Life::Unknown, _)) => BREATH,
            _ => LOOK,
        }
    }
}

/// Allowed by the default policy, as the other one is.
fn lookup() -> Request {
    Request::get("auth/token/lookup-self".to_owned()).of_token()
}

/// Names no time: a renewal then grants as much as the token was made with, and never shortens its life.
fn renewal() -> Request {
    Request::post("auth/token/renew-self".to_owned(), Bytes::from_static(b"{}")).of_token()
}

impl Inspected {
    fn life(&self, now: Instant) -> Life {
        if self.expire_time.is_none() {
            return Life::Endless;
        }
        let left = Duration::from_secs(self.ttl);
        let periodic = self.period.is_some_and(|period| period > 0) && self.explicit_max_ttl.unwrap_or(0) == 0;
        // A token that was renewed by others long ago was granted as much as at first.
        let full = Duration::from_secs(self.creation_ttl.unwrap_or(0)).max(left);
        Life::Ends(Term { end: now + left, full, renewable: self.renewable.unwrap_or(false), periodic })
    }
}
