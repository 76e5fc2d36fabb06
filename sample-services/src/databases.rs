//! For tests: one empty database of each kind.

use std::path::Path;

use tempfile::TempDir;

use crate::store::{DatabaseUrl, Store};

#[path = "../tests/support/postgres.rs"]
mod postgres;

/// An empty database of a test's own.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    pub(crate) url: DatabaseUrl,
    _folder: Option<TempDir>,
}

impl TestDatabase {
    pub(crate) async fn open(&self, migrations: &[&str]) -> Store {
        Store::open(&self.url, migrations).await.unwrap()
    }
}

/// An SQLite file, and a schema on PostgreSQL where this machine has it.
pub(crate) async fn each() -> Vec<TestDatabase> {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::file(&Path::new(folder.path()).join("test.db"));
    let mut databases = vec![TestDatabase { url, _folder: Some(folder) }];
    if let Some(url) = postgres::schema().await {
        databases.push(TestDatabase { url: DatabaseUrl::parse(&url).unwrap(), _folder: None });
    }
    databases
}
