//! Hashing passwords with Argon2id (RFC 9106).
//!
//! Each hash takes 19 MiB and tens of milliseconds of one core on purpose, so no more than a few
//! run at once: a flood of logins waits here instead of taking the machine.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use thiserror::Error;
use tokio::sync::Semaphore;

/// Hashes computed at the same time.
const AT_ONCE: usize = 2;

/// A hash that could not be made.
#[derive(Debug, Error)]
pub(super) enum HashError {
    #[error("argon2: {0}")]
    Argon2(argon2::password_hash::Error),
    #[error("hashing did not finish")]
    Unfinished,
}

#[derive(Debug)]
pub(super) struct Passwords {
    places: Arc<Semaphore>,
    /// A hash of nothing anybody knows, to verify against when there is no account.
    decoy: String,
}

impl Passwords {
    pub(super) fn new() -> Result<Self, HashError> {
        let decoy = hash_now(&uuid::Uuid::new_v4().to_string())?;
        Ok(Self { places: Arc::new(Semaphore::new(AT_ONCE)), decoy })
    }

    pub(super) async fn hash(&self, password: String) -> Result<String, HashError> {
        self.in_turn(move || hash_now(&password)).await
    }

    /// Whether `password` is the one behind `hash`. Without a hash it takes as long and is false.
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, HashError> {
        let exists = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let matches = self.in_turn(move || {
            let hash = PasswordHash::new(&hash).map_err(|error| HashError::Argon2(error.into()))?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        Ok(matches.await? && exists)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let _place = self.places.acquire().await.map_err(|_| HashError::Unfinished)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| HashError::Unfinished)?
    }
}

fn hash_now(password: &str) -> Result<String, HashError> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(HashError::Argon2)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_an_existing_account_is_right() {
        let passwords = Passwords::new().unwrap();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(passwords.verify("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".to_owned(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse".to_owned(), None).await.unwrap());
    }
}
