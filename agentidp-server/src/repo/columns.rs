//! How values travel: as PostgreSQL's own types, and as text in SQLite.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::types::Json;
use sqlx::{Database, Decode, Encode, Postgres, Sqlite, Type};
use time::OffsetDateTime;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::domain::{AgentStatus, AgentType, AuditAction, CredentialStatus, DeploymentEnv, Outcome, Timestamp};

/// An id: `uuid`, or its hyphenated text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(pub(super) Uuid);

/// A list of texts: `text[]`, or a JSON array.
#[derive(Clone, Debug)]
pub(super) struct TextList(pub(super) Vec<String>);

/// `$column` travels to `$db` as `$wire`, a type that the driver knows.
macro_rules! column {
    ($column:ty, $db:ty, $wire:ty, $to_wire:expr, $from_wire:expr) => {
        impl Type<$db> for $column {
            fn type_info() -> <$db as Database>::TypeInfo {
                <$wire as Type<$db>>::type_info()
            }

            fn compatible(info: &<$db as Database>::TypeInfo) -> bool {
                <$wire as Type<$db>>::compatible(info)
            }
        }

        impl Encode<'_, $db> for $column {
            fn encode_by_ref(&self, buffer: &mut <$db as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let to_wire: fn(&Self) -> $wire = $to_wire;
                <$wire as Encode<'_, $db>>::encode(to_wire(self), buffer)
            }
        }

        impl<'row> Decode<'row, $db> for $column {
            fn decode(value: <$db as Database>::ValueRef<'row>) -> Result<Self, BoxDynError> {
                let from_wire: fn($wire) -> Option<Self> = $from_wire;
                from_wire(<$wire as Decode<'row, $db>>::decode(value)?)
                    .ok_or_else(|| concat!("not a ", stringify!($column)).into())
            }
        }
    };
}

column!(Id, Postgres, Uuid, |id| id.0, |id| Some(Self(id)));
column!(Id, Sqlite, Hyphenated, |id| id.0.hyphenated(), |id| Some(Self(id.into_uuid())));
column!(TextList, Postgres, Vec<String>, |list| list.0.clone(), |list| Some(Self(list)));
column!(TextList, Sqlite, Json<Vec<String>>, |list| Json(list.0.clone()), |list| Some(Self(list.0)));
column!(Timestamp, Postgres, OffsetDateTime, |at| at.to_offset(), |at| Some(at.into()));
column!(Timestamp, Sqlite, String, |at| at.to_string(), |at| Self::parse(&at));

/// Enums travel in their documented spelling.
macro_rules! named_columns {
    ($($column:ty),+ $(,)?) => {$(
        column!($column, Postgres, String, |value| value.as_str().to_owned(), |text| Self::parse(&text));
        column!($column, Sqlite, String, |value| value.as_str().to_owned(), |text| Self::parse(&text));
    )+};
}

named_columns!(AgentStatus, AgentType, AuditAction, CredentialStatus, DeploymentEnv, Outcome,);
