//! Query strings of the lists.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::rules::{actor, count, from_date, one_of, owner, place, to_date, uuid};
use super::{Problems, Reason};
use crate::domain::{AgentStatus, AgentType, AuditAction, CredentialStatus, Outcome, Page, Paged};
use crate::repo::{AgentFilter, AuditFilter};

/// Documented: how many rows a page has where nothing is said, and at most.
const PAGE_DEFAULT: u32 = 20;
const PAGE_MAX: u32 = 100;
const AUDIT_PAGE_DEFAULT: u32 = 50;
const AUDIT_PAGE_MAX: u32 = 200;

/// Reads the query of `GET /agents`.
pub(crate) fn agent_list(query: &str) -> Result<(AgentFilter, Page), Problems> {
    let mut parameters = Parameters::parse(query);
    let filter = AgentFilter {
        owner: parameters.optional("owner", owner),
        agent_type: parameters.optional("agentType", one_of(AgentType::ALL, AgentType::as_str)),
        status: parameters.optional("status", one_of(AgentStatus::ALL, AgentStatus::as_str)),
    };
    let page = parameters.page(PAGE_DEFAULT, PAGE_MAX);
    parameters.finish((filter, page))
}

/// Reads the query of `GET /agents/{agentId}/credentials`.
pub(crate) fn credential_list(query: &str) -> Result<(Option<CredentialStatus>, Page), Problems> {
    let mut parameters = Parameters::parse(query);
    let status = parameters.optional("status", one_of(CredentialStatus::ALL, CredentialStatus::as_str));
    let page = parameters.page(PAGE_DEFAULT, PAGE_MAX);
    parameters.finish((status, page))
}

/// Reads the query of `DELETE …/previous`: whether it ends also where it is in use.
pub(crate) fn end_of_previous(query: &str) -> Result<bool, Problems> {
    let mut parameters = Parameters::parse(query);
    let force = parameters.optional("force", |text| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".into()),
    });
    parameters.finish(force.unwrap_or_default())
}

/// Reads the query of `GET /audit`.
pub(crate) fn audit_list(query: &str) -> Result<(AuditFilter, Page), Problems> {
    let mut parameters = Parameters::parse(query);
    let filter = AuditFilter {
        agent_id: parameters.optional("agentId", uuid),
        credential_id: parameters.optional("credentialId", uuid),
        actor: parameters.optional("actor", actor),
        action: parameters.optional("action", one_of(AuditAction::ALL, AuditAction::as_str)),
        outcome: parameters.optional("outcome", one_of(Outcome::ALL, Outcome::as_str)),
        from: parameters.optional("fromDate", from_date),
        to: parameters.optional("toDate", to_date),
    };
    if filter.from.zip(filter.to).is_some_and(|(from, to)| from > to) {
        parameters.problems.note("fromDate", "must not be after toDate");
    }
    let page = parameters.page(AUDIT_PAGE_DEFAULT, AUDIT_PAGE_MAX);
    parameters.finish((filter, page))
}

/// A page whose rows were looked for.
pub(crate) fn not_too_deep<T>(found: Paged<T>) -> Result<Paged<T>, Problems> {
    let mut problems = Problems::default();
    if found.is_too_deep() {
        let reason = "leads beyond the first 100000 rows: narrow the list down, or follow the Link header of its pages";
        problems.note("page", reason);
    }
    problems.finish(Some(found))
}

/// The parameters of a query, taken one by one.
#[derive(Debug)]
struct Parameters<'q> {
    given: BTreeMap<Cow<'q, str>, Vec<&'q str>>,
    /// The names that were asked for.
    known: Vec<&'static str>,
    problems: Problems,
}

impl<'q> Parameters<'q> {
    /// Splits the query. Values are decoded when they are asked for, so that nothing is said about unknown parameters.
    fn parse(query: &'q str) -> Self {
        let mut given = BTreeMap::<_, Vec<_>>::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            given.entry(percent_decode_str(name).decode_utf8_lossy()).or_default().push(value);
        }
        Self { given, known: Vec::new(), problems: Problems::default() }
    }

    /// A parameter that may be left out, and must not be repeated: it would be a guess which one is meant.
    fn optional<T>(&mut self, name: &'static str, rule: impl Fn(&str) -> Result<T, Reason>) -> Option<T> {
        self.known.push(name);
        let checked = match self.given.get(name)?.as_slice() {
            [value] => decode(value).and_then(|value| rule(&value)),
            _ => Err("must be given once".into()),
        };
        self.problems.keep(name, checked)
    }

    /// The input, if nothing failed and no name looks like one that was asked for.
    fn finish<T>(mut self, input: T) -> Result<T, Problems> {
        self.problems.note_lookalikes(self.given.keys().map(AsRef::as_ref), &self.known);
        self.problems.finish(Some(input))
    }

    fn page(&mut self, default: u32, max: u32) -> Page {
        let page = self.optional("page", count(u32::MAX)).unwrap_or(1);
        let limit = self.optional("limit", count(max)).unwrap_or(default);
        Page { before: self.optional("before", place), ..Page::new(page, limit) }
    }
}

/// Decodes as forms are encoded: `+` is a space.
fn decode(value: &str) -> Result<String, Reason> {
    let spaced = value.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err("must be UTF-8 text".into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_query_is_the_first_page_of_everything() {
        for query in ["", "&", "unknown=1&unknown=2&%ff=%ff"] {
            let (filter, page) = agent_list(query).unwrap();
            assert_eq!(page, Page::new(1, 20));
            assert!(filter.owner.is_none() && filter.agent_type.is_none() && filter.status.is_none());
        }
        assert_eq!(audit_list("").unwrap().1, Page::new(1, 50));
    }

    #[test]
    fn values_are_decoded() {
        let (filter, page) = agent_list("owner=R%26D+t%C3%A9am&agent%54ype=router&page=3&limit=100").unwrap();
        assert_eq!(filter.owner.as_deref(), Some("R&D téam"));
        assert_eq!(filter.agent_type, Some(AgentType::Router));
        assert_eq!(page, Page::new(3, 100));
    }

    #[test]
    fn each_failing_parameter_is_named() {
        let table = [
            ("owner=&agentType=x&status=&page=0&limit=101", vec!["agentType", "limit", "owner", "page", "status"]),
            ("owner=%00", vec!["owner"]),
            ("owner=%ff", vec!["owner"]),
            ("owner=a&owner=a", vec!["owner"]),
            ("page", vec!["page"]),
            ("page=1&page=2", vec!["page"]),
            ("page=-1&limit=1.5", vec!["limit", "page"]),
            ("page=4294967296", vec!["page"]),
        ];
        for (query, fields) in table {
            assert_eq!(agent_list(query).unwrap_err().fields(), fields, "{query}");
        }
        for (query, name) in
            [("agent_type=router", "agent_type"), ("AgentType=router", "AgentType"), ("LIMIT=1", "LIMIT")]
        {
            assert_eq!(agent_list(query).unwrap_err().fields(), [name], "{query}");
        }
        assert_eq!(audit_list("agent_id=a&from_date=b&x_y=1").unwrap_err().fields(), ["agent_id", "from_date"]);
        assert_eq!(credential_list("status=suspended").unwrap_err().fields(), ["status"]);
        assert_eq!(credential_list("status=revoked").unwrap().0, Some(CredentialStatus::Revoked));
    }

    #[test]
    fn audit_queries() {
        let (filter, page) = audit_list(
            "agentId=6f9619ff-8b86-4d01-b42d-00cf4fc964ff&action=token.issued&outcome=success\
             &fromDate=2026-03-01&toDate=2026-03-01&limit=200",
        )
        .unwrap();
        assert_eq!(filter.action, Some(AuditAction::TokenIssued));
        assert_eq!(filter.from.map(|at| at.to_string()).as_deref(), Some("2026-03-01T00:00:00.000Z"));
        assert_eq!(filter.to.map(|at| at.to_string()).as_deref(), Some("2026-03-01T23:59:59.999Z"));
        assert_eq!(page.limit, 200);
        let place = "2026-03-01T00:00:00.000Z_6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
        for page in [
            audit_list(&format!("before={place}")).unwrap().1,
            agent_list(&format!("before={place}")).unwrap().1,
            credential_list(&format!("before={place}")).unwrap().1,
        ] {
            let (at, id) = page.before.unwrap();
            assert_eq!(format!("{at}_{id}"), place);
        }
        let table = [
            ("before=2026-03-01_me", vec!["before"]),
            ("agentId=me&action=token&outcome=ok", vec!["action", "agentId", "outcome"]),
            ("fromDate=2026-03-02&toDate=2026-03-01", vec!["fromDate"]),
            ("fromDate=soon&toDate=2026-13-01", vec!["fromDate", "toDate"]),
            ("limit=201", vec!["limit"]),
        ];
        for (query, fields) in table {
            assert_eq!(audit_list(query).unwrap_err().fields(), fields, "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(query in "[a-zA-Z&=%+0-9]{0,60}") {
            let _ = (agent_list(&query).is_ok(), credential_list(&query).is_ok(), audit_list(&query).is_ok());
        }
    }
}
