//! What was found, as a table for people, and what to do about it.

use std::fmt;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<Line>,
    advice: Vec<String>,
}

#[derive(Debug)]
struct Line {
    mark: Mark,
    what: String,
    finding: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Ok,
    Note,
    Fail,
    NotTried,
}

impl Report {
    /// It works.
    pub(super) fn ok(&mut self, what: impl fmt::Display, finding: impl fmt::Display) {
        self.add(Mark::Ok, what, finding);
    }

    /// It works, and could be better.
    pub(super) fn note(&mut self, what: impl fmt::Display, finding: impl fmt::Display) {
        self.add(Mark::Note, what, finding);
    }

    /// It does not work.
    pub(super) fn fail(&mut self, what: impl fmt::Display, finding: impl fmt::Display) {
        self.add(Mark::Fail, what, finding);
    }

    /// It could not be tried, because something before it failed.
    pub(super) fn not_tried(&mut self, what: impl fmt::Display, finding: impl fmt::Display) {
        self.add(Mark::NotTried, what, finding);
    }

    /// What to do, below the table; the same thing once.
    pub(super) fn advise(&mut self, advice: String) {
        if !self.advice.contains(&advice) {
            self.advice.push(advice);
        }
    }

    /// Whether nothing failed and everything was tried.
    pub(super) fn all_is_well(&self) -> bool {
        self.lines.iter().all(|line| matches!(line.mark, Mark::Ok | Mark::Note))
    }

    fn add(&mut self, mark: Mark, what: impl fmt::Display, finding: impl fmt::Display) {
        self.lines.push(Line { mark, what: what.to_string(), finding: finding.to_string() });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.lines.iter().map(|line| line.what.len()).max().unwrap_or_default();
        for Line { mark, what, finding } in &self.lines {
            let mark = match mark {
                Mark::Ok => "ok",
                Mark::Note => "note",
                Mark::Fail => "FAIL",
                Mark::NotTried => "not tried",
            };
            writeln!(f, "{mark:<9}  {what:<width$}  {finding}")?;
        }
        for advice in &self.advice {
            write!(f, "\n{advice}")?;
        }
        let verdict = if self.all_is_well() { "All is well." } else { "Something is missing." };
        write!(f, "\n{verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_well_only_if_everything_was_tried_and_worked() {
        let mut report = Report::default();
        report.ok("database", "answers");
        report.note("token", "is root");
        assert!(report.all_is_well());
        assert_eq!(report.to_string(), "ok         database  answers\nnote       token     is root\n\nAll is well.");
        report.not_tried("right", "no");
        assert!(!report.all_is_well());
    }

    #[test]
    fn advice_is_given_once() {
        let mut report = Report::default();
        report.fail("a", "b");
        report.advise("do this\n".to_owned());
        report.advise("do this\n".to_owned());
        assert_eq!(report.to_string(), "FAIL       a  b\n\ndo this\n\nSomething is missing.");
    }
}
