//! Forms of the protocol that were refuted, for the proof that the simulation finds them. Only feature `testkit` can set one.

/// A form of the protocol that was refuted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    not(any(test, feature = "testkit")),
    expect(unreachable_pub, reason = "with feature `testkit` it is reached")
)]
pub enum Flaw {
    /// Each write goes on top of what others have left, until the version that counts is evicted.
    WritesOnTop,
    /// A place that a credential has left is deleted, and it may come back.
    DeletesLeftPlaces,
    /// The same, and a move back waits for as long as the deletion is expected to take.
    WaitsForDeletions,
    /// An upgrade that was not committed deletes what it has written.
    DeletesLostUpgrades,
    /// A record that means "the latest" is not pinned before something is written over it.
    PinsNothing,
    /// Compare-and-set on the text of a row, which in an older form never matches.
    ComparesOlderForms,
    /// Compare-and-set on the current record alone.
    ComparesCurrentRecords,
    /// What lies at a place that a credential moves to is taken as the new secret.
    AdoptsWhatIsThere,
    /// An open write notes the digest of its own secret only.
    NotesOneDigest,
    /// A commit counts although its open write has passed to another.
    RedeemsNothing,
    /// A deletion is not repeated.
    DeletesOnce,
    /// A secret that was read is moved over whatever the row holds by then.
    MovesOverRotations,
    /// Of the uses before and after a rotation, the later one alone is noted.
    NotesOneTime,
    /// Overlaps end by the time of their rotation, whoever uses the previous secret.
    EndsUsedOverlaps,
    /// A comparison deletes what no row vouches for.
    DeletesUnknownPlaces,
    /// A database that may be a copy rotates until what the original vouches for is evicted.
    PushesOutInDoubt,
    /// A write to another place forgets that the current secret was just being written anew, and known by that alone.
    ForgetsRepairs,
    /// A secret that was never shown is replaced as in any rotation, which is the end of the previous one.
    RetriesEndOverlaps,
    /// Whether a secret is unused is asked before it is replaced, and not once more at the commit.
    ReplacesUsed,
    /// A first use that is noted while the row is being written is written over.
    ForgetsFirstUses,
}
