//! Who has tried too many passwords for one account, and how long that account is left alone.
//!
//! The rule is pure; the count is in the database, so that instances share it. An attempt counts as failed from
//! its beginning until it is proved right: many at once are no way around. Accounts that do not exist are counted
//! too, so that the answer tells nobody which exist.

use std::time::Duration;

use sqlx::Row;

use crate::store::{Store, StoreError, Tx};

/// Attempts that may fail before the account is left alone.
const FAILURES_MAX: i64 = 5;
/// Failures count together if no more than this lies between them, in milliseconds.
const WINDOW_MS: i64 = 15 * 60 * 1000;
/// The first time an account is left alone; it doubles with each further failure, up to the window.
const LOCK_MS: i64 = 30 * 1000;
/// Attempts that are forgotten in one sweep.
const SWEPT_AT_ONCE: i64 = 500;

/// What is known of the attempts on one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Attempts {
    n_failed: i64,
    last_ms: i64,
    locked_until_ms: i64,
}

/// The account is left alone for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Locked(pub(super) Duration);

impl Attempts {
    /// One more attempt, counted as failed; or that there is none now.
    fn next(self, now_ms: i64) -> Result<Self, Locked> {
        if self.locked_until_ms > now_ms {
            let left_ms = self.locked_until_ms.saturating_sub(now_ms).min(WINDOW_MS);
            return Err(Locked(Duration::from_millis(left_ms.unsigned_abs())));
        }
        let goes_on = now_ms.saturating_sub(self.last_ms.max(self.locked_until_ms)) <= WINDOW_MS;
        let n_failed = if goes_on { self.n_failed.saturating_add(1) } else { 1 };
        let locked_until_ms = if n_failed < FAILURES_MAX {
            0
        } else {
            let doublings = u32::try_from(n_failed - FAILURES_MAX).unwrap_or(u32::MAX).min(10);
            now_ms.saturating_add((LOCK_MS << doublings).min(WINDOW_MS))
        };
        Ok(Self { n_failed, last_ms: now_ms, locked_until_ms })
    }
}

/// Begins an attempt, counted as failed.
pub(super) async fn begin(store: &Store, email: &str, now_ms: i64) -> Result<Result<(), Locked>, StoreError> {
    let mut tx = store.begin().await?;
    let attempts = lock(&mut tx, email, now_ms).await?;
    match attempts.next(now_ms) {
        Err(locked) => Ok(Err(locked)),
        Ok(Attempts { n_failed, last_ms, locked_until_ms }) => {
            let update = "UPDATE login_attempts SET n_failed = $2, last_ms = $3, locked_until_ms = $4 WHERE email = $1";
            let update = sqlx::query(update).bind(email).bind(n_failed).bind(last_ms).bind(locked_until_ms);
            update.execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(Ok(()))
        }
    }
}

/// The attempts on an account, which nobody else counts before this transaction has ended.
async fn lock(tx: &mut Tx, email: &str, now_ms: i64) -> Result<Attempts, sqlx::Error> {
    let insert = "INSERT INTO login_attempts (email, n_failed, last_ms, locked_until_ms) VALUES ($1, 0, $2, 0) \
                  ON CONFLICT (email) DO UPDATE SET n_failed = login_attempts.n_failed \
                  RETURNING n_failed, last_ms, locked_until_ms";
    let row = sqlx::query(insert).bind(email).bind(now_ms).fetch_one(&mut **tx).await?;
    Ok(Attempts { n_failed: row.try_get(0)?, last_ms: row.try_get(1)?, locked_until_ms: row.try_get(2)? })
}

/// The attempt was right after all: the account's count begins anew.
pub(super) async fn succeeded(tx: &mut Tx, email: &str) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM login_attempts WHERE email = $1")
        .bind(email)
        .execute(&mut **tx)
        .await
        .map(|_| ())
}

/// Forgets attempts that do not count any more, a bounded number.
pub(super) async fn sweep(store: &Store, now_ms: i64) -> Result<(), StoreError> {
    let delete = "DELETE FROM login_attempts WHERE email IN \
                  (SELECT email FROM login_attempts WHERE last_ms < $1 AND locked_until_ms < $1 LIMIT $2)";
    let mut tx = store.begin().await?;
    sqlx::query(delete).bind(now_ms.saturating_sub(WINDOW_MS)).bind(SWEPT_AT_ONCE).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databases;

    /// The seconds an account is left alone after each of so many failures, each tried as soon as it may be.
    fn locks(n: usize) -> Vec<u64> {
        let (mut attempts, mut now_ms, mut locks) = (Attempts::default(), 1_000_000, Vec::new());
        for _ in 0..n {
            attempts = attempts.next(now_ms).unwrap();
            locks.push((attempts.locked_until_ms - now_ms).max(0).unsigned_abs() / 1000);
            now_ms = now_ms.max(attempts.locked_until_ms);
        }
        locks
    }

    #[test]
    fn the_fifth_failure_leaves_the_account_alone_and_each_further_one_for_twice_as_long() {
        assert_eq!(locks(12), [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]);
    }

    #[test]
    fn an_account_left_alone_says_for_how_long() {
        let locked = Attempts { n_failed: 5, last_ms: 0, locked_until_ms: 30_000 };
        assert_eq!(locked.next(10_000), Err(Locked(Duration::from_secs(20))));
        assert!(locked.next(30_000).is_ok());
    }

    #[test]
    fn failures_long_ago_do_not_count() {
        let attempts = Attempts { n_failed: 4, last_ms: 0, locked_until_ms: 0 };
        assert_eq!(attempts.next(WINDOW_MS).unwrap().n_failed, 5);
        assert_eq!(attempts.next(WINDOW_MS + 1).unwrap().n_failed, 1);
    }

    #[tokio::test]
    async fn attempts_at_the_same_time_are_all_counted() {
        for database in databases::each().await {
            let store = database.open(crate::user::MIGRATIONS).await;
            let attempts = (0..12).map(|_| begin(&store, "ada@example.com", 1_000_000));
            let begun = futures_util::future::join_all(attempts).await;
            assert_eq!(begun.into_iter().filter(|begun| begun.as_ref().unwrap().is_ok()).count(), 5);
            sweep(&store, 1_000_000 + WINDOW_MS).await.unwrap();
            assert!(begin(&store, "ada@example.com", 1_000_001).await.unwrap().is_err());
            sweep(&store, 1_030_001 + WINDOW_MS).await.unwrap();
            assert!(begin(&store, "ada@example.com", 1_000_001).await.unwrap().is_ok());
        }
    }
}
