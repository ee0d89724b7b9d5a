//! What became of each credential of a bulk move.

use std::time::SystemTime;

use crate::error::Error;
use crate::lifecycle::report::Reported;
use crate::record::BackendId;
use crate::store::Generation;

/// A credential of a bulk move.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Moved {
    /// As it was when the move came to it: its row, with its last use.
    pub reported: Reported,
    /// What became of it.
    pub outcome: MoveOutcome,
}

/// What became of a credential of a bulk move.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum MoveOutcome {
    /// The primary backend keeps its secret now.
    Moved,
    /// It would move: this is a dry run.
    WouldMove,
    /// The primary backend keeps its secret already.
    AlreadyThere,
    /// Only a digest of its secret is kept: it moves when its client logs in, or by a rotation.
    NeedsItsClient,
    /// The [upgrade policy](crate::lifecycle::UpgradePolicy::except) leaves the records of its client as they are.
    Excepted,
    /// Another change of it was under way, or it has ended. The next move finds it as it is then.
    ChangedMeanwhile,
    /// It could not be moved, for this reason. It works, or fails, as before.
    Failed(Error),
}

impl Moved {
    /// Which backend keeps its previous secret, and until when: it stays there until the end of its overlap. None where there is no
    /// previous secret. Its time may be over.
    #[must_use]
    pub fn previous_stays(&self) -> Option<(&BackendId, SystemTime)> {
        let previous = self.reported.row.secrets.as_ref()?.previous.as_ref()?;
        Some((self.reported.owner_of(Generation::Previous)?, previous.valid_until))
    }
}
