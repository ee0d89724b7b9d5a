//! What the protocol has noted of a credential, and how that changes. No waiting here, and no asking: each function is a step
//! that a ledger's transaction carries out.

mod debts;
mod open;
mod parts;

pub(super) use self::debts::Claim;
pub(super) use self::open::Opened;
pub use self::parts::{Debt, DebtKind, Note, OpenWrite, OpenWriteKind};

#[cfg(test)]
mod tests;
