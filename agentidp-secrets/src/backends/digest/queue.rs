//! Who is next. No threads in here, and no time but what is handed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::job::Job;
use crate::credential::ClientId;

/// Jobs that wait for a thread, at most so many. Clients take turns, whatever number of jobs each has.
pub(super) struct Queue {
    turns: VecDeque<Turn>,
    capacity: usize,
}

/// The jobs of one client, oldest first; never empty.
struct Turn {
    client: ClientId,
    jobs: VecDeque<Job>,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { turns: VecDeque::new(), capacity }
    }

    pub(super) fn len(&self) -> usize {
        self.turns.iter().map(|turn| turn.jobs.len()).sum()
    }

    /// Adds a job. When the queue is full one job has to go: the newest of the client that has the most, so that a
    /// flood from one client leaves places to the others. That may be the new job itself.
    pub(super) fn push(&mut self, job: Job) -> Option<Job> {
        let full = self.len() >= self.capacity;
        let own = self.turns.iter().position(|turn| turn.client == job.client);
        let own_len = own.map_or(0, |at| self.turns[at].jobs.len());
        let longest = self.turns.iter_mut().max_by_key(|turn| turn.jobs.len());
        let refused = match longest {
            _ if !full => None,
            Some(longest) if longest.jobs.len() > own_len + 1 => longest.jobs.pop_back(),
            _ => return Some(job),
        };
        match own {
            Some(at) => self.turns[at].jobs.push_back(job),
            None => self.turns.push_back(Turn { client: job.client.clone(), jobs: VecDeque::from([job]) }),
        }
        refused
    }

    /// Takes the job whose turn it is, and up to `lanes` in all that can run together with it, from each client in turn.
    pub(super) fn take(&mut self, lanes: usize) -> Vec<Job> {
        let mut batch: Vec<Job> = Vec::new();
        let mut at = 0;
        while batch.len() < lanes && at < self.turns.len() {
            let jobs = &mut self.turns[at].jobs;
            let fitting = match batch.first().map(Job::group) {
                None => Some(0),
                Some(None) => return batch,
                Some(group) => jobs.iter().position(|job| job.group() == group),
            };
            match fitting.and_then(|position| jobs.remove(position)) {
                Some(job) => {
                    batch.push(job);
                    self.end_turn(at);
                }
                // Keeps its place: nothing of it has run.
                None => at += 1,
            }
        }
        batch
    }

    /// Puts a client behind the others, or out when it has no more jobs.
    fn end_turn(&mut self, at: usize) {
        if let Some(turn) = self.turns.remove(at) {
            if !turn.jobs.is_empty() {
                self.turns.push_back(turn);
            }
        }
    }

    /// Drops the jobs that nobody waits for, and takes out those that have waited too long.
    pub(super) fn sweep(&mut self, now: Instant, max_wait: Duration) -> Vec<Job> {
        let mut late = Vec::new();
        for Turn { jobs, .. } in &mut self.turns {
            jobs.retain(|job| !job.is_abandoned());
            while jobs.front().is_some_and(|job| now.saturating_duration_since(job.since) > max_wait) {
                late.extend(jobs.pop_front());
            }
        }
        self.turns.retain(|turn| !turn.jobs.is_empty());
        late
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::Receiver;

    use super::*;
    use crate::backend::Verdict;
    use crate::clock::{Clock, SystemClock};
    use crate::credential::CredentialKey;
    use crate::error::{ErrorKind, Result};
    use crate::record::{BackendId, StoredSecret};

    const FOREVER: Duration = Duration::MAX;

    /// A queue of jobs that somebody waits for.
    struct Waiting {
        queue: Queue,
        now: Instant,
        callers: Vec<Receiver<Result<Verdict>>>,
    }

    impl Waiting {
        fn new(capacity: usize) -> Self {
            Self { queue: Queue::new(capacity), now: SystemClock.instant(), callers: Vec::new() }
        }

        /// Gives the client whose job had to go.
        fn push(&mut self, client: &str, group: impl Into<Option<u32>>) -> Option<String> {
            let key = CredentialKey::parse(client, "credential").unwrap();
            let stored = StoredSecret::new(BackendId::BCRYPT, "digest");
            let (job, caller) = Job::verify(self.now, &key, &stored, &"secret".into(), group.into());
            self.callers.push(caller);
            self.queue.push(job).map(|job| job.client.to_string())
        }

        fn take(&mut self, lanes: usize) -> String {
            self.queue.take(lanes).iter().map(|job| job.client.as_str()).collect()
        }
    }

    #[test]
    fn clients_take_turns_whatever_number_of_jobs_each_has() {
        let mut waiting = Waiting::new(10);
        for client in ["a", "a", "a", "a", "b", "c", "c"] {
            assert_eq!(waiting.push(client, 10), None);
        }
        assert_eq!(waiting.take(1), "a");
        assert_eq!(waiting.take(4), "bcac");
        assert_eq!(waiting.take(4), "aa");
        assert_eq!(waiting.take(4), "");
    }

    #[test]
    fn only_jobs_of_one_group_go_together_and_the_others_keep_their_turn() {
        let mut waiting = Waiting::new(10);
        for (client, group) in [("a", 10), ("b", 12), ("c", 10), ("d", 12), ("a", 12)] {
            waiting.push(client, group);
        }
        assert_eq!(waiting.take(4), "ac");
        assert_eq!(waiting.take(4), "bda");
        waiting.push("a", None);
        waiting.push("b", None);
        assert_eq!(waiting.take(4), "a");
        assert_eq!(waiting.take(4), "b");
    }

    #[test]
    fn a_full_queue_refuses_the_newest_of_whoever_has_most() {
        let mut waiting = Waiting::new(4);
        for _ in 0..4 {
            assert_eq!(waiting.push("flood", 10), None);
        }
        assert_eq!(waiting.push("flood", 10).as_deref(), Some("flood"));
        assert_eq!(waiting.push("a", 10).as_deref(), Some("flood"));
        assert_eq!(waiting.push("b", 10).as_deref(), Some("flood"));
        assert_eq!(waiting.push("a", 10).as_deref(), Some("a"), "two of the flood against one: it may not get two");
        assert_eq!(waiting.push("c", 10).as_deref(), Some("flood"));
        assert_eq!(waiting.push("d", 10).as_deref(), Some("d"), "everybody has one");
        assert_eq!(waiting.take(10), "floodabc");
    }

    #[test]
    fn a_sweep_drops_who_has_gone_and_hands_back_who_has_waited_too_long() {
        let mut waiting = Waiting::new(4);
        waiting.push("a", 10);
        waiting.push("b", 10);
        waiting.now += Duration::from_secs(1);
        waiting.push("a", 10);
        drop(waiting.callers.remove(1));
        assert!(waiting.queue.sweep(waiting.now, Duration::from_secs(1)).is_empty());
        assert_eq!(waiting.queue.len(), 2, "b has gone");
        let late = waiting.queue.sweep(waiting.now + Duration::from_nanos(1), Duration::from_secs(1));
        late.into_iter().for_each(|job| job.refuse("too late"));
        assert_eq!(waiting.queue.len(), 1);
        let refused = waiting.callers.remove(0).try_recv().unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Throttled);
        assert!(waiting.queue.sweep(waiting.now + Duration::from_secs(9), FOREVER).is_empty());
    }
}
