//! The kinds of single values: how they are called, what they are, how they look.

/// Each kind that a definition may name, in the order of the page.
pub(super) const KINDS: [(&str, &str, &str); 20] = [
    ("text", "any text; quote it if YAML reads it otherwise", "`shop`"),
    (
        "whole number",
        "digits, with `_` between them if you like; at least 1 where 0 makes no sense",
        "`10_000`",
    ),
    (
        "duration",
        "numbers with their units: `ms`, `s`, `m`, `h`, `d`; at most a year",
        "`500ms` `10s` `1m30s`",
    ),
    (
        "size",
        "a number with its unit: `B`; by 1024 `KiB`, `MiB`, `GiB`; by 1000 `KB`, `MB`, `GB`",
        "`64KiB` `2MiB` `10MB`",
    ),
    ("rate", "so many in a second, minute, hour or day", "`100/s` `5/m` `1000/h` `10000/d`"),
    ("share", "a percentage, `0%` to `100%`", "`50%` `0.5%`"),
    ("name", "1 to 128 letters, digits, `_`, `-`, `.`, beginning with a letter or digit", "`orders-v2`"),
    ("address", "an IP address and a port", "`0.0.0.0:8080` `[::1]:8080`"),
    ("network", "addresses in CIDR form, or a single one", "`10.0.0.0/8` `::1`"),
    (
        "file",
        "a path, relative to the directory of the main file; that of the access log to where the gateway was started",
        "`certs/shop.pem`",
    ),
    ("URL", "`http://` or `https://`", "`https://127.0.0.1:8501`"),
    ("service", "a service in Consul, with `tag`, `dc`, `passing` if you like", "`consul://orders?tag=v2`"),
    (
        "target",
        "the name of an upstream, a service, or a fixed address",
        "`orders` `consul://order-service` `http://10.0.0.7:80`",
    ),
    ("source of keys", "a URL, or a path at a service", "`consul://user-service/.well-known/jwks.json`"),
    ("host", "a host name, perhaps with a leading wildcard", "`shop.example.com` `*.example.com`"),
    ("header name", "the name of a header, in either case", "`X-User-Id`"),
    ("method", "an HTTP method", "`GET` `POST`"),
    ("request", "a method, a host if you like, a path and a query", "`GET shop.example.com/api/orders/42`"),
    ("hash", "a SHA-256 in hexadecimal, 64 digits", "`9f86d081…b0f00a08`"),
    (
        "plugin",
        "its name, or a map of its name to its settings; beside it `failure: deny` (default) or `bypass`: what happens to a request when it breaks",
        "`- cors: { origins: [\"https://shop.example.com\"] }`",
    ),
];

/// One thing or several.
#[derive(Clone, Copy)]
pub(super) enum Number {
    One,
    Many,
}

impl Number {
    /// What one or several of a kind are called.
    pub(super) fn of(self, kind: &str) -> String {
        match self {
            Self::One => kind.to_owned(),
            Self::Many if kind == "source of keys" => "sources of keys".to_owned(),
            Self::Many if kind.ends_with('s') || kind.ends_with('h') => format!("{kind}es"),
            Self::Many => format!("{kind}s"),
        }
    }
}
