//! A row between the database and the lifecycle.

use std::time::{Duration, SystemTime};

use agentidp_secrets::lifecycle::{Revision, Row, State};
use agentidp_secrets::{ClientId, CredentialId, CredentialKey, CredentialSecrets, Previous, Selector, StoredSecret};

use crate::Error;

/// The columns of a credential. Each is optional: a client without credentials has a row of nulls.
#[derive(sqlx::FromRow)]
pub(crate) struct Columns {
    client_id: String,
    credential_id: Option<String>,
    state: Option<String>,
    record: Option<String>,
    selector: Option<String>,
    previous_record: Option<String>,
    previous_selector: Option<String>,
    previous_until: Option<i64>,
    revision: Option<String>,
    expires_at: Option<i64>,
    is_unused: Option<bool>,
}

/// What an insert or a replacement writes.
pub(crate) struct Written {
    pub(crate) record: String,
    pub(crate) selector: Option<String>,
    pub(crate) previous_record: Option<String>,
    pub(crate) previous_selector: Option<String>,
    pub(crate) previous_until: Option<i64>,
    pub(crate) revision: Option<String>,
}

impl Columns {
    /// The credential of the row; none in the row of a client without credentials.
    pub(crate) fn into_row(self) -> Result<Option<Row>, Error> {
        let Some(credential_id) = &self.credential_id else { return Ok(None) };
        let key = key(&self.client_id, credential_id)?;
        // One that cannot be read damages the row, as a record does: the row is not found again by it.
        let revision = self.revision.as_deref().map(Revision::parse).transpose().ok();
        let secrets = self.secrets().filter(|_| revision.is_some());
        let row = Row::new(key, secrets, revision.flatten());
        Ok(Some(row.expiring(self.expires_at.map(time)).unused(self.is_unused == Some(true))))
    }

    pub(crate) fn into_state(self) -> Result<State, Error> {
        match self.state.as_deref() {
            Some("active") => Ok(self.into_row()?.map_or(State::Absent, |row| State::Active(Box::new(row)))),
            Some("ended") => Ok(State::Ended),
            Some("reserved") => Ok(State::Absent),
            _ => Err(Error::Unreadable("state")),
        }
    }

    /// None when a column cannot be read: a rotation repairs such a row.
    fn secrets(&self) -> Option<CredentialSecrets> {
        let stored = |text: &Option<String>| text.as_deref().map(StoredSecret::parse).transpose().ok();
        let selector = |text: &Option<String>| text.as_deref().map(Selector::parse).transpose().ok();
        let previous = match (&self.previous_record, self.previous_until) {
            (Some(_), Some(until)) => Some(Previous {
                stored: stored(&self.previous_record)??,
                selector: selector(&self.previous_selector)?,
                valid_until: time(until),
            }),
            // Without an end it does not count, whatever it is.
            _ => None,
        };
        Some(CredentialSecrets { current: stored(&self.record)??, selector: selector(&self.selector)?, previous })
    }
}

impl Written {
    pub(crate) fn of(row: &Row) -> Result<Self, Error> {
        // The lifecycle writes no row that it could not read.
        let secrets = row.secrets.as_ref().ok_or(Error::Unreadable("record"))?;
        let text = |selector: &Option<Selector>| selector.as_ref().map(Selector::to_text);
        let previous = secrets.previous.as_ref();
        Ok(Self {
            record: secrets.current.to_text(),
            selector: text(&secrets.selector),
            previous_record: previous.map(|previous| previous.stored.to_text()),
            previous_selector: previous.and_then(|previous| text(&previous.selector)),
            previous_until: previous.map(|previous| millis(previous.valid_until)),
            revision: row.revision.map(|revision| revision.to_string()),
        })
    }
}

pub(crate) fn key(client_id: &str, credential_id: &str) -> Result<CredentialKey, Error> {
    let client_id = ClientId::parse(client_id).map_err(|_| Error::Unreadable("client_id"))?;
    let credential_id = CredentialId::parse(credential_id).map_err(|_| Error::Unreadable("credential_id"))?;
    Ok(CredentialKey::new(client_id, credential_id))
}

/// Milliseconds since 1970. What is below a millisecond is lost.
pub(crate) fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn time(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis.max(0).unsigned_abs())
}
