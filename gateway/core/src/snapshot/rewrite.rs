//! The path that the upstream sees.
//!
//! Decides how a matched path is rewritten, on the very text that was matched: nothing is decoded or normalised
//! again, so a prefix can not be stripped in one spelling and forwarded in another (CVE-2026-40912, -48020).

use std::borrow::Cow;
use std::sync::Arc;

use thiserror::Error;

use crate::head::is_normal;
use crate::router::{Params, PathPattern, Segment, normal_literal};

/// How a path is rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrite {
    /// The first `strip_bytes` are taken away and `add` is put in front.
    Prefix {
        /// Length of the prefix taken away; it ends at the end of a segment.
        strip_bytes: usize,
        /// Begins with `/` and does not end with one; or empty.
        add: Arc<str>,
    },
    /// The whole path is replaced.
    Path(Arc<[Part]>),
}

/// A piece of a replaced path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// `/` and this text.
    Literal(Arc<str>),
    /// `/` and the value of the parameter in this place of the pattern; nothing if it is absent.
    Param(usize),
    /// What `/**` of the pattern matched, from its `/` on; the number of segments before it.
    Tail(usize),
}

/// Why a rewrite in the document can not be done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadRewrite {
    /// Not a path: it would send requests elsewhere, or break the request line.
    #[error(
        "a rewritten path begins with a single `/` and has no blanks, `?`, `#`, `.` or `..` segments: {0}"
    )]
    NotAPath(String),
    /// The route's path does not begin with the prefix.
    #[error("the route's path `{0}` does not begin with it")]
    NotThePrefix(String),
    /// No such parameter.
    #[error("the route's path has no `{{{0}}}`")]
    UnknownParam(Arc<str>),
    /// `**` without one in the route's path.
    #[error("the route's path has no `**`")]
    NoTail,
}

impl Rewrite {
    /// A change of the prefix. `strip` must be the literal start of `pattern`.
    ///
    /// # Errors
    /// `BadRewrite` says what is wrong.
    pub fn prefix(strip: Option<&str>, add: Option<&str>, pattern: &PathPattern) -> Result<Self, BadRewrite> {
        let strip_bytes = match strip {
            Some(strip) => {
                let prefix = literal_path(strip)?;
                let mut segments = pattern.segments().iter();
                let is_start = prefix.iter().all(|wanted| match segments.next() {
                    Some(Segment::Literal(text)) => **text == **wanted,
                    Some(Segment::Param { .. }) | None => false,
                });
                if !is_start {
                    return Err(BadRewrite::NotThePrefix(pattern.to_string()));
                }
                prefix.iter().map(|segment| segment.len() + 1).sum()
            }
            None => 0,
        };
        let add: String = match add {
            Some(add) => literal_path(add)?.iter().flat_map(|segment| ["/", segment]).collect(),
            None => String::new(),
        };
        Ok(Self::Prefix { strip_bytes, add: add.into() })
    }

    /// A whole path; `{name}` and a final `/**` stand for what `pattern` matched there.
    ///
    /// # Errors
    /// `BadRewrite` says what is wrong.
    pub fn path(text: &str, pattern: &PathPattern) -> Result<Self, BadRewrite> {
        let body = after_single_slash(text)?;
        let mut parts = Vec::new();
        let mut segments = body.split('/').peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            let param = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            parts.push(match param {
                Some(name) => {
                    let idx = pattern.param_names().position(|known| **known == *name);
                    Part::Param(idx.ok_or_else(|| BadRewrite::UnknownParam(name.into()))?)
                }
                None if segment == "**" && is_last => {
                    if !pattern.has_tail() {
                        return Err(BadRewrite::NoTail);
                    }
                    Part::Tail(pattern.segments().len())
                }
                None => Part::Literal(literal_segment(text, segment, is_last)?.into()),
            });
        }
        Ok(Self::Path(parts.into()))
    }

    /// The path the upstream sees. `path` is the path that was matched, `params` what the match gave.
    #[must_use]
    pub fn apply<'p>(&self, path: &'p str, params: &Params) -> Cow<'p, str> {
        match self {
            Self::Prefix { strip_bytes, add } => {
                let rest = path.get(*strip_bytes..).unwrap_or(path);
                match (add.is_empty(), rest.is_empty()) {
                    (true, true) => Cow::Borrowed("/"),
                    (true, false) => Cow::Borrowed(rest),
                    (false, _) => Cow::Owned([add, rest].concat()),
                }
            }
            Self::Path(parts) => Cow::Owned(replaced(parts, path, params)),
        }
    }
}

fn replaced(parts: &[Part], path: &str, params: &Params) -> String {
    let mut out = String::with_capacity(path.len() + 16);
    for part in parts {
        match part {
            Part::Literal(text) => {
                out.push('/');
                out.push_str(text);
            }
            Part::Param(idx) => {
                if let Some(value) = params.get(path, *idx) {
                    out.push('/');
                    out.push_str(value);
                }
            }
            Part::Tail(n_before) => {
                let slashes = path.match_indices('/').map(|(at, _)| at);
                if let Some(start) = slashes.into_iter().nth(*n_before) {
                    out.push_str(path.get(start..).unwrap_or_default());
                }
            }
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    out
}

/// The segments of a literal path, without a final slash; none for `/`.
fn literal_path(text: &str) -> Result<Vec<String>, BadRewrite> {
    let body = after_single_slash(text)?;
    let body = body.strip_suffix('/').unwrap_or(body);
    if body.is_empty() {
        return Ok(Vec::new());
    }
    body.split('/').map(|segment| literal_segment(text, segment, false)).collect()
}

fn after_single_slash(text: &str) -> Result<&str, BadRewrite> {
    let body = text.strip_prefix('/').filter(|body| !body.starts_with('/'));
    body.ok_or_else(|| BadRewrite::NotAPath(text.to_owned()))
}

fn literal_segment(text: &str, segment: &str, may_be_empty: bool) -> Result<String, BadRewrite> {
    if segment.is_empty() && !may_be_empty {
        return Err(BadRewrite::NotAPath(text.to_owned()));
    }
    let literal = normal_literal(segment).map_err(|_| BadRewrite::NotAPath(text.to_owned()))?;
    if is_normal(&format!("/{literal}")) { Ok(literal) } else { Err(BadRewrite::NotAPath(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{Conditions, Found, PatternPool, RouteAsk, RouteSpec, Router};

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text, &mut PatternPool::default()).unwrap()
    }

    /// Matches `path` against `route` and rewrites it.
    fn rewritten(route: &str, rewrite: &Rewrite, path: &str) -> String {
        let spec = RouteSpec {
            name: "r".into(),
            hosts: Vec::new(),
            path: pattern(route),
            conditions: Conditions::default(),
            priority: 0,
            answers_preflight: false,
            value: (),
        };
        let router = Router::build(vec![spec]).router;
        let headers = http::HeaderMap::new();
        let ask = RouteAsk {
            listener: None,
            host: "",
            path,
            method: &http::Method::GET,
            headers: &headers,
            query: None,
        };
        match router.find(&ask) {
            Found::Route { params, .. } => rewrite.apply(path, &params).into_owned(),
            Found::MethodNotAllowed { .. } | Found::NoRoute => "no match".to_owned(),
        }
    }

    #[test]
    fn a_prefix_is_taken_away_in_the_spelling_that_was_matched() {
        let strip = Rewrite::prefix(Some("/api"), None, &pattern("/api/**")).unwrap();
        let check = |path: &str, expected: &str| assert_eq!(rewritten("/api/**", &strip, path), expected);
        check("/api/orders/42", "/orders/42");
        check("/api", "/");
        check("/api/", "/");
        check("/api../admin", "no match");
        check("/api%2E/admin", "no match");
        check("/api/%252e%252e/x", "/%252e%252e/x");
    }

    #[test]
    fn a_prefix_is_put_in_front() {
        let both = Rewrite::prefix(Some("/a/"), Some("/v2/"), &pattern("/a/b")).unwrap();
        assert_eq!(rewritten("/a/b", &both, "/a/b"), "/v2/b");
        let add = Rewrite::prefix(None, Some("/v2"), &pattern("/**")).unwrap();
        assert_eq!(rewritten("/**", &add, "/"), "/v2/");
        let whole = Rewrite::prefix(Some("/a/b"), Some("/v2"), &pattern("/a/b")).unwrap();
        assert_eq!(rewritten("/a/b", &whole, "/a/b"), "/v2");
    }

    #[test]
    fn a_whole_path_takes_parameters_and_the_tail() {
        let check = |route: &str, to: &str, path: &str, expected: &str| {
            let rewrite = Rewrite::path(to, &pattern(route)).unwrap();
            assert_eq!(rewritten(route, &rewrite, path), expected, "{route} {to} {path}");
        };
        check("/old/{id}", "/new/{id}/view", "/old/7", "/new/7/view");
        check("/o/{id?}", "/{id}", "/o", "/");
        check("/o/{id?}", "/p/{id}", "/o/x", "/p/x");
        check("/a/{x}/**", "/{x}/b/**", "/a/1/2/3", "/1/b/2/3");
        check("/a/{x}/**", "/{x}/b/**", "/a/1", "/1/b");
        check("/a", "/café/", "/a", "/caf%C3%A9/");
    }

    #[test]
    fn a_rewrite_that_could_name_another_host_or_break_the_line_is_refused() {
        for bad in ["//evil.host", "x", "/a b", "/a\r\nX: y", "/a/../b", "/a?x=1", "/a//b", "/a;b", "/a%2fb"]
        {
            assert!(matches!(Rewrite::path(bad, &pattern("/a")), Err(BadRewrite::NotAPath(_))), "{bad}");
            assert!(Rewrite::prefix(None, Some(bad), &pattern("/a")).is_err(), "{bad}");
        }
        assert_eq!(Rewrite::path("/{id}", &pattern("/a/{x}")), Err(BadRewrite::UnknownParam("id".into())));
        assert_eq!(Rewrite::path("/**", &pattern("/a")), Err(BadRewrite::NoTail));
        assert!(matches!(
            Rewrite::prefix(Some("/api/v1"), None, &pattern("/api/{v}/x")),
            Err(BadRewrite::NotThePrefix(_))
        ));
    }
}
