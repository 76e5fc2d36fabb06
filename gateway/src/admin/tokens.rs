//! Who holds a token, and what it opens: the generated one, those of the configuration, and those made here.
//!
//! Digests are kept and compared, never tokens: equal lengths, and no byte of a token tells its time. What is made
//! through the API is in `tokens.json` in the state directory, written whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use portcullis_core::snapshot::{AdminToken, KeptSecret};
use portcullis_core::units::Moment;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use super::roles::Role;
use crate::{clock, entropy};

/// The tokens' file in the state directory.
pub const TOKENS_FILE: &str = "tokens.json";
/// Tokens that may be made.
pub(super) const MADE_MAX: usize = 256;
/// Bytes of the tokens' file; a longer one is some other file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a file that holds one token.
const TOKEN_BYTES_MAX: u64 = 4 << 10;
/// Least characters of a token that somebody else chose.
const TOKEN_CHARS_MIN: usize = 32;
/// How often the files of tokens are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The name that the generated token goes by.
pub(super) const GENERATED: &str = "admin";

type Sha = [u8; 32];

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token, or of the user on the socket.
    pub name: Arc<str>,
    /// What it may do.
    pub role: Role,
}

/// Why tokens cannot be used.
#[derive(Debug, Error)]
pub enum TokensError {
    /// The file of made tokens.
    #[error("{path}: {reason}; mend it, or delete it and make the tokens again", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A token of the configuration.
    #[error("`admin.tokens.{name}`: {reason}")]
    Configured {
        /// The token's name.
        name: Arc<str>,
        /// Why.
        reason: String,
    },
}

/// Why a token is not made or not removed.
#[derive(Debug)]
pub(super) enum Unchanged {
    /// There is one of this name.
    Taken,
    /// As many as are kept.
    Full,
    /// There is none.
    Unknown,
    /// It was not made here.
    NotMade(Origin),
    /// It could not be written.
    Io(io::Error),
}

/// Where a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Origin {
    /// Made at first start, in `admin-token` in the state directory.
    Generated,
    /// `admin.tokens` of the configuration.
    Configuration,
    /// Made through the API.
    Made,
}

/// A token as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: Arc<str>,
    pub(super) role: Role,
    pub(super) origin: Origin,
    /// Seconds since 1970.
    pub(super) created: Option<u64>,
    pub(super) expires: Option<u64>,
}

/// Every token.
#[derive(Debug)]
pub struct Tokens {
    generated: Sha,
    configured: Vec<Configured>,
    made: ArcSwap<Vec<Made>>,
    path: PathBuf,
    /// Held while the file is written, so that no change is lost.
    writing: Mutex<()>,
}

#[derive(Debug)]
struct Configured {
    name: Arc<str>,
    role: Role,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Value(Sha),
    File { path: PathBuf, last: Mutex<Look> },
}

/// The last look at a token's file.
#[derive(Debug)]
struct Look {
    at: Moment,
    stamp: Option<(SystemTime, u64)>,
    digest: Option<Sha>,
}

/// The tokens' file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    tokens: Vec<Made>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    name: Arc<str>,
    role: Role,
    #[serde(with = "hex")]
    sha256: Sha,
    created: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

impl Tokens {
    /// The generated token, those of the configuration (files are relative to `directory`) and those made before.
    ///
    /// # Errors
    /// A file that cannot be used: a token that silently opens nothing would be looked for in the wrong place.
    pub fn open(
        generated: &str,
        configured: &BTreeMap<Arc<str>, AdminToken>,
        directory: &Path,
        state: &Path,
    ) -> Result<Self, TokensError> {
        let configured = configured
            .iter()
            .map(|(name, token)| Configured::new(name.clone(), token, directory))
            .collect::<Result<_, _>>()?;
        let path = state.join(TOKENS_FILE);
        let made = load(&path).map_err(|reason| TokensError::File { path: path.clone(), reason })?;
        Ok(Self {
            generated: digest(generated),
            configured,
            made: ArcSwap::from_pointee(made),
            path,
            writing: Mutex::default(),
        })
    }

    /// Whose token this is. Looks at every one, whichever fits.
    pub(super) fn holder(&self, token: &str, present: Moment) -> Option<Caller> {
        let (given, now) = (digest(token), clock::since_epoch().as_secs());
        let mut found = None;
        let mut look = |name: &Arc<str>, role: Role, known: &Sha| {
            if given.ct_eq(known).into() {
                found = Some(Caller { name: name.clone(), role });
            }
        };
        for made in self.made.load().iter().filter(|made| made.is_valid(now)) {
            look(&made.name, made.role, &made.sha256);
        }
        for configured in &self.configured {
            if let Some(digest) = configured.digest(present) {
                look(&configured.name, configured.role, &digest);
            }
        }
        let is_generated: Choice = given.ct_eq(&self.generated);
        if is_generated.into() {
            found = Some(Caller { name: GENERATED.into(), role: Role::Admin });
        }
        found
    }

    /// Every token as it is shown.
    pub(super) fn list(&self) -> Vec<Known> {
        let generated = Known {
            name: GENERATED.into(),
            role: Role::Admin,
            origin: Origin::Generated,
            created: None,
            expires: None,
        };
        let configured = self.configured.iter().map(|token| Known {
            name: token.name.clone(),
            role: token.role,
            origin: Origin::Configuration,
            created: None,
            expires: None,
        });
        let made: Vec<Known> = self.made.load().iter().map(Made::shown).collect();
        std::iter::once(generated).chain(configured).chain(made).collect()
    }

    /// Makes a token and writes its digest down. Blocks for the disk.
    pub(super) fn make(
        &self,
        name: Arc<str>,
        role: Role,
        lasts: Option<Duration>,
    ) -> Result<(String, Known), Unchanged> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::since_epoch();
        if self.list().iter().any(|known| known.name == name && !known.is_over(now.as_secs())) {
            return Err(Unchanged::Taken);
        }
        let mut made: Vec<Made> =
            self.made.load().iter().filter(|made| made.is_valid(now.as_secs())).cloned().collect();
        if made.len() >= MADE_MAX {
            return Err(Unchanged::Full);
        }
        let token = hex::encode(entropy::secret());
        let new = Made {
            name,
            role,
            sha256: digest(&token),
            created: now.as_secs(),
            expires: lasts.map(|lasts| now.saturating_add(lasts).as_secs()),
        };
        let shown = new.shown();
        made.push(new);
        self.keep(made)?;
        Ok((token, shown))
    }

    /// Forgets a token that was made here; it opens nothing from now on. Blocks for the disk.
    pub(super) fn remove(&self, name: &str) -> Result<(), Unchanged> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut made = Vec::clone(&self.made.load());
        let before = made.len();
        made.retain(|made| *made.name != *name);
        if made.len() == before {
            let other = self.list().into_iter().find(|known| *known.name == *name);
            return Err(other.map_or(Unchanged::Unknown, |known| Unchanged::NotMade(known.origin)));
        }
        self.keep(made)
    }

    /// On disk first: what cannot be kept is not in use.
    fn keep(&self, made: Vec<Made>) -> Result<(), Unchanged> {
        let ledger = Ledger { tokens: made };
        let text = serde_json::to_vec_pretty(&ledger).map_err(|error| Unchanged::Io(error.into()))?;
        write(&self.path, &text).map_err(Unchanged::Io)?;
        self.made.store(Arc::new(ledger.tokens));
        Ok(())
    }
}

impl Known {
    fn is_over(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}

impl Made {
    fn is_valid(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn shown(&self) -> Known {
        Known {
            name: self.name.clone(),
            role: self.role,
            origin: Origin::Made,
            created: Some(self.created),
            expires: self.expires,
        }
    }
}

impl Configured {
    fn new(name: Arc<str>, token: &AdminToken, directory: &Path) -> Result<Self, TokensError> {
        let held = match &token.token {
            KeptSecret::Value(value) => Held::Value(digest(value.reveal())),
            KeptSecret::File(path) => {
                let path = directory.join(path);
                let stamp = stamp(&path);
                let digest = read_token(&path)
                    .map_err(|reason| TokensError::Configured { name: name.clone(), reason })?;
                let look = Look { at: clock::now(), stamp, digest: Some(digest) };
                Held::File { path, last: Mutex::new(look) }
            }
        };
        Ok(Self { name, role: token.role.into(), held })
    }

    /// What opens; `None` while its file cannot be used.
    fn digest(&self, now: Moment) -> Option<Sha> {
        match &self.held {
            Held::Value(digest) => Some(*digest),
            Held::File { path, last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if now.saturating_since(last.at) >= LOOK_EVERY {
                    last.at = now;
                    self.look_again(path, &mut last);
                }
                last.digest
            }
        }
    }

    fn look_again(&self, path: &Path, last: &mut Look) {
        let stamp = stamp(path);
        if stamp == last.stamp {
            return;
        }
        last.stamp = stamp;
        last.digest = match read_token(path) {
            Ok(digest) => Some(digest),
            Err(reason) => {
                tracing::error!(token = %self.name, %reason, "an admin token opens nothing until its file can be read");
                None
            }
        };
    }
}

fn digest(token: &str) -> Sha {
    Sha256::digest(token.as_bytes()).into()
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read_token(path: &Path) -> Result<Sha, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let token = text.trim();
    if token.len() < TOKEN_CHARS_MIN {
        return Err(format!(
            "{} holds no token of at least {TOKEN_CHARS_MIN} characters; make one with `openssl rand -hex 32`",
            path.display()
        ));
    }
    Ok(digest(token))
}

fn load(path: &Path) -> Result<Vec<Made>, String> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text)) {
        Ok(_) => serde_json::from_str::<Ledger>(&text)
            .map(|ledger| ledger.tokens)
            .map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

/// Written whole under another name and moved into place: a crash leaves the old file or the new one.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests;
