//! What a single value must look like, whether it came in a body or in a query.

use serde_json::Value;
use uuid::Uuid;

use super::Reason;
use super::json::string;
use crate::domain::Timestamp;
use crate::http;

/// Documented: the columns' widths, in characters.
pub(super) const EMAIL_MAX: usize = 255;
pub(super) const VERSION_MAX: usize = 64;
pub(super) const OWNER_MAX: usize = 128;

/// Ours: far more than any agent needs, and little enough to be read by people.
pub(super) const CAPABILITIES_MAX: usize = 100;
pub(super) const CAPABILITY_MAX: usize = 128;

/// A text of 1 to `max` characters without control characters: they have no place in names, and PostgreSQL stores no
/// NUL.
fn text(text: &str, max: usize) -> Result<&str, Reason> {
    if text.trim().is_empty() {
        return Err("must not be empty".into());
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".into());
    }
    if text.chars().count() > max {
        return Err(format!("must be at most {max} characters").into());
    }
    Ok(text)
}

/// An e-mail address in the form everybody uses: dot-separated atoms, `@`, a domain of at least two labels (an
/// international one in its ASCII form). Kept exactly as sent.
pub(super) fn email(value: &str) -> Result<String, Reason> {
    let address = text(value, EMAIL_MAX)?;
    let sound = address.rsplit_once('@').is_some_and(|(local, domain)| is_local_part(local) && is_domain(domain));
    if sound { Ok(address.to_owned()) } else { Err("must be an e-mail address".into()) }
}

/// RFC 5321 §4.5.3.1.1 gives 64 bytes; RFC 5322 §3.2.3 says what an atom is made of.
fn is_local_part(local: &str) -> bool {
    let atom_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    local.len() <= 64 && local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atom_byte))
}

/// RFC 1035 §2.3.4 gives 63 bytes to a label.
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.contains('.') && domain.split('.').all(is_label)
}

/// A semantic version, without a leading `v`.
pub(super) fn version(value: &str) -> Result<String, Reason> {
    let version = text(value, VERSION_MAX)?;
    match semver::Version::parse(version) {
        Ok(_) => Ok(version.to_owned()),
        Err(_) => Err("must be a semantic version such as 1.4.0".into()),
    }
}

/// The place of a row in its list: its time and its id.
pub(super) fn place(value: &str) -> Result<(Timestamp, Uuid), Reason> {
    let place = value.split_once('_').and_then(|(at, id)| Some((Timestamp::parse(at)?, Uuid::try_parse(id).ok()?)));
    place.ok_or_else(|| "must be the time of a row, an underscore and its id, as the `Link` header has them".into())
}

/// Who answers for an agent.
pub(super) fn owner(value: &str) -> Result<String, Reason> {
    text(value, OWNER_MAX).map(str::to_owned)
}

/// A list of different capabilities.
pub(super) fn capabilities(value: &Value) -> Result<Vec<String>, Reason> {
    let items = value.as_array().ok_or("must be a list")?;
    if items.is_empty() {
        return Err("must have at least one item".into());
    }
    if items.len() > CAPABILITIES_MAX {
        return Err(format!("must have at most {CAPABILITIES_MAX} items").into());
    }
    let mut capabilities = Vec::with_capacity(items.len());
    for item in items {
        let capability = string(capability)(item)?;
        if capabilities.contains(&capability) {
            return Err("must not repeat an item".into());
        }
        capabilities.push(capability);
    }
    Ok(capabilities)
}

/// `resource:action`, each of `A-Z a-z 0-9 . _ -`; the action may be `*` instead.
fn capability(value: &str) -> Result<String, Reason> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    if value.len() > CAPABILITY_MAX {
        return Err(format!("each item must be at most {CAPABILITY_MAX} characters").into());
    }
    match value.split_once(':') {
        Some((resource, action)) if is_name(resource) && (action == "*" || is_name(action)) => Ok(value.to_owned()),
        _ => Err("each item must be resource:action, of letters, digits and . _ - (or * as the action)".into()),
    }
}

/// One of the documented names of `all`, exactly.
pub(super) fn one_of<T: Copy>(all: &'static [T], name: fn(T) -> &'static str) -> impl Fn(&str) -> Result<T, Reason> {
    move |value| {
        all.iter().copied().find(|item| name(*item) == value).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|item| name(*item)).collect();
            format!("must be one of {}", names.join(", ")).into()
        })
    }
}

/// A UUID in its hyphenated form.
pub(super) fn uuid(value: &str) -> Result<Uuid, Reason> {
    http::uuid(value).ok_or_else(|| "must be a UUID".into())
}

/// Who caused an event: an agent's id, `operator`, or `operator:` and a name.
pub(super) fn actor(value: &str) -> Result<String, Reason> {
    text(value, OWNER_MAX).map(str::to_owned)
}

/// A point in time.
pub(super) fn time(value: &str) -> Result<Timestamp, Reason> {
    Timestamp::parse(value).ok_or_else(|| "must be an RFC 3339 time such as 2030-01-31T12:00:00Z".into())
}

/// A whole number from 1 to `max`, in digits only.
pub(super) fn count(max: u32) -> impl Fn(&str) -> Result<u32, Reason> {
    move |value| {
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse() {
            Ok(number) if digits && (1..=max).contains(&number) => Ok(number),
            _ => Err(format!("must be a whole number from 1 to {max}").into()),
        }
    }
}

/// The beginning of a span of time. A plain date means its first millisecond, UTC.
pub(super) fn from_date(value: &str) -> Result<Timestamp, Reason> {
    date(value, "T00:00:00.000Z")
}

/// The end of a span of time, included. A plain date means its last millisecond, UTC.
pub(super) fn to_date(value: &str) -> Result<Timestamp, Reason> {
    date(value, "T23:59:59.999Z")
}

fn date(value: &str, time_of_day: &str) -> Result<Timestamp, Reason> {
    const PLAIN_DATE_LEN: usize = "2026-03-28".len();
    let at = match value.len() {
        PLAIN_DATE_LEN => Timestamp::parse(&format!("{value}{time_of_day}")),
        _ => Timestamp::parse(value),
    };
    at.ok_or_else(|| "must be a date or an RFC 3339 time (in a query, write + as %2B)".into())
}

#[cfg(test)]
mod tests;
