//! Calls to the backend that are under way.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::proofs::{Question, QuestionId};
use super::sync::{Mutex, MutexGuard, PoisonError};
use crate::backend::Verdict;
use crate::error::Result;

/// A call that all who asked the same question drive together: there is none whose going would strand the others.
pub(super) type Answer = Shared<BoxFuture<'static, Result<Verdict>>>;

/// The calls under way, by what they ask.
#[derive(Default)]
pub(super) struct Flights(Mutex<List>);

#[derive(Default)]
pub(super) struct List {
    under_way: HashMap<QuestionId, Flight>,
    announced: u64,
}

struct Flight {
    number: u64,
    /// Who asks after a revocation must not hear what was true before it.
    epoch: u32,
    answer: WeakShared<BoxFuture<'static, Result<Verdict>>>,
}

impl Flights {
    /// No future is dropped while the list is locked: a landing takes the lock.
    pub(super) fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next call to be announced has to carry.
    pub(super) fn landing(self: &Arc<Self>, list: &mut List, question: &Question) -> Landing {
        list.announced += 1;
        Landing { flights: Arc::clone(self), number: list.announced, id: question.id() }
    }
}

impl List {
    /// The call that asks this question, if one is under way.
    pub(super) fn find(&self, question: &Question) -> Option<Answer> {
        let flight = self.under_way.get(&question.id())?;
        if flight.epoch == question.epoch { flight.answer.upgrade() } else { None }
    }

    /// Lets others find the call. One that was under the same id keeps those that have found it.
    pub(super) fn announce(&mut self, question: &Question, call: BoxFuture<'static, Result<Verdict>>) -> Answer {
        let call = call.shared();
        if let Some(answer) = call.downgrade() {
            let flight = Flight { number: self.announced, epoch: question.epoch, answer };
            self.under_way.insert(question.id(), flight);
        }
        call
    }
}

/// Takes the call off the list when it is dropped.
pub(super) struct Landing {
    flights: Arc<Flights>,
    number: u64,
    id: QuestionId,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut list = self.flights.lock();
        // By now another call may be under the id.
        if list.under_way.get(&self.id).is_some_and(|flight| flight.number == self.number) {
            list.under_way.remove(&self.id);
        }
    }
}

#[cfg(test)]
impl List {
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }
}
