//! The ACL token in use.
//!
//! It decides when a token file is read again. It never shows a token and never sends one.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use http::HeaderValue;

use super::client::{ClientBuildError, ClientError, TokenSource};

/// The largest token file that is read. Consul's tokens are UUIDs; a JWT fits as well.
const TOKEN_BYTES_MAX: u64 = 16 << 10;

#[derive(Debug)]
pub(crate) enum Token {
    None,
    Value(HeaderValue),
    File { path: PathBuf, seen: Mutex<Option<Seen>> },
}

/// A file's content and how to notice that it is another one.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    modified: Option<SystemTime>,
    bytes: u64,
    value: HeaderValue,
}

impl Token {
    pub(crate) fn new(source: &TokenSource) -> Result<Self, ClientBuildError> {
        match source {
            TokenSource::None => Ok(Self::None),
            TokenSource::Value(text) => {
                secret(text).map(Self::Value).map_err(|_unfit| ClientBuildError::Token)
            }
            TokenSource::File(path) => Ok(Self::File { path: path.clone(), seen: Mutex::new(None) }),
        }
    }

    /// The token to send now.
    pub(crate) async fn current(&self) -> Result<Option<HeaderValue>, ClientError> {
        match self {
            Self::None => Ok(None),
            Self::Value(value) => Ok(Some(value.clone())),
            Self::File { path, seen } => {
                let before = lock(seen).clone();
                let now = read(path, before).await?;
                let value = now.value.clone();
                *lock(seen) = Some(now);
                Ok(Some(value))
            }
        }
    }

    /// The server did not accept the token: the next one is read from the file whatever its time says.
    pub(crate) fn forget(&self) {
        if let Self::File { seen, .. } = self {
            *lock(seen) = None;
        }
    }
}

fn lock(seen: &Mutex<Option<Seen>>) -> std::sync::MutexGuard<'_, Option<Seen>> {
    seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn read(path: &Path, before: Option<Seen>) -> Result<Seen, ClientError> {
    let told = |reason: String| ClientError::Token(format!("{}: {reason}", path.display()));
    let meta = tokio::fs::metadata(path).await.map_err(|error| told(error.to_string()))?;
    let (modified, bytes) = (meta.modified().ok(), meta.len());
    if let Some(same) = before.filter(|old| old.modified == modified && old.bytes == bytes) {
        return Ok(same);
    }
    if bytes > TOKEN_BYTES_MAX {
        return Err(told(format!("larger than {TOKEN_BYTES_MAX} bytes")));
    }
    let text = tokio::fs::read_to_string(path).await.map_err(|error| told(error.to_string()))?;
    let value = secret(text.trim()).map_err(|reason| told(reason.to_owned()))?;
    Ok(Seen { modified, bytes, value })
}

fn secret(text: &str) -> Result<HeaderValue, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let mut value = HeaderValue::from_str(text).map_err(|_unfit| "no header may carry what is in it")?;
    value.set_sensitive(true);
    Ok(value)
}
