//! Answers with a page of a list.

use hyper::StatusCode;
use hyper::header::{HeaderValue, LINK};
use serde::Serialize;
use uuid::Uuid;

use super::validate::not_too_deep;
use crate::domain::{Paged, Timestamp};
use crate::error::ApiResult;
use crate::http::respond::json;
use crate::http::{Call, Response};

/// Answers with the page, each row as `view` makes it, and a `Link` header to the page behind its last row. That page costs
/// the same at any depth. `place` gives a row's time and id.
pub(super) fn answer<T, V: Serialize>(
    call: &Call<'_>,
    found: Paged<T>,
    place: impl Fn(&T) -> (Timestamp, Uuid),
    view: impl Fn(T) -> V,
) -> ApiResult<Response> {
    let found = not_too_deep(found)?;
    // A page that is not full is the last one.
    let is_full = found.data.len() == found.limit as usize;
    let next = found.data.last().filter(|_| is_full).map(|last| next(call.query(), place(last)));
    let mut response = json(StatusCode::OK, &found.map(view));
    if let Some(Ok(link)) = next.map(HeaderValue::try_from) {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

/// The page behind a row (RFC 8288), as a reference relative to the request: a proxy may know this server by another path.
fn next(query: &str, (at, id): (Timestamp, Uuid)) -> String {
    let mut next = form_urlencoded::Serializer::new(String::new());
    let same = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "page" && name != "before");
    next.extend_pairs(same).append_pair("before", &format!("{at}_{id}"));
    format!("<?{}>; rel=\"next\"", next.finish())
}
