//! What comes back over a connection: a body of bounded length, or the class of an error.

use std::io;

use zeroize::Zeroizing;

use super::tls;
use crate::vault::cause::Cause;
use crate::vault::failure::Failure;

/// Longest answer that is read. An entry of ours takes under 1 KiB; with what somebody else keeps beside it, it is as long as Vault
/// stores at all: 1 MiB unless `max_entry_size` is set.
pub(super) const MAX_ANSWER: usize = 1024 * 1024 + 64 * 1024;

/// Longest list of names that is read: 100,000 UUIDs.
pub(super) const MAX_LISTING: usize = 4 * 1024 * 1024;

/// What is set aside for an answer that does not say how long it is.
const AT_FIRST: usize = 64 * 1024;

/// Reads the body up to `most` bytes. A buffer that becomes too small is wiped when its content has moved.
pub(super) async fn read_body(mut answer: reqwest::Response, most: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let announced = answer.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(AT_FIRST);
    let mut body = Zeroizing::new(Vec::with_capacity(announced.min(most)));
    while let Some(chunk) = answer.chunk().await.map_err(|error| failure(&error))? {
        if chunk.len() > most - body.len() {
            return Err(Failure::Lost(Cause::Oversized));
        }
        if chunk.len() > body.capacity() - body.len() {
            let mut larger = Zeroizing::new(Vec::with_capacity((2 * (body.len() + chunk.len())).min(most)));
            larger.extend_from_slice(&body);
            body = larger;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The class of a transport error. Nothing else of it is kept: its texts hold the URL.
pub(super) fn failure(error: &reqwest::Error) -> Failure {
    let io_kind = tls::io_kind(error);
    let cause = match io_kind {
        _ if error.is_timeout() && error.is_connect() => Cause::ConnectTimeout,
        _ if error.is_timeout() => Cause::Timeout,
        _ if error.is_dns() => Cause::Dns,
        // No such socket.
        Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) if error.is_connect() => Cause::Refused,
        Some(io::ErrorKind::PermissionDenied) if error.is_connect() => Cause::Forbidden,
        _ => match tls::cause(error) {
            // After the handshake only a refusal of our certificate counts: the server checks it by then.
            Some(cause) if error.is_connect() || cause == Cause::ClientCertificate => cause,
            // How a peer that speaks no TLS shows.
            _ if error.is_connect() && io_kind == Some(io::ErrorKind::InvalidData) => Cause::Tls,
            _ if error.is_connect() => Cause::Other,
            _ => Cause::Cut,
        },
    };
    if error.is_connect() || error.is_builder() { Failure::NotSent(cause) } else { Failure::Lost(cause) }
}
