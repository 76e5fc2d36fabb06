//! Accounts in the database.

use axum::http::StatusCode;
use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use crate::problem::Problem;
use crate::store::{Store, StoreError};

pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE accounts (
        id TEXT PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        password_hash TEXT NOT NULL
    );
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
        let insert = "INSERT INTO accounts (id, email, name, password_hash) VALUES ($1, $2, $3, $4) \
                      ON CONFLICT (email) DO NOTHING";
        let mut tx = self.store.begin().await?;
        let insert = sqlx::query(insert).bind(&id).bind(email).bind(name).bind(hash);
        let created = insert.execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
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
        self.one("SELECT id, email, name, password_hash FROM accounts WHERE email = $1", email).await
    }

    pub(super) async fn by_id(&self, id: String) -> Result<Option<Account>, StoreError> {
        self.one("SELECT id, email, name, password_hash FROM accounts WHERE id = $1", id).await
    }

    async fn one(&self, query: &'static str, key: String) -> Result<Option<Account>, StoreError> {
        let mut tx = self.store.read().await?;
        let row = sqlx::query(query).bind(key).fetch_optional(&mut *tx).await?;
        Ok(row.map(|row| account(&row)).transpose()?)
    }
}

fn account(row: &AnyRow) -> Result<Account, sqlx::Error> {
    Ok(Account {
        id: row.try_get(0)?,
        email: row.try_get(1)?,
        name: row.try_get(2)?,
        password_hash: row.try_get(3)?,
    })
}
