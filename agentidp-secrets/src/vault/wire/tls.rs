//! Why a connection did not come about, as TLS tells it.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::vault::cause::Cause;

/// What TLS had against a connection; none where it was not TLS.
pub(super) fn cause(error: &(dyn StdError + 'static)) -> Option<Cause> {
    let refusal = innermost_io(error)?.get_ref()?.downcast_ref::<TlsError>()?;
    Some(match refusal {
        TlsError::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Cause::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Cause::OtherName,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Cause::Expired,
            // The verifier's own error, which has no name here.
            CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => Cause::CaAsServer,
            _ => Cause::Tls,
        },
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnsupportedCertificate,
        ) => Cause::ClientCertificate,
        _ => Cause::Tls,
    })
}

/// The innermost I/O error's kind.
pub(super) fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    innermost_io(error).map(io::Error::kind)
}

/// Connectors wrap one I/O error into another, where `source` does not find it.
fn innermost_io<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let outer = std::iter::successors(error.source(), |error| (**error).source()).find_map(as_io)?;
    std::iter::successors(Some(outer), |error| error.get_ref().and_then(|inner| as_io(inner))).last()
}

fn as_io<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    error.downcast_ref()
}
