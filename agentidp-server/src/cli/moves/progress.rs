//! How far a move has come: a bar on a terminal, a line every ten seconds elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentidp_secrets::Clock;
use agentidp_secrets::lifecycle::MoveOutcome;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::app::App;

const PERIOD: Duration = Duration::from_secs(10);

/// On standard error, where it is in no pipe's way.
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines(Steps),
    None,
}

pub(super) struct Steps {
    clock: Arc<dyn Clock>,
    total: u64,
    done: u64,
    moved: u64,
    begun: Instant,
    told: Instant,
}

impl Progress {
    pub(super) fn new(app: &App, total: Option<u64>) -> Self {
        let Some(total) = total else { return Self::None };
        if io::stderr().is_terminal() {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len}, {per_sec}, {eta} left") {
                bar.set_style(style);
            }
            return Self::Bar(bar);
        }
        let now = app.clock.instant();
        let clock = Arc::clone(&app.clock);
        Self::Lines(Steps { clock, total, done: 0, moved: 0, begun: now, told: now })
    }

    /// One more credential was looked at.
    pub(super) fn step(&mut self, outcome: &MoveOutcome) {
        match self {
            Self::Bar(bar) => bar.inc(1),
            Self::Lines(steps) => steps.step(outcome),
            Self::None => {}
        }
    }

    pub(super) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Steps {
    fn step(&mut self, outcome: &MoveOutcome) {
        self.done += 1;
        self.moved += u64::from(matches!(outcome, MoveOutcome::Moved));
        let now = self.clock.instant();
        if now.saturating_duration_since(self.told) >= PERIOD {
            self.told = now;
            // Nobody is left to be told if standard error is gone.
            let _ = writeln!(io::stderr(), "{}", self.line(now.saturating_duration_since(self.begun)));
        }
    }

    fn line(&self, elapsed: Duration) -> String {
        let a_second = self.done as f64 / elapsed.as_secs_f64();
        let left = Duration::from_secs((self.total.saturating_sub(self.done) as f64 / a_second) as u64);
        format!(
            "{} of {} looked at, {} moved, {a_second:.0} a second, {} left",
            self.done,
            self.total,
            self.moved,
            HumanDuration(left)
        )
    }
}

#[cfg(test)]
mod tests {
    use agentidp_secrets::SystemClock;

    use super::*;

    #[test]
    fn a_line_says_how_fast_it_goes_and_how_long_it_takes() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let now = clock.instant();
        let steps = Steps { clock, total: 10_000, done: 1_000, moved: 900, begun: now, told: now };
        let line = steps.line(Duration::from_secs(10));
        assert_eq!(line, "1000 of 10000 looked at, 900 moved, 100 a second, 2 minutes left");
    }
}
