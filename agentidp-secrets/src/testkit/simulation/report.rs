//! What came of a schedule.

use std::fmt;
use std::ops::AddAssign;

/// How much was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Schedules.
    pub schedules: u64,
    /// Times that a task went on.
    pub steps: u64,
    /// Times that the rules were looked at.
    pub checks: u64,
    /// Changes that callers asked for.
    pub operations: u64,
    /// Logins.
    pub logins: u64,
    /// Comparisons of the rows with the mounts.
    pub comparisons: u64,
    /// Secrets that were moved without their clients.
    pub moves: u64,
    /// Writes of what processes have noted of uses.
    pub uses_written: u64,
    /// Overlaps that ended because no client used the previous secret.
    pub overlaps_ended: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Requests and commits that were carried out after their caller had given up, or a second time.
    pub late: u64,
    /// Calls that waited, and processes that stood still.
    pub pauses: u64,
    /// Commits whose outcome was unknown.
    pub unknown_commits: u64,
    /// Calls that the database failed.
    pub failures: u64,
    /// Jumps of the clock.
    pub jumps: u64,
    /// Times that the database or a mount was put back to an earlier moment.
    pub restores: u64,
    /// Rotations that were asked of a clone of the database.
    pub rotated_by_clones: u64,
    /// Secrets that were never used, and were replaced for a retry.
    pub replaced: u64,
    /// Looks at which a current secret was written anew and not yet pinned again.
    pub gaps: u64,
}

/// A rule that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// What was seen instead.
    pub what: String,
    /// What happened until then, where it was asked for.
    pub history: Vec<String>,
}

impl Violation {
    pub(super) fn of(rule: &'static str) -> Self {
        Self { rule, what: String::new(), history: Vec::new() }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.checks += other.checks;
        self.operations += other.operations;
        self.logins += other.logins;
        self.comparisons += other.comparisons;
        self.moves += other.moves;
        self.uses_written += other.uses_written;
        self.overlaps_ended += other.overlaps_ended;
        self.crashes += other.crashes;
        self.late += other.late;
        self.pauses += other.pauses;
        self.unknown_commits += other.unknown_commits;
        self.failures += other.failures;
        self.jumps += other.jumps;
        self.restores += other.restores;
        self.rotated_by_clones += other.rotated_by_clones;
        self.replaced += other.replaced;
        self.gaps += other.gaps;
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.history {
            writeln!(f, "{line}")?;
        }
        write!(f, "{}: {}", self.rule, self.what)
    }
}

impl std::error::Error for Violation {}
