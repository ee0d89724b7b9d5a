//! Which failure is which code.

use agentidp_secrets::Error;

use super::*;
use crate::keys::SignError;

#[test]
fn the_verb_tells_reads_from_writes() {
    let table = [
        (ErrorKind::Unavailable, Some(Operation::Verify), "VAULT_READ_ERROR"),
        (ErrorKind::Denied, Some(Operation::Verify), "VAULT_READ_ERROR"),
        (ErrorKind::NotFound, Some(Operation::Verify), "VAULT_READ_ERROR"),
        (ErrorKind::UnknownBackend, Some(Operation::Verify), "VAULT_READ_ERROR"),
        (ErrorKind::UnknownBackend, None, "VAULT_READ_ERROR"),
        (ErrorKind::Unavailable, Some(Operation::Store), "VAULT_WRITE_ERROR"),
        (ErrorKind::Denied, Some(Operation::Rotate), "VAULT_WRITE_ERROR"),
        (ErrorKind::UnknownBackend, Some(Operation::Rotate), "VAULT_WRITE_ERROR"),
        (ErrorKind::Unavailable, Some(Operation::Revoke), "VAULT_WRITE_ERROR"),
        (ErrorKind::Throttled, Some(Operation::Verify), "SERVICE_UNAVAILABLE"),
        (ErrorKind::Malformed, Some(Operation::Verify), "INTERNAL_SERVER_ERROR"),
        (ErrorKind::Internal, Some(Operation::Store), "INTERNAL_SERVER_ERROR"),
    ];
    for (kind, operation, code) in table {
        let error = Error::new(kind, "");
        let error = match operation {
            Some(operation) => error.with_operation(operation),
            None => error,
        };
        assert_eq!(ApiError::vault(error).code(), code, "{kind} {operation:?}");
    }
    let elsewhere = Error::new(ErrorKind::Malformed, "").with_backend(BackendId::VAULT_KV2);
    assert_eq!(ApiError::vault(elsewhere.with_operation(Operation::Verify)).code(), "VAULT_READ_ERROR");
    for kind in [ErrorKind::InvalidConfig, ErrorKind::UnknownBackend] {
        for (backend, code) in
            [(BackendId::KEYED_DIGEST, "INTERNAL_SERVER_ERROR"), (BackendId::VAULT_KV2, "VAULT_READ_ERROR")]
        {
            let error = Error::new(kind, "").with_backend(backend).with_operation(Operation::Verify);
            assert_eq!(ApiError::vault(error).code(), code, "{kind}");
        }
    }
}

#[test]
fn too_many_tokens_at_once_are_no_fault() {
    assert_eq!(ApiError::from(SignError::Busy).status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ApiError::from(SignError::Failed).status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn no_internal_detail_reaches_the_message() {
    let error = ApiError::internal("canary: connection to 10.0.0.1 refused");
    assert!(!error.to_string().contains("canary"));
    let error = ApiError::vault(Error::new(ErrorKind::Unavailable, "canary").with_operation(Operation::Verify));
    assert!(!error.to_string().contains("canary"));
}
