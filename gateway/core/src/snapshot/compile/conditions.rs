//! What makes a request one of a route's: hosts, path, methods, headers, query.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, Method};
use portcullis_schema as schema;
use portcullis_schema::{At, Code};
use regex::bytes::{Regex, RegexBuilder};

use super::report::Report;
use crate::router::{
    BadPattern, Conditions, HeaderCondition, HostPattern, MethodSet, PathPattern, PatternPool,
    QueryCondition, ValueTest,
};

/// Largest compiled expression of a condition, in bytes.
const REGEX_COMPILED_BYTES_MAX: usize = 256 * 1024;

/// Parts that the conditions of many routes share.
#[derive(Debug, Default)]
pub(super) struct ConditionPool {
    patterns: PatternPool,
    hosts: BTreeMap<Arc<str>, HostPattern>,
    methods: BTreeMap<Vec<Arc<str>>, MethodSet>,
    regexes: BTreeMap<Arc<str>, Arc<Regex>>,
}

impl ConditionPool {
    /// The hosts of a route; empty for any.
    pub(super) fn hosts(&mut self, route: &schema::Route, report: &mut Report) -> Vec<HostPattern> {
        let mut hosts = Vec::new();
        for host in route.host.iter().flat_map(|hosts| &hosts.0) {
            let text = host.value.shared();
            if let Some(known) = self.hosts.get(&text) {
                hosts.push(known.clone());
                continue;
            }
            match HostPattern::parse(&text) {
                Ok(pattern) => {
                    self.hosts.insert(text, pattern.clone());
                    hosts.push(pattern);
                }
                Err(why) => {
                    let message = format!("`{text}` is not a host");
                    report.say(Code::BadValue, host.at, message, "not a host", Some(why.to_string()));
                }
            }
        }
        hosts
    }

    /// The path of a route.
    pub(super) fn path(&mut self, route: &schema::Route, report: &mut Report) -> Option<PathPattern> {
        let path = route.path.as_ref()?;
        match PathPattern::parse(&path.value, &mut self.patterns) {
            Ok(pattern) => Some(pattern),
            // the schema has said so
            Err(BadPattern::NoSlash) => None,
            Err(why) => {
                let code = match &why {
                    BadPattern::Regex(_) => Code::BadRegex,
                    BadPattern::NoSlash
                    | BadPattern::TooLarge
                    | BadPattern::EmptySegment
                    | BadPattern::DotSegment
                    | BadPattern::Star
                    | BadPattern::Braces
                    | BadPattern::Name
                    | BadPattern::Duplicate(_)
                    | BadPattern::Kind(_)
                    | BadPattern::OptionalNotLast
                    | BadPattern::Character(_)
                    | BadPattern::Escape(_) => Code::BadPath,
                };
                let message = format!("`{}` is not a path pattern", path.value);
                report.say(code, path.at, message, "not a path pattern", Some(why.to_string()));
                None
            }
        }
    }

    /// Methods, headers and query of a route.
    pub(super) fn conditions(&mut self, route: &schema::Route, report: &mut Report) -> Option<Conditions> {
        if let (Some([]), Some(path)) = (route.methods.as_deref(), &route.path) {
            let help = Some("name a method, or leave `methods` out to take any".to_owned());
            report.say(
                Code::OutOfRange,
                path.at,
                "`methods` is empty, so no request matches",
                "takes nothing",
                help,
            );
        }
        let methods = route.methods.as_ref().map(|methods| self.methods(methods));
        let mut headers = Vec::new();
        for (name, entry) in &route.headers {
            let test = self.test(&entry.value, report);
            // the schema's names are tokens in lower case, which is what a header name is
            if let (Ok(name), Some(test)) = (HeaderName::from_bytes(name.as_str().as_bytes()), test) {
                headers.push(HeaderCondition { name, test });
            }
        }
        let mut query = Vec::new();
        for (name, entry) in &route.query {
            if let Some(test) = self.test(&entry.value, report) {
                query.push(QueryCondition { name: name.shared(), test });
            }
        }
        let complete = headers.len() == route.headers.len() && query.len() == route.query.len();
        complete.then(|| Conditions {
            listeners: None,
            methods,
            headers: headers.into(),
            query: query.into(),
        })
    }

    /// A set of methods, shared by all routes that list the same.
    pub(super) fn methods(&mut self, methods: &[At<schema::Method>]) -> MethodSet {
        let texts: Vec<Arc<str>> = methods.iter().map(|method| method.value.shared()).collect();
        if let Some(known) = self.methods.get(&texts) {
            return known.clone();
        }
        let set = MethodSet::new(texts.iter().filter_map(|text| Method::from_bytes(text.as_bytes()).ok()));
        self.methods.insert(texts, set.clone());
        set
    }

    /// What a value must be; `None` if it is reported, here or by the schema.
    fn test(&mut self, condition: &At<schema::Condition>, report: &mut Report) -> Option<ValueTest> {
        let schema::Condition { is, regex, present } = &condition.value;
        match (is, regex, present) {
            (Some(is), None, None) => Some(ValueTest::Exact(is.value.as_str().into())),
            (None, Some(regex), None) => self.regex(regex, report).map(ValueTest::Regex),
            (None, None, Some(present)) if present.value => Some(ValueTest::Present),
            (None, None, Some(_)) => Some(ValueTest::Absent),
            (_, _, _) => None,
        }
    }

    fn regex(&mut self, text: &At<String>, report: &mut Report) -> Option<Arc<Regex>> {
        if let Some(known) = self.regexes.get(text.value.as_str()) {
            return Some(Arc::clone(known));
        }
        // the text must stand alone first, so that no parenthesis in it can undo the anchors
        let compile = |text: &str| RegexBuilder::new(text).size_limit(REGEX_COMPILED_BYTES_MAX).build();
        match compile(&text.value).and_then(|_| compile(&format!("^(?:{})$", text.value))) {
            Ok(regex) => {
                let regex = Arc::new(regex);
                self.regexes.insert(text.value.as_str().into(), Arc::clone(&regex));
                Some(regex)
            }
            Err(why) => {
                let message = format!("`{}` is not a regular expression", text.value);
                let why = why.to_string();
                let reason =
                    why.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
                report.say(Code::BadRegex, text.at, message, "not understood", Some(reason));
                None
            }
        }
    }
}
