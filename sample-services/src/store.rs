//! One SQLite file a service.
//!
//! The file may be shared by the instances of one service on one machine (write-ahead log, a
//! bounded wait for the lock), never by two services. Queries run off the async threads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use thiserror::Error;

/// How long a query waits for another instance's write.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// The database of one service.
#[derive(Debug, Clone)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
}

/// A database that cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// SQLite said no.
    #[error("the database refused: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The folder of the file cannot be made.
    #[error("the folder {path} cannot be made: {source}")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The query panicked.
    #[error("the query did not finish")]
    Unfinished,
}

impl Store {
    /// Opens `folder/name.db`, makes it if it is not there, and applies the migrations it has not seen.
    ///
    /// A migration is never edited once released: a change is a further one.
    ///
    /// # Errors
    /// When the folder or the file cannot be written, or a migration fails.
    pub fn open(folder: &Path, name: &str, migrations: &[&str]) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| StoreError::Folder { path: folder.display().to_string(), source })?;
        Self::prepare(Connection::open(folder.join(format!("{name}.db")))?, migrations)
    }

    /// A database that lives as long as the process; for tests.
    ///
    /// # Errors
    /// When a migration fails.
    pub fn in_memory(migrations: &[&str]) -> Result<Self, StoreError> {
        Self::prepare(Connection::open_in_memory()?, migrations)
    }

    fn prepare(mut connection: Connection, migrations: &[&str]) -> Result<Self, StoreError> {
        connection.busy_timeout(BUSY_WAIT)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        migrate(&mut connection, migrations)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs `work` in one transaction, off the async threads. An error rolls everything back.
    ///
    /// # Errors
    /// What `work` answers, or that the transaction could not begin or commit.
    pub async fn transact<T, E>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let connection = self.connection.clone();
        let run = move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = begin(&mut connection).map_err(E::from)?;
            let value = work(&transaction)?;
            transaction.commit().map_err(StoreError::from)?;
            Ok(value)
        };
        tokio::task::spawn_blocking(run).await.unwrap_or_else(|_| Err(StoreError::Unfinished.into()))
    }
}

fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    // Immediate: two instances that both mean to write queue up here instead of failing at commit.
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let transaction = begin(connection)?;
    let applied: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (number, migration) in (1..).zip(migrations) {
        if number > applied {
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", number)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE t (n INTEGER NOT NULL) STRICT;";
    const SECOND: &str = "ALTER TABLE t ADD COLUMN m INTEGER NOT NULL DEFAULT 7;";

    async fn count(store: &Store) -> i64 {
        store
            .transact(|tx| {
                Ok::<i64, StoreError>(tx.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?)
            })
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn migrations_are_applied_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path(), "x", &[FIRST]).unwrap());
        drop(Store::open(folder.path(), "x", &[FIRST, SECOND]).unwrap());
        let store = Store::open(folder.path(), "x", &[FIRST, SECOND]).unwrap();
        let m: i64 = store
            .transact(|tx| {
                tx.execute("INSERT INTO t (n) VALUES (1)", []).map_err(StoreError::from)?;
                Ok::<i64, StoreError>(tx.query_row("SELECT m FROM t", [], |row| row.get(0))?)
            })
            .await
            .unwrap();
        assert_eq!(m, 7);
    }

    #[tokio::test]
    async fn an_error_rolls_the_whole_transaction_back() {
        let store = Store::in_memory(&[FIRST]).unwrap();
        let refused: Result<(), StoreError> = store
            .transact(|tx| {
                tx.execute("INSERT INTO t (n) VALUES (1)", [])?;
                Err(StoreError::Unfinished)
            })
            .await;
        assert!(refused.is_err());
        assert_eq!(count(&store).await, 0);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let error = Store::open(Path::new("/proc/nowhere"), "x", &[]).unwrap_err().to_string();
        assert!(error.contains("/proc/nowhere"), "{error}");
    }
}
