//! What came of a move.

use std::collections::BTreeMap;
use std::time::SystemTime;

use agentidp_secrets::lifecycle::{MoveOutcome, Moved};

use super::waiting::Waiting;
use crate::app::App;
use crate::cli::credentials::{backend, text};
use crate::cli::terminal::Lines;
use crate::error::chain;

/// Counts, and the list of those that need their clients.
pub(super) struct Summary {
    to: String,
    now: SystemTime,
    dry_run: bool,
    moved: BTreeMap<String, u64>,
    there: u64,
    excepted: u64,
    changed: u64,
    failed: u64,
    waiting: Waiting,
    previous: u64,
    previous_until: Option<SystemTime>,
}

impl Summary {
    pub(super) fn new(app: &App, dry_run: bool) -> Self {
        Self {
            to: app.store.primary().id.to_string(),
            now: app.now().into(),
            dry_run,
            moved: BTreeMap::new(),
            there: 0,
            excepted: 0,
            changed: 0,
            failed: 0,
            waiting: Waiting::default(),
            previous: 0,
            previous_until: None,
        }
    }

    /// Counts it; its line where it has one: in a dry run what would move, and always what could not.
    pub(super) fn add(&mut self, moved: &Moved) -> Option<String> {
        let (key, from) = (&moved.reported.row.key, backend(&moved.reported));
        let named = format!("credential {} of agent {}", key.credential_id(), key.client_id());
        match &moved.outcome {
            MoveOutcome::Moved | MoveOutcome::WouldMove => {
                self.note_previous(moved);
                let line = self.dry_run.then(|| format!("{named} would move from {from} to {}", self.to));
                *self.moved.entry(from).or_default() += 1;
                line
            }
            MoveOutcome::AlreadyThere => {
                self.note_previous(moved);
                self.there += 1;
                None
            }
            MoveOutcome::NeedsItsClient => {
                self.waiting.add(&moved.reported);
                None
            }
            MoveOutcome::Excepted => {
                self.excepted += 1;
                None
            }
            MoveOutcome::ChangedMeanwhile => {
                self.changed += 1;
                Some(format!("{named} was being changed, and did not move from {from}"))
            }
            MoveOutcome::Failed(error) => {
                self.failed += 1;
                Some(format!("{named} cannot move from {from}: {}", chain(error)))
            }
            other => {
                self.failed += 1;
                Some(format!("{named} did not move from {from}: {other:?}"))
            }
        }
    }

    fn note_previous(&mut self, moved: &Moved) {
        let counts = |(at, until): &(_, SystemTime)| *until > self.now && ToString::to_string(at) != self.to;
        if let Some((_, until)) = moved.previous_stays().filter(counts) {
            self.previous += 1;
            self.previous_until = self.previous_until.max(Some(until));
        }
    }

    /// Whether everything was moved that can be.
    pub(super) fn is_complete(&self) -> bool {
        self.failed + self.changed == 0
    }

    pub(super) fn tell(&self, lines: &mut Lines) {
        for line in self.waiting.lines() {
            lines.print(line);
        }
        if let Some(until) = self.previous_until {
            let (previous, until) = (self.previous, text(until));
            lines.print(format_args!(
                "{previous} previous secrets stay where they are until their overlaps end, the last at {until}"
            ));
        }
        let moved: u64 = self.moved.values().sum();
        let from: Vec<_> = self.moved.iter().map(|(from, count)| format!("{count} from {from}")).collect();
        let from = if moved == 0 { String::new() } else { format!(" ({})", from.join(", ")) };
        let verb = if self.dry_run { "would move" } else { "moved" };
        let excepted =
            if self.excepted == 0 { String::new() } else { format!("{} stay by UPGRADE_EXCEPT, ", self.excepted) };
        let Self { to, there, changed, failed, .. } = self;
        let waiting = self.waiting.count;
        let end = if self.dry_run { "; nothing was changed" } else { "" };
        lines.print(format_args!(
            "{moved} {verb} to {to}{from}, {there} are there already, {waiting} need their clients, {excepted}{changed} were being changed, \
             {failed} failed{end}"
        ));
    }
}
