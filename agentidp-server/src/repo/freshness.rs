//! How current a client's rows are.

use std::sync::Arc;

use super::Authentication;

/// How current the rows have to be that a caller asks for.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a repository must serve each of them")]
pub enum Freshness {
    /// Rows in memory will do, where they may be served. They may lack the last moment's changes.
    Cached,
    /// Only a read of the database that began after these rows were served. Callers that wait for
    /// the same client share one.
    After(AsOf),
    /// Only a read of the database that begins now.
    Latest,
}

/// The rows of a client, and how current they are.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "built by repositories and by tests")]
pub struct ClientRows {
    /// The rows; none when there is no such client.
    pub known: Option<Arc<Authentication>>,
    /// Up to when changes are in them.
    pub as_of: AsOf,
    /// Whether they were in memory already, so that the database may have newer ones.
    pub from_memory: bool,
}

impl ClientRows {
    /// Rows that were read for this caller, by a repository that counts no changes.
    #[must_use]
    pub fn read(known: Option<Arc<Authentication>>) -> Self {
        Self { known, as_of: AsOf::default(), from_memory: false }
    }
}

/// A moment in the life of a client's rows: when their read began, or when memory served them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsOf {
    pub(super) epoch: Epoch,
    /// How many reads had begun in this process by then, the rows' own included.
    pub(super) reads: u64,
}

impl AsOf {
    /// Whether this read began after the other rows were read or served.
    pub(super) fn is_after(self, other: Self) -> bool {
        self.reads > other.reads
    }
}

/// The changes that a process has made to a client or heard of. The counts begin again after four
/// thousand million changes, which no read lasts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch {
    /// How often everything was forgotten.
    pub(super) generation: u32,
    pub(super) client: u32,
}
