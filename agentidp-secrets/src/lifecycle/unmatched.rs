//! What the adopter chooses for keys that come without a client id.

/// What it means that a key finds no row, while there are rows that no key finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one or the other")]
pub enum Unmatched {
    /// The key is wrong. The owner of a row that was not found yet has to authenticate with its client id once.
    Wrong,
    /// Nobody knows: the key may be that of such a row. It is an error, and never a refusal.
    Undecided,
}

/// What the adopter has chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct BareKeys {
    pub(super) unmatched: Unmatched,
    /// How many clients of rows that no key finds are tried.
    pub(super) scan: usize,
}
