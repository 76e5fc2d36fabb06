//! One database a service: an SQLite file, or PostgreSQL by URL. No two services share one.
//!
//! SQL is written once, in what both understand: `$1` for arguments, columns of `BIGINT` and `TEXT`,
//! `ON CONFLICT … DO NOTHING`, `RETURNING`; a sum is `CAST(… AS BIGINT)`, or PostgreSQL answers a type the
//! driver does not know. A change of state is `UPDATE … WHERE id = $1 AND state = $2` with a look at the
//! number of rows: it is then right under SQLite's one writer and under PostgreSQL's many.
//!
//! A writing transaction holds SQLite's one place: never begin a second one before it has ended.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Connection};
use thiserror::Error;

pub use crate::database_url::{Backend, BadDatabaseUrl, DatabaseUrl};

/// Connections to PostgreSQL of one instance.
const CONNECTIONS_MAX: u32 = 8;
/// Connections that read an SQLite file beside the one that writes.
const READERS_MAX: u32 = 4;
/// Longest wait for a connection, and for another's lock.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How often opening a file is tried while another instance is just making it, and the rest between.
const OPEN_TRIES: u32 = 50;
const OPEN_REST: Duration = Duration::from_millis(100);
/// Guards the migrations of PostgreSQL; any number does, as long as every version uses the same.
const MIGRATION_LOCK: i64 = 0x5042_4355_4c4c_4953;

const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = wal; PRAGMA synchronous = full; \
                               PRAGMA foreign_keys = on;";
const POSTGRES_SETTINGS: &str = "SET lock_timeout = '5s'; SET statement_timeout = '10s'; \
                                 SET idle_in_transaction_session_timeout = '30s';";

/// A transaction. Dropped without [`commit`](sqlx::Transaction::commit) it leaves nothing behind.
pub type Tx = sqlx::Transaction<'static, Any>;

/// The database of one service.
#[derive(Debug, Clone)]
pub struct Store {
    writers: AnyPool,
    readers: AnyPool,
    backend: Backend,
}

/// A database that cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It said no, or said nothing.
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    /// It cannot be reached at start.
    #[error("the database {place} cannot be opened: {source}; set DATABASE_URL to one that can")]
    Open {
        /// Which one, without its password.
        place: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The folder or the file cannot be made.
    #[error("{path} cannot be made: {source}; set DATA_DIR to a folder that this user may write")]
    Folder {
        /// The folder or the file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A migration failed; nothing of it, nor of those before it, stays.
    #[error("migration {number} failed: {source}")]
    Migration {
        /// Which one, from 1.
        number: i64,
        /// Why.
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Whether the same may well succeed later: the database is busy, restarting or out of reach.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Database(error) | Self::Open { source: error, .. } => is_passing(error),
            Self::Folder { .. } | Self::Migration { .. } => false,
        }
    }
}

/// As [`StoreError::is_passing`], for what the driver says.
#[must_use]
pub fn is_passing(error: &sqlx::Error) -> bool {
    // SQLite: busy (5, 261, 517), locked (6). PostgreSQL: deadlock, serialization, lock and statement timeouts, out
    // of connections, shutting down.
    if let sqlx::Error::Database(error) = error {
        return error.code().is_some_and(|code| {
            matches!(&*code, "5" | "261" | "517" | "6" | "40P01" | "40001" | "55P03" | "57014" | "25P03")
                || ["08", "53", "57P"].iter().any(|class| code.starts_with(class))
        });
    }
    matches!(
        error,
        sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::BeginFailed
    )
}

impl Store {
    /// Opens the database, makes the file if it is not there, and applies the migrations it has not seen.
    ///
    /// A migration is never edited once released: a change is a further one. `{{serial}}` in it is the type of a
    /// key that counts up by itself.
    ///
    /// # Errors
    /// When the database cannot be reached or written, or a migration fails.
    pub async fn open(url: &DatabaseUrl, migrations: &[&str]) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        if let Some(path) = url.path() {
            make_file(path)?;
        }
        let backend = url.backend();
        let failed = |source| StoreError::Open { place: url.to_string(), source };
        let options = url.options().map_err(failed)?;
        if url.is_memory() {
            let pool = pool(backend, 1).idle_timeout(None).max_lifetime(None).connect_lazy_with(options);
            let mut connection = pool.acquire().await.map_err(failed)?;
            migrate(&mut connection, backend, migrations).await?;
            drop(connection);
            return Ok(Self { writers: pool.clone(), readers: pool, backend });
        }
        let mut connection = connect(&options, backend).await.map_err(failed)?;
        migrate(&mut connection, backend, migrations).await?;
        // It has served; whether it says goodbye is of no consequence.
        let _ = connection.close().await;
        let (writers, readers) = match backend {
            Backend::Sqlite => (
                pool(backend, 1).connect_lazy_with(options.clone()),
                pool(backend, READERS_MAX).connect_lazy_with(options),
            ),
            Backend::Postgres => {
                let pool = pool(backend, CONNECTIONS_MAX).connect_lazy_with(options);
                (pool.clone(), pool)
            }
        };
        Ok(Self { writers, readers, backend })
    }

    /// An SQLite database that lives as long as its store; for tests. It has one connection for everything.
    ///
    /// # Errors
    /// When a migration fails.
    pub async fn in_memory(migrations: &[&str]) -> Result<Self, StoreError> {
        Self::open(&DatabaseUrl::memory(), migrations).await
    }

    /// Begins a transaction that may write.
    ///
    /// On SQLite it has the one place of the writer from here on: two that both mean to write queue up here
    /// instead of failing at commit. On PostgreSQL it sees what others have committed, statement by statement.
    ///
    /// # Errors
    /// When no connection is free in time, or the database is gone.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self.backend {
            Backend::Sqlite => self.writers.begin_with("BEGIN IMMEDIATE").await?,
            Backend::Postgres => self.writers.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?,
        })
    }

    /// Begins a transaction that only reads, and sees one state of the database throughout. Waits for no writer.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub async fn read(&self) -> Result<Tx, StoreError> {
        Ok(match self.backend {
            Backend::Sqlite => self.readers.begin_with("BEGIN").await?,
            Backend::Postgres => {
                self.readers.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?
            }
        })
    }

    /// Which kind of database it is.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// Closes all connections once they are free.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }
}

fn pool(backend: Backend, connections_max: u32) -> AnyPoolOptions {
    let settings = settings(backend);
    AnyPoolOptions::new().max_connections(connections_max).acquire_timeout(WAIT_MAX).after_connect(
        move |connection, _| {
            Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(|_| ()) })
        },
    )
}

const fn settings(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => SQLITE_SETTINGS,
        Backend::Postgres => POSTGRES_SETTINGS,
    }
}

/// The first connection, outside the pool, which would hide why there is none.
async fn connect(options: &AnyConnectOptions, backend: Backend) -> Result<AnyConnection, sqlx::Error> {
    let mut tries = 0;
    loop {
        let attempt = async {
            let mut connection = options.connect().await?;
            sqlx::raw_sql(settings(backend)).execute(&mut connection).await?;
            Ok(connection)
        };
        match tokio::time::timeout(WAIT_MAX, attempt).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
            // A file that another instance is just turning to write-ahead logging is locked, whatever the busy wait.
            Err(error) if backend == Backend::Sqlite && is_passing(&error) && tries < OPEN_TRIES => {
                tries += 1;
                tokio::time::sleep(OPEN_REST).await;
            }
            settled => return settled,
        }
    }
}

/// Makes the file, for its owner only: it may hold secrets. SQLite gives the files beside it the same mode.
fn make_file(path: &Path) -> Result<(), StoreError> {
    let refused = |path: &Path, source| StoreError::Folder { path: path.display().to_string(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|source| refused(folder, source))?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(refused(path, error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn migrate(
    connection: &mut AnyConnection,
    backend: Backend,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let mut tx = match backend {
        Backend::Sqlite => connection.begin_with("BEGIN IMMEDIATE").await?,
        Backend::Postgres => {
            let mut tx = connection.begin().await?;
            let lock = AssertSqlSafe(format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"));
            sqlx::raw_sql(lock).execute(&mut *tx).await?;
            tx
        }
    };
    let table = "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY)";
    sqlx::raw_sql(table).execute(&mut *tx).await?;
    let applied: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM schema_migrations")
        .fetch_one(&mut *tx)
        .await?;
    for (number, migration) in (1..).zip(migrations) {
        if number > applied {
            let failed = |source| StoreError::Migration { number, source };
            let sql = AssertSqlSafe(migration.replace("{{serial}}", serial(backend)));
            sqlx::raw_sql(sql).execute(&mut *tx).await.map_err(failed)?;
            let insert = sqlx::query("INSERT INTO schema_migrations (version) VALUES ($1)").bind(number);
            insert.execute(&mut *tx).await.map_err(failed)?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// The type of a key that counts up by itself and never gives a number twice.
const fn serial(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "INTEGER PRIMARY KEY AUTOINCREMENT",
        Backend::Postgres => "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    }
}

#[cfg(test)]
mod tests;
