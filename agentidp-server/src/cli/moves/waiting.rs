//! Credentials that only move when their clients log in, in the order of their last use.

use std::collections::BTreeSet;
use std::time::SystemTime;

use agentidp_secrets::lifecycle::Reported;

use crate::cli::credentials::{backend, text};

/// Credentials that are listed. A million of them may need their clients.
const LISTED: usize = 1000;

/// Those that were not used for longest, the never used ones first, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    first: BTreeSet<Entry>,
    pub(super) count: u64,
}

/// Never is less than any time.
type Entry = (Option<SystemTime>, String, String, String);

impl Waiting {
    pub(super) fn add(&mut self, reported: &Reported) {
        let key = &reported.row.key;
        let (client, credential) = (key.client_id().to_string(), key.credential_id().to_string());
        self.insert((reported.last_seen_at(), client, credential, backend(reported)));
    }

    fn insert(&mut self, entry: Entry) {
        self.count += 1;
        self.first.insert(entry);
        if self.first.len() > LISTED {
            self.first.pop_last();
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        if self.count == 0 {
            return Vec::new();
        }
        let what = "keep only a digest: each moves when its client logs in and UPGRADE_ON_VERIFY is set, or when it is rotated";
        let mut lines = vec![format!("{} {what}. By last use, never used ones first:", self.count)];
        lines.push(format!("{:<36} {:<36} {:<12} LAST USED", "AGENT", "CREDENTIAL", "BACKEND"));
        lines.extend(self.first.iter().map(|(last, client, credential, backend)| {
            let last = last.map_or_else(|| "never".to_owned(), text);
            format!("{client:<36} {credential:<36} {backend:<12} {last}")
        }));
        let more = self.count - self.first.len() as u64;
        if more > 0 {
            lines.push(format!(
                "and {more} that were used later: `agentidp-server credentials --without BACKEND` lists them all"
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_first_thousand_by_last_use_are_kept() {
        let mut waiting = Waiting::default();
        for number in (0..3000_u64).rev() {
            let last = (number > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(number));
            waiting.insert((last, format!("agent {number}"), "credential".to_owned(), "bcrypt".to_owned()));
        }
        let lines = waiting.lines();
        assert_eq!((waiting.first.len(), lines.len()), (1000, 1003));
        assert!(lines[0].starts_with("3000 keep only a digest"), "{}", lines[0]);
        assert!(lines[2].starts_with("agent 0 ") && lines[2].ends_with(" never"), "{}", lines[2]);
        assert!(lines[1001].starts_with("agent 999 "), "{}", lines[1001]);
        assert!(lines[1002].starts_with("and 2000 that"), "{}", lines[1002]);
        assert!(Waiting::default().lines().is_empty());
    }
}
