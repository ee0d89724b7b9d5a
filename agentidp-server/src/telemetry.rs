//! The log: structured lines on standard error, with the fields of the span they happen in.

use std::any::Any;
use std::io;
use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, error};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{MakeWriter, layer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{Log, LogFormat};

/// Starts the log of this process; a second call changes nothing.
pub fn init(log: &Log) {
    if subscriber(log, io::stderr).try_init().is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// The subscriber that writes what `log` asks for to `writer`.
pub fn subscriber<W>(log: &Log, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // Checked when it was read; should it fail here, the directives that are sound stay.
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(&log.filter);
    let lines = layer().with_writer(writer).with_ansi(false);
    let lines = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        _ => lines.boxed(),
    };
    // For all lines and not around the layer that writes them: such a filter remembers its answer to a library that only asks
    // whether it would be heard, as sqlx does of each notice of PostgreSQL, and drops the next line of that thread for it.
    tracing_subscriber::registry().with(lines).with(filter).with(quiet())
}

/// Whatever the filter says: libraries that may write Vault paths, and lines about what is no news or reported anyway.
/// Our own lines say what happened, without the path.
fn quiet() -> Targets {
    Targets::new()
        .with_default(LevelFilter::TRACE)
        .with_target("vaultrs", LevelFilter::OFF)
        .with_target("rustify", LevelFilter::OFF)
        .with_target("reqwest", LevelFilter::WARN)
        .with_target("hyper", LevelFilter::WARN)
        .with_target("hyper_util", LevelFilter::WARN)
        // Each start would say that the table of migrations is there.
        .with_target("sqlx", LevelFilter::WARN)
}

/// Logs where it happened and what may be told of it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
    let message = tellable(panic.payload());
    error!(place = place.as_deref().unwrap_or("unknown"), message, "a task panicked: please report it");
}

/// The message if it is a constant of the program: a formatted one may have a secret in it.
fn tellable(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("(withheld)")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{debug, info, info_span, warn};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, events: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = Log { format, filter: filter.to_owned() };
        tracing::subscriber::with_default(subscriber(&log, move || writer.clone()), events);
        lines.text()
    }

    #[test]
    fn a_line_carries_the_fields_of_its_span_in_both_forms() {
        let events = || info_span!("request", request_id = "abc-1").in_scope(|| info!(status = 200, "answered"));
        let text = logged(LogFormat::Text, "info", events);
        assert!(text.contains("request_id=\"abc-1\"") && text.contains("status=200"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json, "info", events)).unwrap();
        assert_eq!((&json["status"], &json["span"]["request_id"]), (&200.into(), &"abc-1".into()));
    }

    #[test]
    fn libraries_that_write_paths_stay_quiet_whatever_the_filter_says() {
        for filter in ["trace", "vaultrs=trace,rustify=trace,reqwest=trace", "info,hyper=trace"] {
            let lines = logged(LogFormat::Text, filter, || {
                tracing::error!(target: "vaultrs::client", "canary");
                tracing::error!(target: "rustify::endpoint", "canary");
                debug!(target: "reqwest::connect", "canary");
                debug!(target: "hyper::proto", "canary");
                warn!(target: "hyper_util::client", "seen");
            });
            assert!(!lines.contains("canary"), "{filter}: {lines}");
        }
    }

    /// The line about credentials without a backend was lost so, at each start on PostgreSQL.
    #[test]
    fn a_library_that_asks_whether_it_would_be_heard_silences_nobody_else() {
        let text = logged(LogFormat::Text, "info", || {
            assert!(!tracing::enabled!(target: "sqlx::postgres::notice", tracing::Level::INFO));
            warn!("told");
        });
        assert!(text.contains("told"), "{text}");
    }

    #[test]
    fn a_panic_tells_constants_only() {
        let payload = |panic: fn()| std::panic::catch_unwind(panic).unwrap_err();
        assert_eq!(tellable(&*payload(|| panic!("a constant"))), "a constant");
        let formatted = payload(|| panic!("{}", std::hint::black_box("canary")));
        assert_eq!(tellable(&*formatted), "(withheld)");
    }
}
