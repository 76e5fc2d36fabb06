//! What a service reads from its environment, once, at start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// The settings every service has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `LISTEN`: where to serve; port 0 picks a free one. Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// `CONSUL_HTTP_ADDR`: the agent to register with. Without it the service runs unregistered.
    pub consul: Option<String>,
    /// `CONSUL_HTTP_TOKEN`: the ACL token for the agent.
    pub consul_token: Option<String>,
    /// `DATA_DIR`: the folder of the database file, shared by the instances of one service. Default `.`.
    pub data_dir: PathBuf,
    /// `GATEWAY_URL`: how this service reaches the others. Default `http://127.0.0.1:8081`.
    pub gateway: String,
    /// `VERSION_TAG`: a tag to register under, such as `v2`.
    pub version_tag: Option<String>,
}

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
    pub fn from_map(variables: &BTreeMap<String, String>) -> Result<Self, BadSetting> {
        let text = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
        let listen = text("LISTEN").unwrap_or_else(|| "127.0.0.1:0".to_owned());
        Ok(Self {
            listen: listen.parse().map_err(|_| BadSetting {
                name: "LISTEN",
                value: listen,
                expected: "an address and a port such as 127.0.0.1:8000",
            })?,
            consul: url(text("CONSUL_HTTP_ADDR"), "CONSUL_HTTP_ADDR")?,
            consul_token: text("CONSUL_HTTP_TOKEN"),
            data_dir: text("DATA_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from),
            gateway: url(text("GATEWAY_URL"), "GATEWAY_URL")?
                .unwrap_or_else(|| "http://127.0.0.1:8081".to_owned()),
            version_tag: text("VERSION_TAG"),
        })
    }

    /// Reads the settings from the process's environment.
    ///
    /// # Errors
    /// As [`Settings::from_map`].
    #[expect(clippy::disallowed_methods, reason = "a service reads its environment once, here, at start")]
    pub fn from_environment() -> Result<Self, BadSetting> {
        Self::from_map(&std::env::vars().collect())
    }
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
        Settings::from_map(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
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
}
