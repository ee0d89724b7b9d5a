//! The questions that this process has asked, and who it is on the list.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use super::lease::{LEASE, MARGIN};

#[derive(Default)]
pub(super) struct Questions(Mutex<State>);

#[derive(Default)]
struct State {
    /// What this process is on the list as, or was last.
    own: Option<String>,
    /// Whether answers arrive.
    is_heard: bool,
    asked: u64,
    open: HashMap<u64, UnboundedSender<String>>,
    /// Replicas that are marked, and until when they may serve rows.
    to_be_removed: Vec<(String, Instant)>,
}

impl Questions {
    /// A question that is about to be asked. Its answers are kept from now on.
    pub(super) fn open(&self) -> Seat<'_> {
        let mut state = self.lock();
        state.asked += 1;
        let (number, own) = (state.asked, state.own.clone());
        let answers = state.is_heard.then(|| {
            let (sender, answers) = unbounded_channel();
            state.open.insert(number, sender);
            answers
        });
        Seat { questions: self, number, own, answers }
    }

    pub(super) fn own(&self) -> Option<String> {
        self.lock().own.clone()
    }

    /// From now on answers arrive at this name.
    pub(super) fn begin(&self, own: &str) {
        let mut state = self.lock();
        (state.own, state.is_heard) = (Some(own.to_owned()), true);
    }

    /// Answers do not arrive any more.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.is_heard = false;
        state.open.clear();
    }

    /// An answer: the question's number, and who answers it.
    pub(super) fn answered(&self, answer: &str) {
        if let Some((number, replica)) = answer.split_once(' ')
            && let Some(asker) = number.parse().ok().and_then(|number: u64| self.lock().open.get(&number).cloned())
        {
            let _ = asker.send(replica.to_owned());
        }
    }

    pub(super) fn to_be_removed(&self, replicas: Vec<String>) {
        let over = Instant::now() + LEASE + MARGIN;
        self.lock().to_be_removed.extend(replicas.into_iter().map(|replica| (replica, over)));
    }

    /// Those whose leases are over.
    pub(super) fn take_removable(&self) -> Vec<String> {
        let now = Instant::now();
        self.lock().to_be_removed.extract_if(.., |(_, over)| *over <= now).map(|(replica, _)| replica).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open question. Dropped, nobody waits for its answers.
pub(super) struct Seat<'a> {
    questions: &'a Questions,
    number: u64,
    own: Option<String>,
    answers: Option<UnboundedReceiver<String>>,
}

impl Seat<'_> {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn own(&self) -> Option<&str> {
        self.own.as_deref()
    }

    pub(super) fn is_heard(&self) -> bool {
        self.answers.is_some()
    }

    /// The next replica that answers; none when nobody is heard any more.
    pub(super) async fn answer(&mut self) -> Option<String> {
        let answer = match &mut self.answers {
            Some(answers) => answers.recv().await,
            None => None,
        };
        if answer.is_none() {
            self.answers = None;
        }
        answer
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.questions.lock().open.remove(&self.number);
    }
}
