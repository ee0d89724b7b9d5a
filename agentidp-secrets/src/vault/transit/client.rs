//! The two calls of the transit engine.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use zeroize::Zeroizing;

use super::answer;
use super::failure::TransitFailure;
use super::site::{TransitSite, Verb};
use super::text::Mac;
use crate::vault::auth::Session;
use crate::vault::wire::Request;

/// The client.
#[derive(Debug)]
pub(super) struct TransitClient {
    pub(super) session: Session,
    pub(super) site: TransitSite,
}

impl TransitClient {
    /// The HMAC of the input under the newest version of the key.
    pub(super) async fn hmac(&self, input: &[u8]) -> Result<Mac, TransitFailure> {
        let request = Request::ask(self.site.path(Verb::Hmac), body(input, None));
        let answer = self.session.send(request).await?;
        answer::made(answer.status, &answer.body)
    }

    /// Whether the HMAC is that of the input.
    pub(super) async fn verify(&self, input: &[u8], mac: &Mac) -> Result<bool, TransitFailure> {
        let request = Request::ask(self.site.path(Verb::Verify), body(input, Some(mac)));
        let answer = self.session.send(request).await?;
        answer::verified(answer.status, &answer.body, mac.version)
    }
}

/// JSON by hand, in one buffer that is wiped: no value in it needs an escape.
fn body(input: &[u8], mac: Option<&Mac>) -> Bytes {
    let input = Zeroizing::new(STANDARD.encode(input));
    let mac = mac.map(|mac| format!(r#","hmac":"{mac}""#)).unwrap_or_default();
    let parts = [r#"{"algorithm":"sha2-256","input":""#, &input, "\"", &mac, "}"];
    let mut body = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| body.extend_from_slice(part.as_bytes()));
    Bytes::from_owner(body)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn requests_are_the_documented_ones() {
        let read = |body: Bytes| serde_json::from_slice::<Value>(&body).unwrap();
        assert_eq!(read(body(b"hello", None)), json!({ "algorithm": "sha2-256", "input": "aGVsbG8=" }));
        let text = "vault:v3:VyrFUhA4ilD0C8eYBCf9tvfu2xMJpI+77uw4K5cQ9xY=";
        let asked = read(body(b"hello", Some(&Mac::parse(text).unwrap())));
        assert_eq!(asked, json!({ "algorithm": "sha2-256", "input": "aGVsbG8=", "hmac": text }));
    }
}
