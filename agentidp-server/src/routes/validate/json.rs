//! JSON bodies.

use serde_json::{Map, Value};

use super::{Problems, Reason};

/// The members of a body, taken one by one; what fails is noted and the rest is still looked at.
#[derive(Debug)]
pub(super) struct Members {
    members: Map<String, Value>,
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
            Ok(Value::Object(members)) => Ok(Self { members, known: Vec::new(), problems: Problems::default() }),
            Ok(_) => Err(Problems::body("must be a JSON object")),
            Err(_) => Err(Problems::body("must be well-formed JSON")),
        }
    }

    /// A member that has to be there.
    pub(super) fn required<T>(&mut self, name: &'static str, rule: impl Fn(&Value) -> Result<T, Reason>) -> Option<T> {
        self.known.push(name);
        let checked = self.members.get(name).ok_or(Reason::Borrowed("is required")).and_then(rule);
        self.problems.keep(name, checked)
    }

    /// A member that may be left out. `null` is not left out: the rule sees it.
    pub(super) fn optional<T>(&mut self, name: &'static str, rule: impl Fn(&Value) -> Result<T, Reason>) -> Option<T> {
        self.known.push(name);
        let checked = rule(self.members.get(name)?);
        self.problems.keep(name, checked)
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
}
