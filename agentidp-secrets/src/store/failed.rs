//! What errors of backends become.

use crate::error::{Error, Operation};
use crate::record::BackendId;

/// Every error that leaves the store names the user's verb and the backend, whatever the backend has said.
pub(super) fn failed(operation: Operation, backend: &BackendId) -> impl Fn(Error) -> Error {
    move |error| error.with_operation(operation).with_backend(backend.clone())
}
