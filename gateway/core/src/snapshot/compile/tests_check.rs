//! References in the routes' inline `tests`: names that do not exist make a test that can never hold.

use portcullis_schema as schema;
use portcullis_schema::{Code, Document};

use super::report::Report;
use super::upstreams::Upstreams;

/// Reports tests that name a route, upstream or consumer that is not there.
pub(super) fn check(document: &Document, upstreams: &Upstreams<'_>, report: &mut Report) {
    let tests = document.routes.values().flat_map(|entry| entry.value.tests.iter().flatten());
    for test in tests {
        if let Some(expect) = &test.value.expect {
            check_expect(document, upstreams, &expect.value, report);
        }
        let consumer = test.value.identity.as_ref().and_then(|identity| identity.value.consumer.as_ref());
        if let Some(consumer) = consumer.filter(|name| !document.consumers.contains_key(name.value.as_str()))
        {
            let known = document.consumers.keys().map(schema::Name::as_str);
            report.unknown(Code::UnknownConsumer, consumer.at, "consumer", consumer.value.as_str(), known);
        }
    }
}

fn check_expect(
    document: &Document,
    upstreams: &Upstreams<'_>,
    expect: &schema::Expect,
    report: &mut Report,
) {
    if let Some(route) =
        expect.route.as_ref().filter(|name| !document.routes.contains_key(name.value.as_str()))
    {
        let known = document.routes.keys().map(schema::Name::as_str);
        report.unknown(Code::BadTest, route.at, "route", route.value.as_str(), known);
    }
    if let Some(upstream) = &expect.upstream {
        let name = upstream.value.as_str();
        if !upstreams.is_used(name) && !document.upstreams.contains_key(name) {
            let known = document.upstreams.keys().map(schema::Name::as_str);
            report.unknown(Code::BadTest, upstream.at, "upstream", name, known);
        }
    }
    if let Some(status) = expect.status.as_ref().filter(|status| !(100..=599).contains(&status.value)) {
        let message = format!("{} is not a status", status.value);
        report.say(Code::BadTest, status.at, message, "not a status", None);
    }
}
