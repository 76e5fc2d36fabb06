//! Lists, a page at a time.
//!
//! Items are in the order of their keys, and a cursor names the last key shown: a list that changes between two
//! pages repeats nothing and leaves nothing out that was there all the time.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;

/// Items on a page unless `limit` says otherwise.
const LIMIT_DEFAULT: usize = 100;
/// Most items on a page.
const LIMIT_MAX: usize = 1_000;

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Most items on the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Where the page begins: `next` of the one before.
    cursor: Option<String>,
    /// Only items whose name or another of their main texts contains this; case does not matter.
    filter: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    items: Vec<T>,
    /// The cursor of the next page; absent on the last one. Also in `Link`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Paging {
    /// Whether an item with these texts is wanted.
    pub(super) fn wants<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> bool {
        let Some(filter) = self.filter.as_deref().map(str::to_lowercase) else { return true };
        texts.into_iter().any(|text| text.to_lowercase().contains(&filter))
    }

    /// The page of `items`, each with its key; `uri` is the request's own. `show` is called for what is on it.
    pub(super) fn page<I, T: Serialize>(
        &self,
        uri: &Uri,
        mut items: Vec<(String, I)>,
        show: impl FnMut(I) -> T,
    ) -> Result<Response, Problem> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            let detail = format!("`limit` is a number from 1 to {LIMIT_MAX}");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail));
        }
        let after = self.cursor.as_deref().map(decode).transpose()?;
        items.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(after) = after {
            items.retain(|(key, _)| *key > after);
        }
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(|(key, _)| hex::encode(key));
        let link = next.as_deref().and_then(|next| self.link(uri.path(), limit, next));
        let items = items.into_iter().map(|(_, item)| item).map(show).collect();
        let mut response = Json(Page { items, next }).into_response();
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    }

    fn link(&self, path: &str, limit: usize, next: &str) -> Option<HeaderValue> {
        let filter = self.filter.as_deref().map(|filter| format!("&filter={}", escaped(filter)));
        let filter = filter.unwrap_or_default();
        HeaderValue::from_str(&format!("<{path}?limit={limit}&cursor={next}{filter}>; rel=\"next\"")).ok()
    }
}

fn decode(cursor: &str) -> Result<String, Problem> {
    let key = hex::decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    key.ok_or_else(|| {
        let detail = "`cursor` is the `next` of the page before, as it was";
        Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail)
    })
}

/// A text as the value of a query: everything but letters, digits and `-._~` as its bytes.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(paging: &Paging, keys: &[&str]) -> (Vec<String>, Option<String>, Option<String>) {
        let items = keys.iter().map(|key| ((*key).to_owned(), (*key).to_owned())).collect();
        let uri = Uri::from_static("/api/v1/things?limit=2");
        let response = paging.page(&uri, items, |item| item).unwrap();
        let link = response.headers().get(header::LINK).map(|link| link.to_str().unwrap().to_owned());
        let body = futures_util::FutureExt::now_or_never(axum::body::to_bytes(response.into_body(), 9_999));
        let value: serde_json::Value = serde_json::from_slice(&body.unwrap().unwrap()).unwrap();
        let items = value["items"].as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned());
        (items.collect(), value["next"].as_str().map(str::to_owned), link)
    }

    #[test]
    fn pages_follow_each_other_and_the_last_one_says_so() {
        let mut paging = Paging { limit: Some(2), filter: Some("a b&c".to_owned()), ..Paging::default() };
        let all = ["e", "c", "a", "d", "b"];
        let (first, next, link) = keys(&paging, &all);
        assert_eq!(first, ["a", "b"]);
        let link = link.unwrap();
        assert!(link.starts_with("</api/v1/things?limit=2&cursor="), "{link}");
        assert!(link.ends_with("&filter=a%20b%26c>; rel=\"next\""), "{link}");
        paging.cursor = next;
        // The item that the cursor names may be gone by now.
        let (second, next, _) = keys(&paging, &["e", "c", "a", "d"]);
        assert_eq!(second, ["c", "d"]);
        paging.cursor = next;
        assert_eq!(keys(&paging, &all), (vec!["e".to_owned()], None, None));
    }

    #[test]
    fn a_made_up_cursor_and_a_limit_out_of_range_are_refused() {
        for paging in [
            Paging { cursor: Some("xyz".to_owned()), ..Paging::default() },
            Paging { cursor: Some("ff".to_owned()), ..Paging::default() },
            Paging { limit: Some(0), ..Paging::default() },
            Paging { limit: Some(1_001), ..Paging::default() },
        ] {
            let uri = Uri::from_static("/api/v1/things");
            assert!(paging.page(&uri, Vec::<(String, ())>::new(), |()| ()).is_err(), "{paging:?}");
        }
    }

    #[test]
    fn a_filter_looks_at_every_text_whatever_its_case() {
        let paging = Paging { filter: Some("ORD".to_owned()), ..Paging::default() };
        assert!(paging.wants(["cart", "orders"]) && !paging.wants(["cart"]));
        assert!(Paging::default().wants([]));
    }
}
