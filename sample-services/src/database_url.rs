//! Where a service's database is: an SQLite file or a PostgreSQL server.
//!
//! Read and judged once, at start. What is shown of it, in errors and logs, never holds a password.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use reqwest::Url;
use sqlx::any::AnyConnectOptions;
use thiserror::Error;

/// What the query of a PostgreSQL URL may set. The driver warns of others with their value, which may be a secret.
const PARAMETERS: [&str; 15] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "application_name",
    "options",
    "options[search_path]",
];

/// Which kind of database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file, used by the instances of one service on one machine.
    Sqlite,
    /// A server, used by instances on many machines.
    Postgres,
}

/// Where a service's database is.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Place);

#[derive(Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Memory,
    Server(Url),
}

/// A database URL that cannot be used. It does not repeat the URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadDatabaseUrl {
    /// Neither of the two kinds.
    #[error("it begins with neither `sqlite:` nor `postgres://`")]
    Kind,
    /// An SQLite URL without a file that stays.
    #[error("`sqlite:` needs the path of a file and takes no parameters")]
    File,
    /// A URL that cannot be read.
    #[error("it is not a URL: {0}")]
    Malformed(String),
    /// A parameter that means nothing.
    #[error(
        "it has the unknown parameter `{0}`; known are sslmode, sslrootcert, host, port, application_name, options"
    )]
    Parameter(String),
}

impl DatabaseUrl {
    /// Reads `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn parse(text: &str) -> Result<Self, BadDatabaseUrl> {
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() || path.contains(['?', '\0']) || path.starts_with(':') || path.ends_with('/') {
                return Err(BadDatabaseUrl::File);
            }
            return Ok(Self::file(Path::new(path)));
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(BadDatabaseUrl::Kind);
        }
        let url = Url::parse(text).map_err(|error| BadDatabaseUrl::Malformed(error.to_string()))?;
        match url.query_pairs().find(|(name, _)| !PARAMETERS.contains(&&**name)) {
            Some((name, _)) => Err(BadDatabaseUrl::Parameter(name.into_owned())),
            None => Ok(Self(Place::Server(url))),
        }
    }

    /// The SQLite file at `path`.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self(Place::File(path.to_owned()))
    }

    pub(crate) const fn memory() -> Self {
        Self(Place::Memory)
    }

    /// Which kind of database it is.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        match self.0 {
            Place::File(_) | Place::Memory => Backend::Sqlite,
            Place::Server(_) => Backend::Postgres,
        }
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::File(path) => Some(path),
            Place::Memory | Place::Server(_) => None,
        }
    }

    pub(crate) const fn is_memory(&self) -> bool {
        matches!(self.0, Place::Memory)
    }

    /// The driver's own form.
    pub(crate) fn options(&self) -> Result<AnyConnectOptions, sqlx::Error> {
        match &self.0 {
            Place::File(path) => {
                AnyConnectOptions::from_str(&format!("sqlite:{}?mode=rwc", percent_encoded(path)))
            }
            Place::Memory => AnyConnectOptions::from_str("sqlite::memory:"),
            Place::Server(url) => AnyConnectOptions::from_str(url.as_str()),
        }
    }
}

/// A path as the driver reads it: what means something in a URL is escaped.
fn percent_encoded(path: &Path) -> String {
    let mut encoded = String::new();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// The file, or the server and the database on it; never who logs in, nor how.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::File(path) => write!(f, "sqlite:{}", path.display()),
            Place::Memory => f.write_str("sqlite in memory"),
            Place::Server(url) => {
                write!(f, "postgres://{}", url.host_str().unwrap_or_default())?;
                url.port().map_or(Ok(()), |port| write!(f, ":{port}"))?;
                f.write_str(url.path())
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file_or_a_server() {
        let file = DatabaseUrl::parse("sqlite:/data/shop/order.db").unwrap();
        assert_eq!((file.backend(), file.path()), (Backend::Sqlite, Some(Path::new("/data/shop/order.db"))));
        assert_eq!(DatabaseUrl::parse("sqlite:///data/shop/order.db").unwrap(), file);
        let server =
            DatabaseUrl::parse("postgres://shop:s3cret@db.example:5433/orders?sslmode=require").unwrap();
        assert_eq!((server.backend(), server.path()), (Backend::Postgres, None));
    }

    #[test]
    fn no_password_is_ever_shown() {
        let server =
            DatabaseUrl::parse("postgres://shop:s3cret@db.example:5433/orders?sslmode=require").unwrap();
        assert_eq!(format!("{server}"), "postgres://db.example:5433/orders");
        assert_eq!(format!("{server:?}"), "DatabaseUrl(postgres://db.example:5433/orders)");
        let error = DatabaseUrl::parse("postgres://shop:s3cret@db.example:543333/orders").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_reason() {
        assert_eq!(DatabaseUrl::parse("mysql://db/orders"), Err(BadDatabaseUrl::Kind));
        for text in ["sqlite:", "sqlite::memory:", "sqlite:a.db?mode=ro", "sqlite:/data/"] {
            assert_eq!(DatabaseUrl::parse(text), Err(BadDatabaseUrl::File), "{text}");
        }
        let unknown = DatabaseUrl::parse("postgres://db/orders?passwd=s3cret").unwrap_err();
        assert_eq!(unknown, BadDatabaseUrl::Parameter("passwd".to_owned()));
    }

    #[test]
    fn a_path_is_taken_as_it_is_written() {
        assert_eq!(percent_encoded(Path::new("/a b/c#d%20.db")), "/a%20b/c%23d%2520.db");
    }
}
