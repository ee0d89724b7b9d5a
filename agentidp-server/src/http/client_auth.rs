//! What a client presents to authenticate: its secret, by form or by Basic (RFC 6749 §2.3.1), never both.

use agentidp_secrets::ClientSecret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use zeroize::Zeroizing;

use super::authorization::of_scheme;
use super::form::{self, Form};

/// Why a request with two methods is refused (RFC 6749 §2.3).
pub(crate) const ONE_METHOD: &str = "authenticate in one way: by Basic, by the form, or by a bearer token";

/// What a client presents.
#[derive(Debug)]
pub(crate) struct ClientCredentials {
    /// Who it claims to be, as it wrote it.
    pub(crate) client_id: String,
    /// What is to prove it.
    pub(crate) secret: ClientSecret,
    /// Whether it used Basic: then a refusal has to carry a challenge.
    pub(crate) basic: bool,
}

/// Why nothing usable was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuthError {
    /// A parameter is missing, or both ways were used at once; the text is the client's.
    InvalidRequest(&'static str),
    /// The `Authorization` header is no Basic credential.
    InvalidBasic,
}

impl ClientCredentials {
    /// Whether an `Authorization` header is of the scheme Basic.
    pub(crate) fn is_basic(headers: &HeaderMap) -> bool {
        headers.get_all(AUTHORIZATION).iter().any(|value| of_scheme(value.as_bytes(), "basic").is_some())
    }

    /// Whether the form holds what proves a client.
    pub(crate) fn is_in(form: &Form) -> bool {
        ["client_secret", "client_assertion", "client_assertion_type"].iter().any(|name| form.get(name).is_some())
    }

    /// Reads the credentials of a request.
    pub(crate) fn read(headers: &HeaderMap, form: &Form) -> Result<Self, ClientAuthError> {
        use ClientAuthError::{InvalidBasic, InvalidRequest};
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (client_id, secret) = (form.get("client_id"), form.get("client_secret"));
        let asserts = form.get("client_assertion").or_else(|| form.get("client_assertion_type")).is_some();
        if asserts && (secret.is_some() || headers.contains_key(AUTHORIZATION)) {
            return Err(InvalidRequest(ONE_METHOD));
        }
        let Some(header) = values.next() else {
            let client_id = client_id.ok_or(InvalidRequest("client_id is missing"))?;
            let secret = secret.ok_or(InvalidRequest("client_secret is missing"))?;
            return Ok(Self { client_id: client_id.to_owned(), secret: ClientSecret::from(secret), basic: false });
        };
        if values.next().is_some() {
            return Err(InvalidRequest("the Authorization header is repeated"));
        }
        if secret.is_some() {
            return Err(InvalidRequest(ONE_METHOD));
        }
        let basic = Self::from_basic(header.as_bytes()).ok_or(InvalidBasic)?;
        // RFC 6749 §3.2.1 lets a client name itself in the form beside authenticating.
        if client_id.is_some_and(|named| named != basic.client_id) {
            return Err(InvalidRequest("client_id differs from the one in the Authorization header"));
        }
        Ok(basic)
    }

    /// Each half is form-encoded before both are joined and base64-encoded.
    fn from_basic(header: &[u8]) -> Option<Self> {
        let decoded = Zeroizing::new(STANDARD.decode(of_scheme(header, "basic")?).ok()?);
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let client_id = form::decode(&decoded[..colon]).ok()?;
        let secret = form::decode(&decoded[colon + 1..]).ok()?;
        let complete = !client_id.is_empty() && !secret.is_empty();
        complete.then(|| Self {
            client_id: client_id.to_string(),
            secret: ClientSecret::from(secret.as_str()),
            basic: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(authorization: &[&str], body: &str) -> Result<(String, String, bool), ClientAuthError> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        let found = ClientCredentials::read(&headers, &Form::parse(body.as_bytes()).ok().unwrap())?;
        Ok((found.client_id, found.secret.expose_secret().to_owned(), found.basic))
    }

    fn basic(text: &[u8]) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn both_ways_are_read_and_basic_is_form_decoded() {
        let form = read_all(&[], "client_id=a&client_secret=s%2Bt").unwrap();
        assert_eq!(form, ("a".to_owned(), "s+t".to_owned(), false));
        let expected = ("a:b".to_owned(), "s+t u".to_owned(), true);
        assert_eq!(read_all(&[&basic(b"a%3Ab:s%2Bt+u")], "").unwrap(), expected);
        assert_eq!(read_all(&[&basic(b"a%3Ab:s%2Bt+u")], "client_id=a%3Ab").unwrap(), expected);
        assert_eq!(read_all(&[&basic(b"a:b:c")], "").unwrap().1, "b:c", "the first colon divides");
        let spaced = basic(b"a%3Ab:s%2Bt+u").replace("Basic ", "basic   ");
        assert_eq!(read_all(&[&spaced], "").unwrap(), expected, "RFC 9110 §11.4");
    }

    #[test]
    fn missing_and_doubled_authentication_is_an_invalid_request() {
        let header = basic(b"a:s");
        for (authorization, body) in [
            (&[][..], ""),
            (&[], "client_id=a"),
            (&[], "client_secret=s"),
            (&[], "client_id=a&client_secret="),
            (&[header.as_str()], "client_id=a&client_secret=s"),
            (&[header.as_str()], "client_secret=s"),
            (&[header.as_str()], "client_id=b"),
            (&[header.as_str(), header.as_str()], ""),
            (&[], "client_id=a&client_secret=s&client_assertion=x"),
            (&[], "client_id=a&client_secret=s&client_assertion_type=x"),
            (&[header.as_str()], "client_assertion=x"),
            (&[], "client_id=a&client_assertion=x"),
        ] {
            let refused = read_all(authorization, body);
            assert!(matches!(refused, Err(ClientAuthError::InvalidRequest(_))), "{authorization:?} {body}");
        }
    }

    #[test]
    fn bad_basic_is_told_apart() {
        for text in [&b""[..], b"a", b":", b"a:", b":s", b"a:%zz", b"\xff:s", b"a:\xff"] {
            assert_eq!(read_all(&[&basic(text)], ""), Err(ClientAuthError::InvalidBasic), "{text:?}");
        }
        for header in ["Basic", "Basic ", "Basic ???", "Bearer a.b.c", "Basic\tYTpi", "Digest a", ""] {
            assert_eq!(read_all(&[header], ""), Err(ClientAuthError::InvalidBasic), "{header:?}");
        }
    }

    #[test]
    fn debug_is_redacted() {
        let form = Form::parse(b"client_id=a&client_secret=canary").ok().unwrap();
        let found = ClientCredentials::read(&HeaderMap::new(), &form).unwrap();
        assert!(!format!("{found:?} {found:#?}").contains("canary"));
    }
}
