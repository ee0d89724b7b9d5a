//! Keys of your own form: prints as many as you ask for, one a line.
//!
//! `cargo run --example own_keys -- 3`

use std::error::Error;
use std::io::{Write as _, stdout};

use agentidp_secrets::{CredentialId, SecretFormat};

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = std::env::args().nth(1).map_or(Ok(3), |wanted| wanted.parse())?;
    let format = SecretFormat::builder("acme_").digits(32).checksum().build()?;
    let mut out = stdout().lock();
    writeln!(out, "# {} bits of entropy; found by {}", format.entropy(), format.pattern())?;
    for number in 0..wanted {
        let key = format.generate(&CredentialId::parse(&format!("credential-{number}"))?)?;
        // Shown once, to its owner. Never to a log.
        writeln!(out, "{}", key.expose_secret())?;
    }
    Ok(())
}
