//! How long a request waits for its audit event.

/// When a request is answered that leaves an audit event and changes nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each mode")]
pub enum AuditMode {
    /// When the event is durable. Without its event no token goes out.
    #[default]
    Sync,
    /// At once. A process that is killed loses what was not written yet, 4096 events at most; an orderly stop writes them.
    /// While the database is out of reach they are kept, and further ones wait.
    Async,
}
