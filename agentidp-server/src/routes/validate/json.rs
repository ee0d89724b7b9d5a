//! JSON bodies.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{Problems, Reason};

/// The members of a body, taken one by one; what fails is noted and the rest is still looked at.
#[derive(Debug)]
pub(super) struct Members {
    members: Map<String, Value>,
    repeated: Repeated,
    /// The names that were asked for.
    known: Vec<&'static str>,
    problems: Problems,
}

impl Members {
    /// Reads a body that has to be a JSON object. Nesting is bounded by the parser at 128 levels, the size by the
    /// server's body limit.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problems> {
        let text = std::str::from_utf8(body).map_err(|_| Problems::body("must be UTF-8 text"))?;
        match serde_json::from_str(text) {
            Ok(Value::Object(members)) => {
                let repeated = serde_json::from_str(text).map_err(|_| Problems::body("must be well-formed JSON"))?;
                Ok(Self { members, repeated, known: Vec::new(), problems: Problems::default() })
            }
            Ok(_) => Err(Problems::body("must be a JSON object")),
            Err(_) => Err(Problems::body("must be well-formed JSON")),
        }
    }

    /// A member that has to be there.
    pub(super) fn required<T>(&mut self, name: &'static str, rule: impl Fn(&Value) -> Result<T, Reason>) -> Option<T> {
        self.known.push(name);
        let checked = self.member(name).and_then(|value| rule(value.ok_or("is required")?));
        self.problems.keep(name, checked)
    }

    /// A member that may be left out. `null` is not left out: the rule sees it.
    pub(super) fn optional<T>(&mut self, name: &'static str, rule: impl Fn(&Value) -> Result<T, Reason>) -> Option<T> {
        self.known.push(name);
        let checked = self.member(name).transpose()?.and_then(rule);
        self.problems.keep(name, checked)
    }

    /// A member's value. One that is repeated has none: it would be a guess which one is meant.
    fn member(&self, name: &str) -> Result<Option<&Value>, Reason> {
        if self.repeated.0.contains(name) { Err("must be given once".into()) } else { Ok(self.members.get(name)) }
    }

    /// A member that must not be there.
    pub(super) fn refuse(&mut self, name: &'static str, reason: &'static str) {
        self.known.push(name);
        if self.members.contains_key(name) {
            self.problems.note(name, reason);
        }
    }

    /// Whether any of `names` is there.
    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.members.contains_key(*name))
    }

    /// The body as a whole fails.
    pub(super) fn fail(&mut self, reason: &'static str) {
        self.problems.note("body", reason);
    }

    /// The input, if nothing failed and no name looks like one that was asked for.
    pub(super) fn finish<T>(mut self, input: Option<T>) -> Result<T, Problems> {
        self.problems.note_lookalikes(self.members.keys().map(String::as_str), &self.known);
        self.problems.finish(input)
    }
}

/// The names that an object has more than once, where a [`Map`] keeps the last member only.
#[derive(Debug)]
struct Repeated(BTreeSet<String>);

impl<'de> Deserialize<'de> for Repeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Repeated;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Repeated, A::Error> {
        let (mut seen, mut repeated) = (BTreeSet::new(), BTreeSet::new());
        while let Some((name, IgnoredAny)) = object.next_entry::<String, _>()? {
            if seen.contains(&name) {
                repeated.insert(name);
            } else {
                seen.insert(name);
            }
        }
        Ok(Repeated(repeated))
    }
}

/// A rule for texts, as a rule for JSON strings.
pub(super) fn string<T>(rule: impl Fn(&str) -> Result<T, Reason>) -> impl Fn(&Value) -> Result<T, Reason> {
    move |value| rule(value.as_str().ok_or("must be a string")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_is_a_body() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let table: [(&[u8], &str); 10] = [
            (b"", "well-formed"),
            (b"{", "well-formed"),
            (b"{}{}", "well-formed"),
            (b"{\"owner\":\"\\ud800\"}", "well-formed"),
            (b"{\"owner\":1e999}", "well-formed"),
            (deep.as_bytes(), "well-formed"),
            (b"{\"owner\":\"\xff\"}", "UTF-8"),
            (b"[]", "object"),
            (b"null", "object"),
            (b"\"text\"", "object"),
        ];
        for (body, reason) in table {
            let problems = Members::parse(body).unwrap_err();
            assert!(problems.0["body"].contains(reason), "{problems:?}");
        }
    }

    /// The last one of them would make a credential that never ends.
    #[test]
    fn a_member_is_given_once() {
        let read = |body: &str| {
            let mut members = Members::parse(body.as_bytes()).unwrap();
            let found = members.optional("expiresAt", |value| Ok(value.clone()));
            members.finish(found)
        };
        let repeated = [
            r#"{"expiresAt":"2099-01-01T00:00:00Z","expiresAt":null}"#,
            r#"{"expiresAt":null,"other":1,"expires\u0041t":null}"#,
        ];
        for body in repeated {
            assert_eq!(read(body).unwrap_err().fields(), ["expiresAt"], "{body}");
        }
        assert!(read(r#"{"expiresAt":1,"unknown":1,"unknown":{"expiresAt":1,"expiresAt":2}}"#).is_ok());
        let mut members = Members::parse(br#"{"owner":"a","owner":"a"}"#).unwrap();
        let found = members.required("owner", |value| Ok(value.clone()));
        assert_eq!(members.finish(found).unwrap_err().fields(), ["owner"]);
    }
}
