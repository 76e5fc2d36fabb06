//! Host and port, slowly.

use std::net::Ipv6Addr;

/// The one spelling of the host, and the port if one is written; `None` if it is no host.
pub(crate) fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inside) => {
            let (literal, port) = inside.split_once(']')?;
            (format!("[{}]", literal.parse::<Ipv6Addr>().ok()?), port)
        }
        None => {
            let colon = text.find(':').unwrap_or(text.len());
            (name(&text[..colon])?, &text[colon..])
        }
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        None => None,
        Some(digits) => {
            let port: u16 = digits.parse().ok()?;
            // Writing it again finds signs and leading zeros.
            (port > 0 && port.to_string() == digits).then_some((host, Some(port)))
        }
    }
}

fn name(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    (name.len() <= 253 && name.split('.').all(is_label)).then(|| name.to_owned())
}
