//! Forms of the protocol that were refuted.

use crate::lifecycle::Flaw;

/// A form of the protocol that was refuted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Within the library.
    Library(Flaw),
    /// The caller answers a login without the last look.
    NoSecondLook,
    /// A clone of the database has the backends forget what it owes, although it is not itself.
    NoGate,
    /// A database goes on deleting and taking over when it, or a mount, was put back to an earlier moment.
    OpenAfterRestore,
    /// Leases and overlaps run by the clocks of replicas, which are apart.
    ClocksOfReplicas,
}

impl Fault {
    /// The flaw that the library is given.
    pub(super) fn in_the_library(self) -> Option<Flaw> {
        match self {
            Self::Library(flaw) => Some(flaw),
            Self::NoSecondLook | Self::NoGate | Self::OpenAfterRestore | Self::ClocksOfReplicas => None,
        }
    }
}
