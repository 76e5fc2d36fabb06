//! Accounts in the database.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::roles::Role;
use crate::store::Tx;

const COLUMNS: &str = "id, email, name, password_hash, role";

/// A person with an account. Not `Debug`: there is a hash in it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) password_hash: String,
    pub(super) role: Role,
}

/// What came of a change of roles.
pub(super) enum Changed {
    Done(Account),
    /// Whoever asked is staff no longer, whatever their token says.
    NotByStaff,
    NoSuchUser,
    /// Nobody would be left to give anybody a role.
    LastStaff,
}

/// Whether the account is new; an address has one.
pub(super) async fn insert(tx: &mut Tx, account: &Account) -> Result<bool, sqlx::Error> {
    let insert = "INSERT INTO accounts (id, email, name, password_hash, role) VALUES ($1, $2, $3, $4, $5) \
                  ON CONFLICT (email) DO NOTHING";
    let insert = sqlx::query(insert)
        .bind(&account.id)
        .bind(&account.email)
        .bind(&account.name)
        .bind(&account.password_hash)
        .bind(account.role.as_str());
    Ok(insert.execute(&mut **tx).await?.rows_affected() == 1)
}

pub(super) async fn by_email(tx: &mut Tx, email: &str) -> Result<Option<Account>, sqlx::Error> {
    one(tx, "email", email).await
}

pub(super) async fn by_id(tx: &mut Tx, id: &str) -> Result<Option<Account>, sqlx::Error> {
    one(tx, "id", id).await
}

async fn one(tx: &mut Tx, column: &'static str, key: &str) -> Result<Option<Account>, sqlx::Error> {
    let query = AssertSqlSafe(format!("SELECT {COLUMNS} FROM accounts WHERE {column} = $1"));
    sqlx::query(query).bind(key).fetch_optional(&mut **tx).await?.as_ref().map(account).transpose()
}

/// Accounts after an id, in the order in which they were made.
pub(super) async fn after(tx: &mut Tx, id: Uuid, n: i64) -> Result<Vec<Account>, sqlx::Error> {
    let query = AssertSqlSafe(format!("SELECT {COLUMNS} FROM accounts WHERE id > $1 ORDER BY id LIMIT $2"));
    sqlx::query(query).bind(id.to_string()).bind(n).fetch_all(&mut **tx).await?.iter().map(account).collect()
}

/// Changes a role. Changes go one after the other: two of the last staff cannot make each other customers.
pub(super) async fn set_role(tx: &mut Tx, by: &str, id: &str, role: Role) -> Result<Changed, sqlx::Error> {
    sqlx::query("UPDATE role_changes SET n = n + 1 WHERE id = 1").execute(&mut **tx).await?;
    if by_id(tx, by).await?.is_none_or(|account| account.role != Role::Staff) {
        return Ok(Changed::NotByStaff);
    }
    let Some(known) = by_id(tx, id).await? else { return Ok(Changed::NoSuchUser) };
    if known.role == Role::Staff && role != Role::Staff {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM accounts WHERE role = 'staff'");
        let n_staff: i64 = count.fetch_one(&mut **tx).await?;
        if n_staff <= 1 {
            return Ok(Changed::LastStaff);
        }
    }
    let update = sqlx::query("UPDATE accounts SET role = $2 WHERE id = $1").bind(id).bind(role.as_str());
    update.execute(&mut **tx).await?;
    Ok(Changed::Done(Account { role, ..known }))
}

fn account(row: &AnyRow) -> Result<Account, sqlx::Error> {
    let role: String = row.try_get(4)?;
    let known = Role::ALL.into_iter().find(|known| known.as_str() == role);
    Ok(Account {
        id: row.try_get(0)?,
        email: row.try_get(1)?,
        name: row.try_get(2)?,
        password_hash: row.try_get(3)?,
        role: known.ok_or_else(|| sqlx::Error::Decode(format!("a role is `{role}`").into()))?,
    })
}
