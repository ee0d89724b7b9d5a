//! Reads the transit engine's answers.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::failure::TransitFailure;
use super::site::Verb;
use super::text::Mac;
use crate::vault::failure::Failure;
use crate::vault::rights::Right;
use crate::vault::wire::answer::{Envelope, failure, parse, says};

#[derive(Deserialize)]
struct Made {
    hmac: String,
}

#[derive(Deserialize)]
struct Verified {
    valid: bool,
}

/// The HMAC in an answer.
pub(super) fn made(status: u16, body: &[u8]) -> Result<Mac, TransitFailure> {
    let made: Made = data(status, body, Verb::Hmac, 0)?;
    Mac::parse(&made.hmac).ok_or(Failure::Foreign(status).into())
}

/// Whether the HMAC of this version of the key is right.
pub(super) fn verified(status: u16, body: &[u8], version: u64) -> Result<bool, TransitFailure> {
    let verified: Verified = data(status, body, Verb::Verify, version)?;
    Ok(verified.valid)
}

/// Vault tells these cases apart by text only. The texts are those of OpenBao 2.7 and of HashiCorp Vault.
fn data<T: DeserializeOwned>(status: u16, body: &[u8], verb: Verb, version: u64) -> Result<T, TransitFailure> {
    let says = |text| says(body, text);
    Err(match status {
        200 => {
            let data = parse::<Envelope<T>>(body).and_then(|envelope| envelope.data);
            return data.ok_or(Failure::Foreign(status).into());
        }
        400 if says("key not found") => TransitFailure::NoKey,
        400 if says("version is too old") || says("no such key version") => TransitFailure::TooOld(version),
        400 if says("version is too new") => TransitFailure::TooNew(version),
        405 => TransitFailure::OtherEngine,
        _ => match failure(status, body, Right::Update) {
            Failure::Denied(_) => TransitFailure::Denied(verb),
            // What other engines say to paths that they do not have.
            Failure::Foreign(404) if says_nothing(body) => TransitFailure::OtherEngine,
            failure => failure.into(),
        },
    })
}

/// Whether it is an answer of Vault's without data.
fn says_nothing(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Warned {
        #[expect(dead_code, reason = "that it is there tells whose answer it is")]
        request_id: String,
        #[expect(dead_code, reason = "the same")]
        warnings: Vec<String>,
    }
    parse::<Warned>(body).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_engine_are_told_apart() {
        let refused =
            |status, text: &str| verified(status, format!(r#"{{"errors":["{text}"]}}"#).as_bytes(), 2).unwrap_err();
        // As OpenBao 2.7.2 has them.
        assert_eq!(refused(400, "encryption key not found"), TransitFailure::NoKey);
        let too_old = "cannot verify HMAC: version is too old (disallowed by policy)";
        assert_eq!(refused(400, too_old), TransitFailure::TooOld(2));
        assert_eq!(refused(400, "invalid HMAC: version is too new"), TransitFailure::TooNew(2));
        assert_eq!(
            refused(403, "1 error occurred:\\n\\t* permission denied\\n\\n"),
            TransitFailure::Denied(Verb::Verify)
        );
        assert_eq!(refused(403, "permission denied"), Failure::TokenDead.into());
        assert_eq!(refused(405, "1 error occurred:\\n\\t* unsupported operation\\n\\n"), TransitFailure::OtherEngine);
        assert_eq!(refused(404, "no handler for route"), Failure::NoRoute.into());
        assert_eq!(refused(503, "Vault is sealed"), Failure::Sealed.into());
        assert_eq!(refused(400, "something else"), Failure::Rejected(400).into());
        let of_kv =
            br#"{"request_id":"r","data":null,"warnings":["Invalid path for a versioned K/V secrets engine."]}"#;
        assert_eq!(verified(404, of_kv, 2), Err(TransitFailure::OtherEngine));
        assert_eq!(verified(404, b"<html>", 2), Err(Failure::Foreign(404).into()));
    }

    #[test]
    fn a_success_that_is_not_vaults_is_no_answer() {
        for body in
            ["", "<html>", "{}", r#"{"data":null}"#, r#"{"data":{"valid":1}}"#, r#"{"data":{"hmac":"vault:v1:AA=="}}"#]
        {
            assert_eq!(verified(200, body.as_bytes(), 1), Err(Failure::Foreign(200).into()), "{body}");
            assert_eq!(made(200, body.as_bytes()), Err(Failure::Foreign(200).into()), "{body}");
        }
        assert_eq!(verified(200, br#"{"data":{"valid":false}}"#, 1), Ok(false));
    }
}
