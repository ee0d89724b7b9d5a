//! Whether this database may be believed: what was cloned or restored deletes and takes over nothing.

use crate::record::BackendId;

/// Whether places may be deleted and left versions be taken over: a database that was cloned or restored must not. Asked before
/// each deletion, of the backend that it is for: each has its own answer where a store has several.
pub trait Gate: Send + Sync + 'static {
    /// Whether this database is the one that wrote the places it knows of at the backend.
    fn may_delete(&self, at: &BackendId) -> bool;

    /// Whether what was noted here of a write to the backend was never committed elsewhere. While it may have been, a login moves no
    /// secret to the backend either: what lies there would be written over.
    fn may_adopt(&self, at: &BackendId) -> bool;
}
