//! Sequences that no client can cut.

use tracing::Instrument;

use crate::error::ApiError;

/// How often a change starts over because somebody else changed the same row meanwhile. Each loss is another's gain, so it
/// takes that many others at once to use them up.
pub(super) const ATTEMPTS: usize = 5;

/// Runs a sequence to its end, also when nobody waits for it any more.
pub(super) async fn uncut<T: Send + 'static>(
    sequence: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::spawn(sequence.in_current_span()).await {
        Ok(outcome) => outcome,
        Err(ended) => Err(ApiError::internal(ended)),
    }
}
