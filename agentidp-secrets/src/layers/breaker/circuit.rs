//! Whether the backend is asked: the state of one breaker.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::settings::{BreakerChange, BreakerLayer};
use crate::error::ErrorKind;
use crate::layers::pause::jittered;

pub(super) struct Circuit {
    settings: BreakerLayer,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// Counts the phases, so that a call can tell whether the one that it began in is still on.
    number: u64,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Calls go through; so many in a row have failed.
    Closed { failures: u32 },
    /// Nobody asks the backend until the pause since then is over.
    Open { since: Instant, pause: Duration, full: Duration },
    /// The pause is over, and one call asks.
    Trying { since: Instant, pause: Duration, full: Duration },
}

/// What the end of a call says about the backend.
#[derive(Clone, Copy)]
pub(super) enum Signal {
    Alive,
    Down,
    Nothing,
}

impl Signal {
    pub(super) fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Unavailable => Self::Down,
            ErrorKind::Conflict | ErrorKind::Denied | ErrorKind::InvalidConfig | ErrorKind::NotFound => Self::Alive,
            // A record that cannot be read is mostly refused without asking.
            ErrorKind::Internal
            | ErrorKind::InvalidSecret
            | ErrorKind::Malformed
            | ErrorKind::Throttled
            | ErrorKind::UnknownBackend => Self::Nothing,
        }
    }
}

/// Why a call does not go through.
#[derive(Clone, Copy)]
pub(super) enum Refusal {
    OpenFor(Duration),
    BeingTried,
}

impl Circuit {
    pub(super) fn new(settings: BreakerLayer) -> Self {
        Self { settings, state: Mutex::new(State { phase: Phase::Closed { failures: 0 }, number: 0 }) }
    }

    /// Lets a call through, or not. The pass tells how it ended when it is dropped.
    pub(super) fn admit(&self) -> Result<Pass<'_>, Refusal> {
        let mut state = self.state();
        match state.phase {
            Phase::Closed { .. } => {}
            Phase::Open { since, pause, full } => {
                let left = pause.saturating_sub(self.settings.clock.instant().saturating_duration_since(since));
                if !left.is_zero() {
                    return Err(Refusal::OpenFor(left));
                }
                state.enter(Phase::Trying { since, pause, full });
            }
            Phase::Trying { .. } => return Err(Refusal::BeingTried),
        }
        Ok(Pass { circuit: self, began_in: state.number, signal: Signal::Nothing })
    }

    fn settle(&self, began_in: u64, signal: Signal) {
        let mut state = self.state();
        let same_phase = state.number == began_in;
        match (signal, state.phase) {
            // An answer is a sign of life whenever it was asked for.
            (Signal::Alive, Phase::Closed { .. }) => state.phase = Phase::Closed { failures: 0 },
            (Signal::Alive, Phase::Open { .. } | Phase::Trying { .. }) => {
                state.enter(Phase::Closed { failures: 0 });
                (self.settings.on_change)(BreakerChange::Closed);
            }
            (Signal::Down, Phase::Closed { failures }) if same_phase => {
                let failures = failures + 1;
                if failures < self.settings.failures {
                    state.phase = Phase::Closed { failures };
                } else {
                    self.open(&mut state, self.settings.first_pause, BreakerChange::Opened);
                }
            }
            (Signal::Down, Phase::Trying { full, .. }) if same_phase => {
                let pause = full.saturating_mul(2).min(self.settings.longest_pause);
                self.open(&mut state, pause, BreakerChange::StillOpen);
            }
            (Signal::Nothing, Phase::Trying { since, pause, full }) if same_phase => {
                state.enter(Phase::Open { since, pause, full });
            }
            (Signal::Down | Signal::Nothing, _) => {}
        }
    }

    fn open(&self, state: &mut State, pause: Duration, change: fn(Duration) -> BreakerChange) {
        // The whole of it is what doubles, and the random part is taken anew each time.
        let pause_now = jittered(pause, (self.settings.random)());
        state.enter(Phase::Open { since: self.settings.clock.instant(), pause: pause_now, full: pause });
        (self.settings.on_change)(change(pause_now));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.number = self.number.wrapping_add(1);
    }
}

/// A call that was let through. Unless it [tells](Self::tells) otherwise, it says nothing about the backend: so does one
/// that is dropped.
pub(super) struct Pass<'a> {
    circuit: &'a Circuit,
    began_in: u64,
    signal: Signal,
}

impl Pass<'_> {
    pub(super) fn tells(&mut self, signal: Signal) {
        self.signal = signal;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.circuit.settle(self.began_in, self.signal);
    }
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.state().phase {
            Phase::Closed { .. } => "closed",
            Phase::Open { .. } => "open",
            Phase::Trying { .. } => "trying",
        };
        f.debug_struct("Circuit").field("phase", &phase).field("settings", &self.settings).finish()
    }
}
