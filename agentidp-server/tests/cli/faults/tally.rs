//! What is counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::driver::Driver;
use super::fault::Fault;

/// Counted while the load is on, by many at once.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) operations: AtomicU64,
    /// Fresh secrets that the other server accepted at once.
    pub(super) fresh: AtomicU64,
    /// Nobody could say, or nobody answered: an outage, told as one.
    pub(super) outages: AtomicU64,
    /// Secrets that count and that nobody accepts, or that Vault does not hold.
    pub(super) lost: AtomicU64,
    pub(super) wrongly_accepted: AtomicU64,
    pub(super) wrongly_refused: AtomicU64,
    /// Digests and warm credentials that met an outage of Vault.
    pub(super) warm_errors: AtomicU64,
    /// What went wrong, the first few times.
    pub(super) notes: Mutex<Vec<String>>,
}

impl Counts {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn note(&self, counter: &AtomicU64, what: String) {
        Self::add(counter);
        let mut notes = self.notes.lock().unwrap();
        if notes.len() < 20 {
            notes.push(what);
        }
    }
}

/// Counted by whoever makes the faults.
#[derive(Debug, Default)]
pub(super) struct Tally {
    faults: BTreeMap<Fault, (u64, Duration)>,
}

impl Tally {
    pub(super) fn recovered(&mut self, fault: Fault, after: Duration) {
        let (count, longest) = self.faults.entry(fault).or_default();
        *count += 1;
        *longest = after.max(*longest);
    }

    pub(super) fn is_bad(driver: &Driver) -> bool {
        let counts = driver.counts();
        let bad = [&counts.lost, &counts.wrongly_accepted, &counts.wrongly_refused, &counts.warm_errors];
        bad.iter().any(|counter| counter.load(Ordering::SeqCst) > 0)
    }

    pub(super) fn report(&self, driver: &Driver) -> String {
        let (counts, mut text) = (driver.counts(), String::new());
        let get = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let _ = writeln!(text, "operations            {}", get(&counts.operations));
        let _ = writeln!(text, "fresh at the other    {}", get(&counts.fresh));
        let _ = writeln!(text, "outages, told as such {}", get(&counts.outages));
        for (fault, (count, longest)) in &self.faults {
            let _ =
                writeln!(text, "{:<21} {count} times, longest recovery {:.1} s", fault.name(), longest.as_secs_f64());
        }
        let _ = writeln!(text, "lost                  {}", get(&counts.lost));
        let _ = writeln!(text, "wrongly accepted      {}", get(&counts.wrongly_accepted));
        let _ = writeln!(text, "wrongly refused       {}", get(&counts.wrongly_refused));
        let _ = writeln!(text, "warm or digest errors {}", get(&counts.warm_errors));
        for note in counts.notes.lock().unwrap().iter() {
            let _ = writeln!(text, "  {note}");
        }
        text
    }
}
