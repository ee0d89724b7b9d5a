//! Forms (`application/x-www-form-urlencoded`), read strictly: a lenient reader would let two parsers disagree about
//! who authenticates.

use zeroize::Zeroizing;

/// Most parameters of a form. The documented requests have four.
const MAX_PARAMETERS: usize = 32;

/// What may be repeated (RFC 8707 §2).
const REPEATABLE: &[&str] = &["resource"];

/// The parameters of a form, each at most once but for a few. Values are wiped from memory, because one of them is a secret.
pub(crate) struct Form(Vec<(String, Zeroizing<String>)>);

/// The form is malformed: an escape is none, the text is not UTF-8, a parameter is repeated
/// (RFC 6749 §3.2), or there are absurdly many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Form {
    /// Reads a form.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut parameters = Vec::<(String, Zeroizing<String>)>::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            let name = decode(name)?.to_string();
            let repeats = !REPEATABLE.contains(&&*name) && parameters.iter().any(|(known, _)| *known == name);
            if parameters.len() == MAX_PARAMETERS || repeats {
                return Err(Malformed);
            }
            parameters.push((name, decode(value)?));
        }
        Ok(Self(parameters))
    }

    /// A parameter's value. One without a value counts as left out (RFC 6749 §3.2).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// Every value of a parameter that may be repeated.
    pub(crate) fn get_all(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str());
        values.filter(|value| !value.is_empty())
    }
}

/// Undoes form encoding.
pub(crate) fn decode(encoded: &[u8]) -> Result<Zeroizing<String>, Malformed> {
    // Full capacity at once: a growing vector would leave unwiped copies behind.
    let mut decoded = Zeroizing::new(Vec::with_capacity(encoded.len()));
    let mut rest = encoded.iter();
    while let Some(&byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => (digit(rest.next())? << 4) | digit(rest.next())?,
            other => other,
        });
    }
    let text = std::str::from_utf8(&decoded).map_err(|_| Malformed)?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn digit(byte: Option<&u8>) -> Result<u8, Malformed> {
    let value = byte.and_then(|byte| char::from(*byte).to_digit(16)).ok_or(Malformed)?;
    u8::try_from(value).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_and_plus_signs_are_decoded() {
        let form = Form::parse(b"a=1+2%2B&b%20c=%C3%A4&empty=&bare&&d==").ok().unwrap();
        assert_eq!(form.get("a"), Some("1 2+"));
        assert_eq!(form.get("b c"), Some("ä"));
        assert_eq!(form.get("d"), Some("="));
        for absent in ["empty", "bare", "missing", ""] {
            assert_eq!(form.get(absent), None, "{absent}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let many: Vec<String> = (0..33).map(|n| n.to_string()).collect();
        assert!(Form::parse(many[..32].join("&").as_bytes()).is_ok());
        assert!(Form::parse(many.join("&").as_bytes()).is_err());
        let resources = Form::parse(b"resource=a&resource=&resource=b").ok().unwrap();
        assert_eq!(resources.get_all("resource").collect::<Vec<_>>(), ["a", "b"]);
        for malformed in ["a=1&a=2", "a=1&%61=2", "a&a", "a=%", "a=%4", "a=%zz", "a=%ff", "%ff=a", "a=%C3"] {
            assert!(Form::parse(malformed.as_bytes()).is_err(), "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn what_the_url_crates_encode_reads_back(name in "\\PC{1,20}", value in "\\PC{1,80}") {
            let body = form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish();
            let form = Form::parse(body.as_bytes()).ok().unwrap();
            prop_assert_eq!(form.get(&name), Some(value.as_str()));
        }

        #[test]
        fn parsing_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::parse(&body);
        }
    }
}
