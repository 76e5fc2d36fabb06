//! What a service reads from its environment, once, at start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::database_url::DatabaseUrl;

/// Longest time a setting may name.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The settings every service has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `LISTEN`: where to serve; port 0 picks a free one. Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// `CONSUL_HTTP_ADDR`: the agent to register with. Without it the service runs unregistered.
    pub consul: Option<String>,
    /// `CONSUL_HTTP_TOKEN`: the ACL token for the agent.
    pub consul_token: Option<String>,
    /// `DATABASE_URL`: `sqlite:PATH` or `postgres://…`. Default: a file named after the service in `DATA_DIR`.
    pub database: Option<DatabaseUrl>,
    /// `DATA_DIR`: the folder of the database file, shared by the instances of one service. Default `.`.
    pub data_dir: PathBuf,
    /// `GATEWAY_URL`: how this service reaches the others. Default `http://127.0.0.1:8081`.
    pub gateway: String,
    /// `VERSION_TAG`: a tag to register under, such as `v2`.
    pub version_tag: Option<String>,
    /// Everything else, for what only one service has.
    pub variables: Variables,
}

/// The variables of the environment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

/// A variable that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name}={value:?} is not {expected}")]
pub struct BadSetting {
    /// The variable.
    pub name: &'static str,
    /// What it says.
    pub value: String,
    /// What it should be.
    pub expected: &'static str,
}

impl Settings {
    /// Reads the settings from a map of variables.
    ///
    /// # Errors
    /// The first variable that cannot be used, by name, with what it should be.
    pub fn from_map(variables: BTreeMap<String, String>) -> Result<Self, BadSetting> {
        let variables = Variables(variables);
        let text = |name: &str| variables.text(name);
        let listen = text("LISTEN").unwrap_or_else(|| "127.0.0.1:0".to_owned());
        Ok(Self {
            listen: listen.parse().map_err(|_| BadSetting {
                name: "LISTEN",
                value: listen,
                expected: "an address and a port such as 127.0.0.1:8000",
            })?,
            consul: url(text("CONSUL_HTTP_ADDR"), "CONSUL_HTTP_ADDR")?,
            consul_token: text("CONSUL_HTTP_TOKEN"),
            database: text("DATABASE_URL").map(|text| database(&text)).transpose()?,
            data_dir: text("DATA_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from),
            gateway: url(text("GATEWAY_URL"), "GATEWAY_URL")?
                .unwrap_or_else(|| "http://127.0.0.1:8081".to_owned()),
            version_tag: text("VERSION_TAG"),
            variables,
        })
    }

    /// The database of the service that is called `name` for short.
    #[must_use]
    pub fn database(&self, name: &str) -> DatabaseUrl {
        self.database.clone().unwrap_or_else(|| DatabaseUrl::file(&self.data_dir.join(format!("{name}.db"))))
    }

    /// Reads the settings from the process's environment.
    ///
    /// # Errors
    /// As [`Settings::from_map`].
    #[expect(clippy::disallowed_methods, reason = "a service reads its environment once, here, at start")]
    pub fn from_environment() -> Result<Self, BadSetting> {
        let readable =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self::from_map(std::env::vars_os().filter_map(readable).collect())
    }
}

impl Variables {
    /// A variable's value; an empty one counts as not set.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// A variable that is a number within `range`.
    ///
    /// # Errors
    /// With `expected`, when it is not.
    pub fn number(
        &self,
        name: &'static str,
        range: RangeInclusive<i64>,
        expected: &'static str,
    ) -> Result<Option<i64>, BadSetting> {
        let Some(value) = self.text(name) else { return Ok(None) };
        match value.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            Ok(_) | Err(_) => Err(BadSetting { name, value, expected }),
        }
    }

    /// A variable that is a time such as `500ms`, `60s`, `15m`, `24h`.
    ///
    /// # Errors
    /// When it is not, is zero, or longer than a year.
    pub fn duration(&self, name: &'static str) -> Result<Option<Duration>, BadSetting> {
        let Some(value) = self.text(name) else { return Ok(None) };
        match duration(&value).filter(|time| !time.is_zero() && *time <= DURATION_MAX) {
            Some(time) => Ok(Some(time)),
            None => Err(BadSetting {
                name,
                value,
                expected: "a time such as 500ms, 60s, 15m or 24h, a year at most",
            }),
        }
    }
}

/// Names only: a value may be a secret.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let ms = match unit {
        "ms" => number,
        "s" => number.checked_mul(1_000)?,
        "m" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        _ => return None,
    };
    Some(Duration::from_millis(ms))
}

/// The value is not repeated: it may hold a password.
fn database(text: &str) -> Result<DatabaseUrl, BadSetting> {
    DatabaseUrl::parse(text).map_err(|error| BadSetting {
        name: "DATABASE_URL",
        value: format!("({error})"),
        expected: "a database such as sqlite:/data/order.db or postgres://user:password@host/database",
    })
}

/// A base URL without its trailing slash; `host:port` alone means plain HTTP, as for Consul's own tools.
fn url(value: Option<String>, name: &'static str) -> Result<Option<String>, BadSetting> {
    let Some(value) = value else { return Ok(None) };
    let whole = if value.contains("://") { value.clone() } else { format!("http://{value}") };
    let usable = whole.parse::<axum::http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if usable {
        Ok(Some(whole.trim_end_matches('/').to_owned()))
    } else {
        Err(BadSetting { name, value, expected: "a URL such as http://127.0.0.1:8500" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, BadSetting> {
        Settings::from_map(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn nothing_set_means_a_free_loopback_port_and_no_registration() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:0");
        assert_eq!(settings.consul, None);
    }

    #[test]
    fn a_consul_address_may_leave_its_scheme_out() {
        assert_eq!(
            read(&[("CONSUL_HTTP_ADDR", "127.0.0.1:8500")]).unwrap().consul.unwrap(),
            "http://127.0.0.1:8500"
        );
    }

    #[test]
    fn a_bad_variable_is_named_with_what_it_should_be() {
        let error = read(&[("LISTEN", "8000")]).unwrap_err().to_string();
        assert_eq!(error, "LISTEN=\"8000\" is not an address and a port such as 127.0.0.1:8000");
        assert_eq!(read(&[("GATEWAY_URL", "ftp://x")]).unwrap_err().name, "GATEWAY_URL");
    }

    #[test]
    fn the_database_is_a_file_named_after_the_service_unless_a_url_says_otherwise() {
        assert_eq!(
            read(&[("DATA_DIR", "/data")]).unwrap().database("user").to_string(),
            "sqlite:/data/user.db"
        );
        let settings = read(&[("DATABASE_URL", "postgres://shop:s3cret@db/users")]).unwrap();
        assert_eq!(settings.database("user").to_string(), "postgres://db/users");
        assert!(!format!("{settings:?}").contains("s3cret"), "{settings:?}");
    }

    #[test]
    fn a_bad_database_url_is_named_without_what_it_holds() {
        let error = read(&[("DATABASE_URL", "postgres://shop:s3cret@db:99999/users")]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        assert!(error.to_string().contains("invalid port number"), "{error}");
    }

    #[test]
    fn times_have_a_unit() {
        let read = |value| read(&[("KEY_LEAD", value)]).unwrap().variables.duration("KEY_LEAD");
        assert_eq!(read("1500ms").unwrap(), Some(Duration::from_millis(1500)));
        assert_eq!(read("24h").unwrap(), Some(Duration::from_secs(86_400)));
        assert_eq!(read("").unwrap(), None);
        for wrong in ["60", "s", "0s", "1d", "-1s", "99999999999999999999h", "9000h"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_have_a_range() {
        let read = |value| read(&[("N", value)]).unwrap().variables.number("N", 1..=9, "1 to 9");
        assert_eq!(read("9").unwrap(), Some(9));
        assert_eq!(read("10").unwrap_err().to_string(), "N=\"10\" is not 1 to 9");
        assert!(read("nine").is_err());
    }
}
