//! Reads a stored digest and bounds what it asks for.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Params, Version};

use crate::backends::forms;
use crate::error::{Error, ErrorKind, Result};
use crate::record::StoredSecret;

/// What a stored digest may ask for.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) memory_kib: u32,
    pub(super) iterations: u32,
    pub(super) parallelism: u32,
}

/// A digest within the bounds.
pub(super) struct Stored {
    /// Whether other software wrote something around it.
    pub(super) is_wrapped: bool,
    pub(super) algorithm: Algorithm,
    pub(super) version: Version,
    pub(super) params: Params,
    pub(super) salt: Vec<u8>,
    pub(super) output: Vec<u8>,
}

/// What a digest asks for, for a report.
pub(super) fn parameters(stored: &StoredSecret) -> Option<String> {
    let digest = PasswordHash::new(forms::argon2_in(stored.payload())?).ok()?;
    let params = Params::try_from(&digest).ok()?;
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    Some(format!("{},m={memory},t={passes},p={lanes}", digest.algorithm.as_str()))
}

impl Bounds {
    /// Shortest output in bytes that is compared.
    const LEAST_OUTPUT_LEN: usize = 16;

    /// Parses the whole digest and bounds its parameters, before any memory is taken or work is done.
    pub(super) fn read(&self, text: &str) -> Result<Stored> {
        let bare = forms::argon2_in(text).ok_or_else(damaged)?;
        let digest = PasswordHash::new(bare).map_err(|_| damaged())?;
        let params = Params::try_from(&digest).map_err(|_| damaged())?;
        let algorithm = Algorithm::new(digest.algorithm.as_str()).map_err(|_| damaged())?;
        // A digest without a version is of version 16: the field came with version 19.
        let version = digest.version.map_or(Ok(Version::V0x10), Version::try_from).map_err(|_| damaged())?;
        // Key id and associated data left the standard; nobody we know of writes them.
        if !params.keyid().is_empty() || !params.data().is_empty() {
            return Err(damaged());
        }
        let (Some(salt), Some(output)) = (digest.salt, digest.hash) else { return Err(damaged()) };
        if output.len() < Self::LEAST_OUTPUT_LEN {
            return Err(damaged());
        }
        let asked = [
            ("KiB of memory", params.m_cost(), self.memory_kib, "max_stored_memory_kib"),
            ("passes", params.t_cost(), self.iterations, "max_stored_iterations"),
            ("lanes", params.p_cost(), self.parallelism, "max_stored_parallelism"),
        ];
        if let Some((what, asked, most, setting)) = asked.into_iter().find(|(_, asked, most, _)| asked > most) {
            let message = format!(
                "the argon2 digest asks for {asked} {what}, and {most} is the most that is computed; raise \
                 `Argon2idBuilder::{setting}` or rotate the credential"
            );
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        let (salt, output) = (salt.to_vec(), output.as_bytes().to_vec());
        Ok(Stored { is_wrapped: bare != text, algorithm, version, params, salt, output })
    }
}

/// Shows the parameters, and neither salt nor output.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Malformed, "the argon2 digest is damaged; rotate the credential")
}
