//! Points in time as the API writes them: UTC, milliseconds, `Z`.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use utoipa::ToSchema;

/// The documented form, `2026-03-28T09:00:00.000Z`. Texts of this form sort as the times do.
const FORM: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A point in time with a resolution of one millisecond, so that what is stored reads back equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2026-03-28T09:00:00.000Z"))]
pub struct Timestamp(OffsetDateTime);

impl Timestamp {
    /// Reads an RFC 3339 time in any offset; a finer part than milliseconds is cut off. `None` also where the offset
    /// leads out of the years 0 to 9999, which have no documented form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)?;
        (at.year() >= 0).then(|| Self::from(at))
    }

    /// Whole seconds since 1970, as JWTs count.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// The same point as the `time` crate's type.
    #[must_use]
    pub fn to_offset(self) -> OffsetDateTime {
        self.0
    }

    /// Later by `by`; stays put where the calendar ends.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        time::Duration::try_from(by).ok().and_then(|by| self.0.checked_add(by)).map_or(self, Self::from)
    }

    /// Earlier by `by`; stays put where the calendar ends.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        time::Duration::try_from(by).ok().and_then(|by| self.0.checked_sub(by)).map_or(self, Self::from)
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(at: OffsetDateTime) -> Self {
        let at = at.to_offset(UtcOffset::UTC);
        Self(at.replace_millisecond(at.millisecond()).unwrap_or(at))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        Self::from(OffsetDateTime::from(at))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        at.0.into()
    }
}

/// For ids that sort by time; a time before 1970 counts as 1970.
impl From<Timestamp> for uuid::Timestamp {
    fn from(at: Timestamp) -> Self {
        let seconds = u64::try_from(at.0.unix_timestamp()).unwrap_or(0);
        Self::from_unix(uuid::NoContext, seconds, at.0.nanosecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(FORM).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_form_is_written_and_any_offset_is_read() {
        let at = Timestamp::parse("2026-03-28T11:00:00.0009+02:00").unwrap();
        assert_eq!(at.to_string(), "2026-03-28T09:00:00.000Z");
        assert_eq!(Timestamp::parse(&at.to_string()), Some(at));
        for beyond in ["9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01"] {
            assert_eq!(Timestamp::parse(beyond), None, "{beyond}");
        }
        for text in ["", "2026-03-28", "2026-03-28T09:00:00", "yesterday", "2026-13-01T00:00:00Z"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
