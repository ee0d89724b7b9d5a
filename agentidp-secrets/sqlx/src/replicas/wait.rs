//! Whom a writer waits for, and for how long. No clock and no database: times are counted from when the list was read.

use std::collections::BTreeSet;
use std::time::Duration;

use super::lease::{LEASE, MARGIN};

/// How a change came to be obeyed by all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obeyed {
    /// All have answered, or there are no others.
    Answered,
    /// The leases are over of all that had not heard of it.
    Waited,
    /// The same; so many were silent, and were taken off the list.
    TookOff(usize),
}

/// A change that is committed, and not yet acknowledged.
#[derive(Debug)]
pub(crate) struct Wait {
    /// Who has not answered.
    silent: BTreeSet<String>,
    /// Somebody answers no questions, or nobody knows who there is.
    beside_others: bool,
    /// Whether answers are heard.
    hears: bool,
    over: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It may be acknowledged.
    Obeyed(Obeyed),
    /// Wait for an answer, until then at the longest.
    Until(Duration),
    /// It may be acknowledged, when these are taken off the list.
    TakeOff(Vec<String>),
}

impl Wait {
    pub(crate) fn new(listed: impl IntoIterator<Item = String>, beside_others: bool, hears: bool) -> Self {
        Self { silent: listed.into_iter().collect(), beside_others, hears, over: LEASE + MARGIN }
    }

    /// A replica has answered this change's question.
    pub(crate) fn answered(&mut self, replica: &str) {
        self.silent.remove(replica);
    }

    /// Answers are not heard any more: silence says nothing.
    pub(crate) fn is_deaf(&mut self) {
        self.hears = false;
    }

    pub(crate) fn next(&self, since: Duration) -> Next {
        if self.silent.is_empty() && !self.beside_others {
            return Next::Obeyed(Obeyed::Answered);
        }
        if since < self.over {
            return Next::Until(self.over);
        }
        if self.hears && !self.silent.is_empty() {
            Next::TakeOff(self.silent.iter().cloned().collect())
        } else {
            Next::Obeyed(Obeyed::Waited)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVER: Duration = LEASE.saturating_add(MARGIN);

    fn wait(listed: &[&str], beside_others: bool, hears: bool) -> Wait {
        Wait::new(listed.iter().map(|&name| name.to_owned()), beside_others, hears)
    }

    #[test]
    fn alone_nothing_is_waited_for() {
        for hears in [true, false] {
            assert_eq!(wait(&[], false, hears).next(Duration::ZERO), Next::Obeyed(Obeyed::Answered));
        }
    }

    #[test]
    fn all_have_to_answer() {
        let mut wait = wait(&["a", "b"], false, true);
        wait.answered("b");
        wait.answered("somebody else");
        assert_eq!(wait.next(Duration::ZERO), Next::Until(OVER));
        wait.answered("a");
        assert_eq!(wait.next(Duration::ZERO), Next::Obeyed(Obeyed::Answered));
    }

    #[test]
    fn the_silent_are_taken_off_when_their_leases_are_over() {
        let mut wait = wait(&["a", "b"], false, true);
        wait.answered("b");
        assert_eq!(wait.next(OVER - Duration::from_millis(1)), Next::Until(OVER));
        assert_eq!(wait.next(OVER), Next::TakeOff(vec!["a".to_owned()]));
    }

    #[test]
    fn who_hears_nobody_waits_and_takes_nobody_off() {
        let mut deaf = wait(&["a"], false, true);
        deaf.is_deaf();
        for deaf in [deaf, wait(&["a"], false, false)] {
            assert_eq!(deaf.next(Duration::ZERO), Next::Until(OVER));
            assert_eq!(deaf.next(OVER), Next::Obeyed(Obeyed::Waited));
        }
    }

    #[test]
    fn beside_an_older_release_answers_are_not_enough() {
        let mut wait = wait(&["a"], true, true);
        wait.answered("a");
        assert_eq!(wait.next(Duration::ZERO), Next::Until(OVER));
        assert_eq!(wait.next(OVER), Next::Obeyed(Obeyed::Waited));
    }
}
