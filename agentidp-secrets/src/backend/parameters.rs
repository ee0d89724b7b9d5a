//! How a record was made, for a report.

use std::fmt;

use crate::record::StoredSecret;

pub(super) type Read = fn(&StoredSecret) -> Option<String>;

/// Reads a record's parameters.
#[derive(Clone, Copy, Default)]
pub(super) struct Parameters(Option<Read>);

impl Parameters {
    pub(super) fn read_by(read: Read) -> Self {
        Self(Some(read))
    }

    pub(super) fn of(self, stored: &StoredSecret) -> Option<String> {
        self.0.and_then(|read| read(stored))
    }
}

impl PartialEq for Parameters {
    fn eq(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            (Some(one), Some(other)) => std::ptr::fn_addr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl Eq for Parameters {}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "told" } else { "none" })
    }
}
