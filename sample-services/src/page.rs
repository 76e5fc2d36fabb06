//! Lists, page by page: `?limit=&cursor=` → `{ "items": […], "next": "…" }` and `Link: <…>; rel="next"`.
//!
//! A cursor is the key of the last item, written so that every one that looks right is right: a page after a
//! key that is gone begins where the key would be.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use reqwest::Url;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;

/// Items on a page.
pub const LIMIT_MAX: u32 = 100;
/// Items on a page unless the client asks for another number.
pub const LIMIT_DEFAULT: u32 = 50;

/// What a list is ordered by, as a cursor has it.
pub trait Key: Sized {
    /// The key as a cursor.
    fn to_cursor(&self) -> String;
    /// The key of a cursor, if it is one.
    fn from_cursor(cursor: &str) -> Option<Self>;
}

/// A number from 0; 16 digits, base 16.
impl Key for i64 {
    fn to_cursor(&self) -> String {
        format!("{self:016x}")
    }

    fn from_cursor(cursor: &str) -> Option<Self> {
        if !is_hex(cursor, 16) {
            return None;
        }
        Self::from_str_radix(cursor, 16).ok()
    }
}

/// 32 digits, base 16.
impl Key for Uuid {
    fn to_cursor(&self) -> String {
        self.simple().to_string()
    }

    fn from_cursor(cursor: &str) -> Option<Self> {
        if !is_hex(cursor, 32) {
            return None;
        }
        Self::try_parse(cursor).ok()
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window<K> {
    limit: u32,
    /// The key after which the page begins.
    pub after: Option<K>,
}

impl<K: Key> Window<K> {
    /// Reads the two parameters.
    ///
    /// # Errors
    /// 422 for a limit out of range or a broken cursor.
    pub fn new(limit: Option<u32>, cursor: Option<&str>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::invalid(format!("`limit` is 1 to {LIMIT_MAX}")));
        }
        let after = cursor.map(|cursor| {
            let broken = "`cursor` is not one of ours: take the `next` of the page before, or leave it out";
            K::from_cursor(cursor).ok_or_else(|| Problem::invalid(broken))
        });
        Ok(Self { limit, after: after.transpose()? })
    }

    /// How many rows to read: one more than the page has, to know whether another page follows.
    #[must_use]
    pub fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The page from the rows that were read. `others` are the list's other parameters, for the link.
    pub fn page<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> K, others: &[(&str, &str)]) -> Page<T> {
        let limit = self.limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| key(last).to_cursor());
        let link = next.as_ref().and_then(|next| link(self.limit, next, others));
        Page { items, next, link }
    }
}

/// The next page, relative to this one: it holds behind any gateway that serves the list under another path.
fn link(limit: u32, next: &str, others: &[(&str, &str)]) -> Option<HeaderValue> {
    let mut url = Url::parse("http://x/").ok()?;
    url.query_pairs_mut()
        .extend_pairs(others)
        .append_pair("limit", &limit.to_string())
        .append_pair("cursor", next);
    HeaderValue::try_from(format!("<?{}>; rel=\"next\"", url.query()?)).ok()
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    pub next: Option<String>,
    #[serde(skip)]
    link: Option<HeaderValue>,
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let link = self.link.clone();
        let mut response = Json(self).into_response();
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_full_but_last_has_no_next() {
        let window = Window::<i64>::new(Some(2), None).unwrap();
        assert_eq!(window.rows(), 3);
        let page = window.page(vec![1_i64, 2], |n| *n, &[]);
        assert_eq!((page.next, page.link), (None, None));
        let page = window.page(vec![1_i64, 2, 3], |n| *n, &[("search", "a b&c")]);
        assert_eq!((page.items, page.next.as_deref()), (vec![1, 2], Some("0000000000000002")));
        let link = page.link.unwrap();
        assert_eq!(link, "<?search=a+b%26c&limit=2&cursor=0000000000000002>; rel=\"next\"");
        assert_eq!(Window::<i64>::new(None, Some("0000000000000002")).unwrap().after, Some(2));
    }

    #[test]
    fn a_cursor_is_the_key_it_was_made_of() {
        for key in [0, 1, i64::MAX] {
            assert_eq!(i64::from_cursor(&key.to_cursor()), Some(key));
        }
        let key = Uuid::now_v7();
        assert_eq!(Uuid::from_cursor(&key.to_cursor()), Some(key));
    }

    #[test]
    fn what_is_out_of_range_or_broken_is_refused() {
        for limit in [0, 101] {
            assert!(Window::<i64>::new(Some(limit), None).unwrap_err().detail.contains("1 to 100"));
        }
        for cursor in
            ["", "2", "+000000000000002", "ffffffffffffffff", "000000000000000G", "00000000-0000-0000"]
        {
            assert_eq!(Window::<i64>::new(None, Some(cursor)).unwrap_err().status.as_u16(), 422, "{cursor}");
            assert!(Window::<Uuid>::new(None, Some(cursor)).is_err(), "{cursor}");
        }
    }
}
