//! The folder for what outlives the process: the admin token and the last known endpoints.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::entropy;

/// The admin token's file.
pub const TOKEN_FILE: &str = "admin-token";
/// Bytes of a token file; a longer one is some other file.
const TOKEN_BYTES_MAX: u64 = 256;
/// Least characters of a token that somebody else wrote.
const TOKEN_CHARS_MIN: usize = 32;

/// The folder cannot be used.
#[derive(Debug, Error)]
pub enum StateDirError {
    /// Nobody said where it is, and there is no home.
    #[error("no place for state: set --state-dir, or HOME, or XDG_STATE_HOME")]
    NoPlace,
    /// It cannot be made or written.
    #[error("{path}: {source}; choose another folder with --state-dir", path = path.display())]
    Unusable {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The token in it is too short to be one.
    #[error(
        "{path} holds no token of at least {TOKEN_CHARS_MIN} characters; delete it, and a new one is made",
        path = path.display()
    )]
    WeakToken {
        /// The file.
        path: PathBuf,
    },
}

/// The folder, made if it was not there, for its owner only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

/// The admin token, and whether it was made just now.
#[derive(Clone)]
pub struct AdminToken {
    /// The token.
    pub value: String,
    /// It was not there before: it is shown to the operator once.
    pub is_new: bool,
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminToken").field("value", &"***").field("is_new", &self.is_new).finish()
    }
}

impl StateDir {
    /// The folder that was asked for, else the one of the XDG Base Directory Specification:
    /// `$XDG_STATE_HOME/portcullis` or `~/.local/state/portcullis`.
    ///
    /// # Errors
    /// When there is no such place, or it cannot be made.
    pub fn open(asked: Option<&Path>, env: &BTreeMap<String, String>) -> Result<Self, StateDirError> {
        let path = Self::place(asked, env).ok_or(StateDirError::NoPlace)?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| StateDirError::Unusable { path: path.clone(), source })?;
        Ok(Self(path))
    }

    /// Where the folder is, whether it is there or not; `None` if nobody said and there is no home.
    #[must_use]
    pub fn place(asked: Option<&Path>, env: &BTreeMap<String, String>) -> Option<PathBuf> {
        let variable = |name: &str| env.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        asked
            .map(Path::to_path_buf)
            .or_else(|| Some(variable("XDG_STATE_HOME")?.join("portcullis")))
            .or_else(|| Some(variable("HOME")?.join(".local/state/portcullis")))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The admin token: 256 random bits in hexadecimal, in a file that only its owner can read.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds something that is no token.
    pub fn admin_token(&self) -> Result<AdminToken, StateDirError> {
        let path = self.0.join(TOKEN_FILE);
        match read(&path) {
            Ok(value) if value.len() >= TOKEN_CHARS_MIN => Ok(AdminToken { value, is_new: false }),
            Ok(_) => Err(StateDirError::WeakToken { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let value = hex::encode(entropy::secret());
                write(&path, &value).map_err(|source| StateDirError::Unusable { path, source })?;
                Ok(AdminToken { value, is_new: true })
            }
            Err(source) => Err(StateDirError::Unusable { path, source }),
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// Written whole under another name and moved into place: a crash leaves no half token.
fn write(path: &Path, value: &str) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{value}")?;
    file.sync_all()?;
    fs::rename(draft, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(&folder.path().join("deep/state")), &BTreeMap::new()).unwrap();
        let first = state.admin_token().unwrap();
        assert!(first.is_new && first.value.len() == 64);
        let second = state.admin_token().unwrap();
        assert!(!second.is_new);
        assert_eq!(second.value, first.value);
        let mode = fs::metadata(state.path().join(TOKEN_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_empty_token_file_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TOKEN_FILE), "\n").unwrap();
        let state = StateDir::open(Some(folder.path()), &BTreeMap::new()).unwrap();
        let error = state.admin_token().unwrap_err().to_string();
        assert!(error.contains("delete it"), "{error}");
    }

    #[test]
    fn without_a_home_the_flag_is_named() {
        let error = StateDir::open(None, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains("--state-dir"), "{error}");
    }
}
