//! Whether the database is itself.

use super::fault::Fault;
use super::world::Shared;
use crate::lifecycle::Gate;
use crate::record::BackendId;

/// Open while this database is itself: what the comparison of its identity with the folder's entry comes to.
pub(super) struct Identity(pub(super) Shared);

impl Identity {
    fn agrees(&self) -> bool {
        let world = self.0.lock();
        world.is_itself || world.fault == Some(Fault::OpenAfterRestore)
    }
}

impl Gate for Identity {
    fn may_delete(&self, _at: &BackendId) -> bool {
        self.agrees()
    }

    fn may_adopt(&self, _at: &BackendId) -> bool {
        self.agrees()
    }

    fn may_push_out(&self, _at: &BackendId) -> bool {
        self.agrees() || self.0.lock().setting.cannot_compare
    }
}
