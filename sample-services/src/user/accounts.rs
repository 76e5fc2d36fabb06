//! Accounts in the database.

use axum::http::StatusCode;
use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

use crate::problem::Problem;
use crate::store::{Store, StoreError};

pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE accounts (
        id TEXT PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        password_hash TEXT NOT NULL
    ) STRICT;
"];

/// A person with an account.
pub(super) struct Account {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) password_hash: String,
}

pub(super) struct Accounts {
    store: Store,
}

impl Accounts {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Creates an account and answers its id; 409 if the address has one.
    pub(super) async fn create(&self, email: String, name: String, hash: String) -> Result<String, Problem> {
        let id = Uuid::now_v7().to_string();
        let row = id.clone();
        let created = self
            .store
            .transact(move |tx| {
                let insert = "INSERT INTO accounts VALUES (?, ?, ?, ?) ON CONFLICT (email) DO NOTHING";
                Ok::<_, StoreError>(tx.execute(insert, params![row, email, name, hash])?)
            })
            .await?;
        if created == 0 {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "email_taken",
                "this address has an account; log in instead",
            ));
        }
        Ok(id)
    }

    pub(super) async fn find(&self, email: String) -> Result<Option<Account>, StoreError> {
        self.one("SELECT id, email, name, password_hash FROM accounts WHERE email = ?", email).await
    }

    pub(super) async fn by_id(&self, id: String) -> Result<Option<Account>, StoreError> {
        self.one("SELECT id, email, name, password_hash FROM accounts WHERE id = ?", id).await
    }

    async fn one(&self, query: &'static str, key: String) -> Result<Option<Account>, StoreError> {
        self.store.transact(move |tx| Ok(tx.query_row(query, [key], account).optional()?)).await
    }
}

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account { id: row.get(0)?, email: row.get(1)?, name: row.get(2)?, password_hash: row.get(3)? })
}
