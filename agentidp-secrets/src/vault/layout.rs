//! Where below the prefix a credential's entry lies: a template over client and credential.

use std::fmt;

use crate::credential::CredentialKey;
use crate::segment::{escape, unescape};

const CLIENT: &str = "{client}";
const CREDENTIAL: &str = "{credential}";

/// A template of a path in segments. Two segments hold an id each; around it may stand literal text.
///
/// An escaped id holds no slash, so it is the part of its segment between two texts of fixed length: every path has one reading,
/// and no two keys share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Layout {
    /// Literal segments before the client's, between the two, and behind the credential's.
    head: Vec<String>,
    client: Around,
    middle: Vec<String>,
    credential: Around,
    tail: Vec<String>,
}

/// What stands around an id in its segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Around {
    before: String,
    after: String,
}

impl Default for Layout {
    fn default() -> Self {
        let nothing = || Around { before: String::new(), after: String::new() };
        Self {
            head: vec!["agents".to_owned()],
            client: nothing(),
            middle: vec!["credentials".to_owned()],
            credential: nothing(),
            tail: Vec::new(),
        }
    }
}

impl Layout {
    /// Longest template in bytes.
    const MAX_LEN: usize = 256;

    /// Reads a template. The error says what is wrong with it.
    pub(crate) fn parse(template: &str) -> Result<Self, &'static str> {
        if template.len() > Self::MAX_LEN {
            return Err("is longer than 256 bytes");
        }
        let (mut parts, mut ids) = ([Vec::new(), Vec::new(), Vec::new()], Vec::new());
        for segment in template.split('/') {
            let (around, expected) = match (segment.split_once(CLIENT), segment.split_once(CREDENTIAL)) {
                (Some(_), Some(_)) => return Err("has both ids in one segment, where two keys could share a path"),
                (Some(around), None) => (around, 0),
                (None, Some(around)) => (around, 1),
                (None, None) if is_literal(segment) && !matches!(segment, "" | "." | "..") => {
                    parts[ids.len()].push(segment.to_owned());
                    continue;
                }
                (None, None) => return Err("has a segment that is not 1 or more of A-Z a-z 0-9 . _ -"),
            };
            let (before, after) = around;
            if !is_literal(before) || !is_literal(after) {
                return Err("has another character than A-Z a-z 0-9 . _ - beside an id");
            }
            if ids.len() != expected {
                return Err("needs `{client}` once, and behind it `{credential}` once");
            }
            ids.push(Around { before: before.to_owned(), after: after.to_owned() });
        }
        let [head, middle, tail] = parts;
        match <[Around; 2]>::try_from(ids) {
            Ok([client, credential]) => Ok(Self { head, client, middle, credential, tail }),
            Err(_) => Err("needs `{client}` and `{credential}`: a path has to name one credential and no other"),
        }
    }

    /// The path of a key.
    pub(crate) fn path(&self, key: &CredentialKey) -> String {
        let (client, credential) =
            (self.client.with(key.client_id().as_str()), self.credential.with(key.credential_id().as_str()));
        let ours = [client, credential];
        let [client, credential] = &ours;
        let segments = self.head.iter().chain([client]).chain(&self.middle).chain([credential]).chain(&self.tail);
        segments.map(String::as_str).collect::<Vec<_>>().join("/")
    }

    /// How many segments a path has.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.middle.len() + self.tail.len() + 2
    }

    /// The key of a path's segments. None for what [`path`](Self::path) never makes.
    pub(crate) fn key(&self, segments: &[&str]) -> Option<CredentialKey> {
        let rest = strip(segments, &self.head)?;
        let (client, rest) = rest.split_first()?;
        let rest = strip(rest, &self.middle)?;
        let (credential, rest) = rest.split_first()?;
        let rest = strip(rest, &self.tail)?;
        let (client, credential) = (self.client.id_in(client)?, self.credential.id_in(credential)?);
        rest.is_empty().then(|| CredentialKey::parse(&client, &credential).ok())?
    }

    /// The folder that lists the clients.
    pub(crate) fn of_clients(&self) -> String {
        self.head.join("/")
    }

    /// The folder that lists the credentials of the client with this name.
    pub(crate) fn of_credentials(&self, client: &str) -> String {
        let segments = self.head.iter().map(String::as_str).chain([client]);
        segments.chain(self.middle.iter().map(String::as_str)).collect::<Vec<_>>().join("/")
    }

    /// The id of a client's segment.
    pub(crate) fn client_in(&self, segment: &str) -> Option<String> {
        self.client.id_in(segment)
    }

    /// The id of a credential's segment.
    pub(crate) fn credential_in(&self, segment: &str) -> Option<String> {
        self.credential.id_in(segment)
    }
}

/// The template.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let around = |around: &Around, id: &str| format!("{}{id}{}", around.before, around.after);
        let ours = [around(&self.client, CLIENT), around(&self.credential, CREDENTIAL)];
        let [client, credential] = &ours;
        let segments = self.head.iter().chain([client]).chain(&self.middle).chain([credential]).chain(&self.tail);
        f.write_str(&segments.map(String::as_str).collect::<Vec<_>>().join("/"))
    }
}

impl Around {
    fn with(&self, id: &str) -> String {
        format!("{}{}{}", self.before, escape(id), self.after)
    }

    fn id_in(&self, segment: &str) -> Option<String> {
        let id = segment.strip_prefix(self.before.as_str())?.strip_suffix(self.after.as_str())?;
        unescape(id).filter(|id| !id.is_empty()).map(Into::into)
    }
}

/// Whether Vault, a URL and a policy all take the text literally.
fn is_literal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn strip<'a, 'b>(segments: &'a [&'b str], literal: &[String]) -> Option<&'a [&'b str]> {
    let (head, rest) = segments.split_at_checked(literal.len())?;
    head.iter().zip(literal).all(|(one, other)| one == other).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn templates_are_read() {
        for template in [
            "agents/{client}/credentials/{credential}",
            "{client}/{credential}",
            "apps/{client}/{credential}/secret",
            "app-{client}.v1/key-{credential}",
        ] {
            assert_eq!(Layout::parse(template).unwrap().to_string(), template);
        }
        assert_eq!(Layout::parse("agents/{client}/credentials/{credential}").unwrap(), Layout::default());
    }

    #[test]
    fn a_template_that_could_not_name_one_credential_is_refused() {
        for (template, says) in [
            ("", "segment"),
            ("apps/{client}", "name one credential"),
            ("apps/{credential}", "once, and behind it"),
            ("apps", "name one credential"),
            ("{credential}/{client}", "once, and behind it"),
            ("{client}/{client}/{credential}", "once, and behind it"),
            ("{client}/{credential}/{credential}", "once, and behind it"),
            ("{client}.{credential}", "one segment"),
            ("{client}{client}/{credential}", "beside an id"),
            ("/{client}/{credential}", "segment"),
            ("{client}//{credential}", "segment"),
            ("{client}/{credential}/", "segment"),
            ("../{client}/{credential}", "segment"),
            ("./{client}/{credential}", "segment"),
            ("a~2f/{client}/{credential}", "segment"),
            ("a%2fb/{client}/{credential}", "segment"),
            ("{client}?x/{credential}", "beside an id"),
            ("{client}/{Credential}", "segment"),
            ("*/{client}/{credential}", "segment"),
        ] {
            let refusal = Layout::parse(template).unwrap_err();
            assert!(refusal.contains(says), "{template}: {refusal}");
        }
        assert!(Layout::parse(&format!("{}/{{client}}/{{credential}}", "x".repeat(256))).is_err());
    }

    proptest! {
        #[test]
        fn a_key_is_found_again_from_its_path_and_none_leaves_the_folder(
            template in prop::sample::select(vec![
                "{client}/{credential}", "a/{client}/b/{credential}/c", ".{client}./-{credential}_", "x{client}/x{credential}",
            ]),
            client in "([a-cx./~_-]|\\PC){1,12}", credential in "([a-cx./~_-]|\\PC){1,12}",
        ) {
            let layout = Layout::parse(template).unwrap();
            if let Ok(key) = CredentialKey::parse(&client, &credential) {
                let path = layout.path(&key);
                let segments: Vec<_> = path.split('/').collect();
                prop_assert_eq!(segments.len(), layout.len());
                prop_assert!(segments.iter().all(|segment| !matches!(*segment, "" | "." | "..")), "{}", path);
                prop_assert!(path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-~/".contains(&byte)), "{}", path);
                prop_assert_eq!(layout.key(&segments), Some(key));
            }
        }

        #[test]
        fn what_is_read_is_what_is_written(path in "([ab./x~-]|~2e|~61){1,12}") {
            let layout = Layout::parse("x{client}/{credential}").unwrap();
            let segments: Vec<_> = path.split('/').collect();
            if let Some(key) = layout.key(&segments) {
                prop_assert_eq!(layout.path(&key), path);
            }
        }
    }
}
