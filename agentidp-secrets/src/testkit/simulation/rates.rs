//! How often what goes wrong, in one schedule. Half of the faults are left out of each, so that all mixtures come up.

use std::time::Duration;

use super::chance::Chance;

/// Of a thousand calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    /// Another task goes on first.
    pub(super) switch: u32,
    /// The call waits.
    pub(super) pause: u32,
    /// The whole process stands still.
    pub(super) freeze: u32,
    /// The process dies.
    pub(super) crash: u32,
    /// The database fails a call, and nothing is changed.
    pub(super) ledger: u32,
    /// Nobody knows whether a commit was carried out.
    pub(super) unknown: u32,
    /// The caller's own part of a change refuses.
    pub(super) refused: u32,
    /// The backend says that it did nothing.
    pub(super) denied: u32,
    /// A request does not arrive.
    pub(super) lost: u32,
    /// A request is carried out, and its answer does not arrive.
    pub(super) unanswered: u32,
    /// A request is carried out after its caller has given up.
    pub(super) late: u32,
    /// A request is carried out twice.
    pub(super) twice: u32,
    /// A standby answers.
    pub(super) standby: u32,
    /// A caller hangs up.
    pub(super) hang_up: u32,
    /// The clock jumps, between two operations.
    pub(super) jump: u32,
    /// Everything is backed up or something is put back, between two operations.
    pub(super) restore: u32,
}

impl Rates {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let mut rate = |of: &[u64]| {
            let is_left_out = chance.happens(500);
            let rate = u32::try_from(chance.one_of(of)).unwrap_or(0);
            if is_left_out { 0 } else { rate }
        };
        Self {
            pause: rate(&[5, 20, 60]),
            freeze: rate(&[2, 6]),
            crash: rate(&[2, 5, 20]),
            ledger: rate(&[4, 15]),
            unknown: rate(&[40, 200]),
            refused: rate(&[50, 300]),
            denied: rate(&[20, 100]),
            lost: rate(&[20, 100]),
            unanswered: rate(&[30, 200]),
            late: rate(&[30, 150, 400]),
            twice: rate(&[20, 100]),
            standby: rate(&[50, 300]),
            hang_up: rate(&[50, 200]),
            jump: rate(&[50, 200]),
            restore: if chance.happens(100) { 200 } else { 0 },
            switch: u32::try_from(chance.one_of(&[50, 200, 500])).unwrap_or(0),
        }
    }

    /// Nothing goes wrong any more, and only the order is left to chance.
    pub(super) fn calm() -> Self {
        Self { switch: 100, ..Self::default() }
    }
}

/// How long a call waits: mostly less than a lease, and sometimes longer than each of them.
pub(super) fn pause(chance: &mut Chance) -> Duration {
    Duration::from_millis(chance.one_of(&[1, 20, 300, 2_500, 9_000, 32_000, 65_000, 700_000]))
}

/// How late a request is carried out: at the most two hours, so that one of the repeated deletions comes after it.
pub(super) fn lateness(chance: &mut Chance) -> Duration {
    Duration::from_millis(chance.one_of(&[1, 500, 4_000, 12_000, 40_000, 70_000, 130_000, 1_000_000, 7_000_000]))
}
