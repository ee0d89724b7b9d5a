//! A PostgreSQL URL in libpq's forms: what the driver reads otherwise is rewritten, and what it would ignore stops the start.

use std::borrow::Cow;
use std::fmt;

use super::ConfigError;

/// What the driver understands.
const UNDERSTOOD: [&str; 17] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// What the driver ignores, and may: it changes neither which database is used nor how safely.
const HARMLESS: [&str; 9] = [
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "sslsni",
    "tcp_user_timeout",
];

/// The URL as the driver reads it. Neither message nor warning repeats a value: one may be the password.
pub(super) fn driver_form(url: &str, warnings: &mut Vec<String>) -> Result<String, ConfigError> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = address.split_at(address.find('/').unwrap_or(address.len()));
    let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));

    if database.contains('@') || url.contains('#') {
        return Err(problem(
            "cannot be told apart from its password: percent-encode the characters @ : / ? # in the password (%40 %3A %2F \
             %3F %23)",
        ));
    }
    let mut parameters: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let is_rewritten = verifies(&mut parameters)?;
    let lists = |name: &str, value: &str| matches!(name, "host" | "hostaddr" | "port") && value.contains(',');
    if place.contains(',') || parameters.iter().any(|(name, value)| lists(name, value)) {
        return Err(problem(
            "names several hosts, and this server connects to one: name the address that always leads to the primary, such \
             as that of a proxy or a virtual IP",
        ));
    }
    for (name, value) in &parameters {
        match &**name {
            "target_session_attrs" if value == "any" => {}
            "target_session_attrs" => {
                return Err(problem(
                    "has target_session_attrs, which this server does not choose a host by: name the primary's address and \
                     remove it",
                ));
            }
            name if UNDERSTOOD.contains(&name)
                || name == "statement-cache-capacity"
                || name.starts_with("options[") => {}
            name if HARMLESS.contains(&name) => {
                warnings.push(format!("DATABASE_URL has {name}, which this server does not use: remove it"));
            }
            _ => {
                let named = match shown(name, &parameters, query) {
                    Some(name) => format!("the parameter {name:?}"),
                    None => "a parameter".to_owned(),
                };
                return Err(problem(format_args!(
                    "has {named}, which this server does not know: remove it, or percent-encode a `?` or `&` in the \
                     password",
                )));
            }
        }
    }
    // A URL parser wants a host where there is a user or a port. libpq takes the folder of the socket, or the parameter `host`.
    // The driver looks for an IPv6 address with its brackets as if it were a name.
    let (host, port) = place.strip_prefix('[').and_then(|rest| rest.split_once(']')).unwrap_or(("", place));
    if !(port.is_empty() || port.starts_with(':')) || authority.is_empty() {
        if !is_rewritten {
            return Ok(url.to_owned());
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
        return Ok(format!("{scheme}://{address}?{query}"));
    }
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let moved = [
        ("user", decoded(user)),
        ("password", decoded(password)),
        ("host", decoded(host)),
        ("port", decoded(port.trim_start_matches(':'))),
    ];
    let mut query = form_urlencoded::Serializer::new(String::new());
    // What is in the query already wins, as in libpq: it comes last.
    query.extend_pairs(moved.iter().filter(|(_, value)| !value.is_empty())).extend_pairs(&parameters);
    Ok(format!("{scheme}://{}?{}", if database.is_empty() { "/" } else { database }, query.finish()))
}

/// With a certificate authority's file libpq checks the server's certificate whatever `sslmode=require` says; the driver does not. Says
/// whether it has changed anything.
fn verifies(parameters: &mut [(Cow<'_, str>, Cow<'_, str>)]) -> Result<bool, ConfigError> {
    let has_root = parameters.iter().any(|(name, _)| matches!(&**name, "sslrootcert" | "ssl-root-cert" | "ssl-ca"));
    let mode = parameters.iter_mut().rev().find(|(name, _)| matches!(&**name, "sslmode" | "ssl-mode"));
    let set = mode.as_ref().map(|(_, mode)| mode.to_ascii_lowercase());
    match (set.as_deref(), has_root, mode) {
        (Some("allow"), ..) => Err(problem(
            "has sslmode=allow, with which this server would never use TLS: write sslmode=verify-full and sslrootcert, or \
             sslmode=disable where nobody else is on the way",
        )),
        (Some("verify-ca" | "verify-full"), ..) | (_, false, _) => Ok(false),
        (Some("require"), true, Some((_, mode))) => {
            *mode = Cow::Borrowed("verify-ca");
            Ok(true)
        }
        _ => Err(problem(
            "has sslrootcert, by which nothing is checked without sslmode=verify-full: add it, or sslmode=verify-ca where the \
             certificate has another name",
        )),
    }
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

/// A name that is not ours, where it cannot be part of a password: that would have its `@` behind it, or be a parameter.
fn shown<'a>(name: &'a str, parameters: &[(Cow<'_, str>, Cow<'_, str>)], query: &str) -> Option<&'a str> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || b"_-".contains(&byte);
    let has_password = query.contains('@') || parameters.iter().any(|(name, _)| name.contains("password"));
    (!has_password && name.len() <= 40 && name.bytes().all(is_name)).then_some(name)
}

fn problem(problem: impl fmt::Display) -> ConfigError {
    ConfigError::new("DATABASE_URL", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<(String, Vec<String>), String> {
        let mut warnings = Vec::new();
        let url = driver_form(url, &mut warnings).map_err(|error| error.to_string())?;
        Ok((url, warnings))
    }

    #[test]
    fn forms_that_the_driver_reads_stay_as_they_are() {
        for url in [
            "postgres://user:pass@db/agentidp",
            "postgres://user:p%40ss@db:5433/agentidp?sslmode=verify-full&sslrootcert=/ca.pem",
            "postgresql://%2Fvar%2Frun%2Fpostgresql/agentidp",
            "postgresql:///agentidp?host=/var/run/postgresql",
            "postgres://db",
            "postgres://db:5432/agentidp?options=-c%20search_path%3Da&options[statement_timeout]=1",
            "postgres://db/agentidp?target_session_attrs=any",
        ] {
            assert_eq!(read(url).unwrap(), (url.to_owned(), Vec::new()));
        }
    }

    #[test]
    fn a_socket_s_folder_may_come_with_a_user_and_a_port_and_an_ipv6_address_is_one() {
        for (url, expected) in [
            ("postgres://user@/agentidp?host=/run/pg", "postgres:///agentidp?user=user&host=%2Frun%2Fpg"),
            (
                "postgresql://u%2B:p+%40@:5433/a?host=/run",
                "postgresql:///a?user=u%2B&password=p%2B%40&port=5433&host=%2Frun",
            ),
            ("postgres://:5433/agentidp", "postgres:///agentidp?port=5433"),
            ("postgres://user@?dbname=a", "postgres:///?user=user&dbname=a"),
            ("postgres://[::1]/a", "postgres:///a?host=%3A%3A1"),
            (
                "postgres://u:p%40@[2001:db8::1]:5433/a",
                "postgres:///a?user=u&password=p%40&host=2001%3Adb8%3A%3A1&port=5433",
            ),
        ] {
            assert_eq!(read(url).unwrap().0, expected, "{url}");
        }
    }

    #[test]
    fn a_file_of_authorities_is_checked_against() {
        for (url, expected) in [
            (
                "postgres://u:p@db/a?sslmode=require&sslrootcert=/ca.pem",
                "postgres://u:p@db/a?sslmode=verify-ca&sslrootcert=%2Fca.pem",
            ),
            (
                "postgres:///a?host=/run&sslrootcert=/ca.pem&sslmode=require",
                "postgres:///a?host=%2Frun&sslrootcert=%2Fca.pem&sslmode=verify-ca",
            ),
        ] {
            assert_eq!(read(url).unwrap().0, expected, "{url}");
        }
        for url in ["sslrootcert=/ca.pem", "sslmode=prefer&sslrootcert=/ca.pem", "sslmode=disable&ssl-ca=/ca.pem"] {
            let error = read(&format!("postgres://u:canary@db/a?{url}")).unwrap_err();
            assert!(error.contains("has sslrootcert") && !error.contains("canary"), "{error}");
        }
        assert!(read("postgres://db/a?sslmode=allow").unwrap_err().contains("has sslmode=allow"));
    }

    #[test]
    fn what_would_be_ignored_stops_the_start_with_the_mend() {
        for (url, part) in [
            ("postgres://u:canary@a,b/agentidp", "names several hosts"),
            ("postgres://u:p@ss/canary@127.0.0.1:5432/agentidp", "percent-encode the characters"),
            ("postgres://u:p#canary@127.0.0.1:5432/agentidp", "percent-encode the characters"),
            ("postgres://u:canary@a:1,b:2/agentidp", "names several hosts"),
            ("postgres:///agentidp?host=a,b&password=canary", "names several hosts"),
            ("postgres:///agentidp?host=a&port=1,2", "names several hosts"),
            ("postgres://u:canary@a/agentidp?target_session_attrs=read-write", "has target_session_attrs"),
            ("postgres://a/agentidp?channel_binding=require", "has the parameter \"channel_binding\""),
            ("postgres://a/agentidp?service=canary", "has the parameter \"service\""),
            ("postgres://u:abc?CANARY@a/agentidp", "has a parameter, which this server"),
            ("postgres://u:abc?canary&rest@a/agentidp", "has a parameter, which this server"),
            ("postgres:///agentidp?password=abc&canary", "has a parameter, which this server"),
            ("postgres://a/agentidp?canary.7=b", "has a parameter, which this server"),
        ] {
            let error = read(url).unwrap_err();
            assert!(error.starts_with("DATABASE_URL ") && error.contains(part), "{error}");
            assert!(!error.to_lowercase().contains("canary"), "{error}");
        }
    }

    #[test]
    fn what_may_be_ignored_is_a_warning() {
        let (_, warnings) = read("postgres://a/agentidp?connect_timeout=10&keepalives=1").unwrap();
        assert!(warnings.len() == 2 && warnings[0].starts_with("DATABASE_URL has connect_timeout"), "{warnings:?}");
    }
}
