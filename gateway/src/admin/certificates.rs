//! `GET /certificates`: what the listeners show to clients, and until when it holds.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::extract::Query;
use super::page::{Page, Paging};
use super::problem::Problem;
use crate::clock;
use crate::operator::Operator;

/// A certificate in use.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CertificateShown {
    listener: String,
    /// The file it was read from.
    file: String,
    subject: String,
    issuer: String,
    /// Names and addresses it is for.
    names: Vec<String>,
    serial: String,
    /// Of the whole certificate, in hexadecimal.
    sha256: String,
    /// RFC 3339, UTC.
    not_before: String,
    /// RFC 3339, UTC.
    not_after: String,
    /// Days until it ends; negative if it has ended.
    days_left: i64,
}

/// The certificates that the listeners show
#[utoipa::path(
    get,
    path = "/api/v1/certificates",
    params(Paging),
    responses((status = 200, body = Page<CertificateShown>), (status = 400, body = Problem))
)]
pub(super) async fn list(
    State(operator): State<Arc<Operator>>,
    Query(paging): Query<Paging>,
    uri: Uri,
) -> Result<Response, Problem> {
    let in_use = operator.listeners.certificates().into_iter().enumerate();
    let shown = in_use.filter_map(|(idx, (listener, file, der))| {
        let shown = show(&listener, &file, &der)?;
        let texts = [&shown.listener, &shown.subject].into_iter().chain(&shown.names);
        paging.wants(texts.map(String::as_str)).then(|| (format!("{listener} {idx:06}"), shown))
    });
    paging.page(&uri, shown.collect(), |shown| shown)
}

/// `None` for what no parser understands; the listener would not have taken it.
fn show(listener: &Arc<str>, file: &Path, der: &[u8]) -> Option<CertificateShown> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let (start, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let now = i64::try_from(clock::since_epoch().as_secs()).unwrap_or(i64::MAX);
    Some(CertificateShown {
        listener: listener.to_string(),
        file: file.display().to_string(),
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        names: names(&certificate),
        serial: certificate.raw_serial_as_string(),
        sha256: hex::encode(Sha256::digest(der)),
        not_before: rfc3339(start),
        not_after: rfc3339(end),
        days_left: (end - now).div_euclid(86_400),
    })
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.into_iter().flat_map(|extension| &extension.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::URI(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).to_string())
}

/// Before 1970 is shown as 1970.
fn rfc3339(seconds: i64) -> String {
    clock::rfc3339(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}
