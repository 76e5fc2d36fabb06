//! The store on both kinds of database.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use sqlx::Row;

use super::*;
use crate::databases;

const FIRST: &str = "CREATE TABLE t (seq {{serial}}, n BIGINT NOT NULL, label TEXT);";
const SECOND: &str = "ALTER TABLE t ADD COLUMN m BIGINT NOT NULL DEFAULT 7;
                      CREATE TABLE counter (id BIGINT PRIMARY KEY, n BIGINT NOT NULL);
                      INSERT INTO counter VALUES (1, 0);";

async fn insert(tx: &mut Tx, n: i64, label: Option<&str>) -> i64 {
    let insert = sqlx::query_scalar("INSERT INTO t (n, label) VALUES ($1, $2) RETURNING seq");
    insert.bind(n).bind(label).fetch_one(&mut **tx).await.unwrap()
}

async fn count(store: &Store) -> i64 {
    let mut tx = store.read().await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut *tx).await.unwrap()
}

#[tokio::test]
async fn migrations_are_applied_once_and_in_order() {
    for database in databases::each().await {
        Store::open(&database.url, &[FIRST]).await.unwrap().close().await;
        Store::open(&database.url, &[FIRST, SECOND]).await.unwrap().close().await;
        let store = Store::open(&database.url, &[FIRST, SECOND]).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        insert(&mut tx, 1, None).await;
        let row = sqlx::query("SELECT m, label FROM t").fetch_one(&mut *tx).await.unwrap();
        assert_eq!((row.get::<i64, _>(0), row.get::<Option<String>, _>(1)), (7, None));
        drop(tx);
        store.close().await;
    }
}

#[tokio::test]
async fn a_migration_that_fails_is_named_and_leaves_nothing() {
    for database in databases::each().await {
        let error = Store::open(&database.url, &[FIRST, "CREATE TABLE ("]).await.unwrap_err();
        assert!(error.to_string().starts_with("migration 2 failed"), "{error}");
        Store::open(&database.url, &[FIRST, SECOND]).await.unwrap().close().await;
    }
}

#[tokio::test]
async fn instances_that_start_at_once_migrate_once() {
    for database in databases::each().await {
        let opened = (0..4).map(|_| Store::open(&database.url, &[FIRST, SECOND]));
        for store in futures_util::future::join_all(opened).await {
            assert_eq!(count(&store.unwrap()).await, 0);
        }
    }
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing() {
    for database in databases::each().await {
        let store = Store::open(&database.url, &[FIRST]).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        insert(&mut tx, 1, Some("lost")).await;
        drop(tx);
        let mut tx = store.begin().await.unwrap();
        insert(&mut tx, 2, Some("kept")).await;
        tx.commit().await.unwrap();
        assert_eq!(count(&store).await, 1);
    }
}

#[tokio::test]
async fn a_key_counts_up_by_itself() {
    for database in databases::each().await {
        let store = Store::open(&database.url, &[FIRST]).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        assert!(insert(&mut tx, 1, None).await < insert(&mut tx, 1, None).await);
    }
}

#[tokio::test]
async fn no_update_is_lost_among_many_writers() {
    const WRITERS: usize = 16;
    for database in databases::each().await {
        let store = Arc::new(Store::open(&database.url, &[FIRST, SECOND]).await.unwrap());
        let write = |store: Arc<Store>| async move {
            let mut tx = store.begin().await.unwrap();
            let update = sqlx::query("UPDATE counter SET n = n + 1 WHERE id = $1").bind(1_i64);
            assert_eq!(update.execute(&mut *tx).await.unwrap().rows_affected(), 1);
            tx.commit().await.unwrap();
        };
        futures_util::future::join_all((0..WRITERS).map(|_| write(store.clone()))).await;
        let mut tx = store.read().await.unwrap();
        let n: i64 = sqlx::query_scalar("SELECT n FROM counter").fetch_one(&mut *tx).await.unwrap();
        assert_eq!(n, 16);
    }
}

#[tokio::test]
async fn reading_waits_for_no_writer_and_sees_one_state() {
    for database in databases::each().await {
        let store = Store::open(&database.url, &[FIRST]).await.unwrap();
        let mut writing = store.begin().await.unwrap();
        insert(&mut writing, 1, None).await;
        let mut reading = store.read().await.unwrap();
        let seen = "SELECT count(*) FROM t";
        assert_eq!(sqlx::query_scalar::<_, i64>(seen).fetch_one(&mut *reading).await.unwrap(), 0);
        writing.commit().await.unwrap();
        assert_eq!(sqlx::query_scalar::<_, i64>(seen).fetch_one(&mut *reading).await.unwrap(), 0);
        drop(reading);
        assert_eq!(count(&store).await, 1);
    }
}

#[tokio::test]
async fn only_its_owner_reads_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made").join("x.db");
    let store = Store::open(&DatabaseUrl::file(&path), &[FIRST]).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    insert(&mut tx, 1, None).await;
    tx.commit().await.unwrap();
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let url = DatabaseUrl::file(Path::new("/proc/nowhere/x.db"));
    let error = Store::open(&url, &[]).await.unwrap_err().to_string();
    assert!(error.contains("/proc/nowhere"), "{error}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named_without_its_password() {
    // A port that was free a moment ago and is closed now.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = DatabaseUrl::parse(&format!("postgres://shop:s3cret@127.0.0.1:{port}/orders")).unwrap();
    let error = Store::open(&url, &[]).await.unwrap_err();
    assert!(error.is_passing(), "{error:?}");
    let said = format!("{error} {error:?}");
    assert!(said.contains("127.0.0.1") && !said.contains("s3cret"), "{said}");
}
