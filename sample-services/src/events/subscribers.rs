//! Who wants which events, as the registry says and as this service remembers.
//!
//! A consumer registers with a tag `event:KIND` for each kind it wants. What was seen once is kept in
//! the database of the publisher: a consumer that is down, or a registry that is, loses no event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis_consul_wire::headers;
use reqwest::Client;
use tokio::sync::Mutex;

use crate::clock;
use crate::store::{Store, StoreError};

/// The table of subscribers.
pub(super) const MIGRATION: &str = "
    CREATE TABLE subscribers (
        service TEXT NOT NULL,
        kind TEXT NOT NULL,
        PRIMARY KEY (kind, service)
    );
";

/// What a tag begins with that says which events a service wants.
const TAG: &str = "event:";
/// How old may be what is known of the registry, in milliseconds.
const FRESH_MS: i64 = 1_500;
/// Longest wait for the registry.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Subscriptions that are taken over from the registry: far more than any shop has.
const SUBSCRIPTIONS_MAX: usize = 1_000;

/// Where the registry is.
#[derive(Clone)]
pub struct Registry {
    /// Its URL.
    pub url: String,
    /// The ACL token for it.
    pub token: Option<String>,
}

/// Without the token.
impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A service and a kind that it wants.
type Wish = (String, String);

#[derive(Debug)]
pub(super) struct Subscribers {
    store: Store,
    client: Client,
    registry: Option<Registry>,
    /// When the registry was asked last; one asks at a time.
    asked_at_ms: Mutex<i64>,
}

/// The tag of a service that wants `kind`.
pub(super) fn tag(kind: &str) -> String {
    format!("{TAG}{kind}")
}

impl Subscribers {
    pub(super) fn new(store: Store, client: Client, registry: Option<Registry>) -> Self {
        Self { store, client, registry, asked_at_ms: Mutex::new(0) }
    }

    /// The services that want events of this kind.
    pub(super) async fn of(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        self.refresh().await?;
        let select = "SELECT service FROM subscribers WHERE kind = $1 ORDER BY service";
        let mut tx = self.store.read().await?;
        Ok(sqlx::query_scalar(select).bind(kind.to_owned()).fetch_all(&mut *tx).await?)
    }

    /// Asks the registry anew next time, however short ago it was asked.
    #[cfg(test)]
    pub(super) async fn distrust(&self) {
        *self.asked_at_ms.lock().await = 0;
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        let Some(registry) = &self.registry else { return Ok(()) };
        let mut asked_at_ms = self.asked_at_ms.lock().await;
        if clock::now_ms() - *asked_at_ms < FRESH_MS {
            return Ok(());
        }
        let answer = self.ask(registry).await;
        *asked_at_ms = clock::now_ms();
        match answer {
            Ok(catalog) => self.take_over(&catalog).await,
            Err(error) => {
                tracing::warn!(%error, "the registry does not say who wants events; those known still get them");
                Ok(())
            }
        }
    }

    async fn ask(&self, registry: &Registry) -> reqwest::Result<BTreeMap<String, Vec<String>>> {
        let request = self.client.get(format!("{}/v1/catalog/services", registry.url)).timeout(ANSWER_WAIT);
        let request = match &registry.token {
            Some(token) => request.header(headers::TOKEN, token),
            None => request,
        };
        request.send().await?.error_for_status()?.json().await
    }

    async fn take_over(&self, catalog: &BTreeMap<String, Vec<String>>) -> Result<(), StoreError> {
        let known = self.known().await?;
        let (new, gone) = changes(&known, catalog);
        if new.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let insert =
            "INSERT INTO subscribers (service, kind) VALUES ($1, $2) ON CONFLICT (kind, service) DO NOTHING";
        for (service, kind) in new {
            tracing::info!(%service, %kind, "a service wants events from now on");
            sqlx::query(insert).bind(service).bind(kind).execute(&mut *tx).await?;
        }
        for (service, kind) in gone {
            tracing::info!(%service, %kind, "a service wants events no more");
            let delete = "DELETE FROM subscribers WHERE service = $1 AND kind = $2";
            sqlx::query(delete).bind(service).bind(kind).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn known(&self) -> Result<BTreeSet<Wish>, StoreError> {
        let mut tx = self.store.read().await?;
        let rows: Vec<Wish> =
            sqlx::query_as("SELECT service, kind FROM subscribers").fetch_all(&mut *tx).await?;
        Ok(rows.into_iter().collect())
    }
}

/// Every subscriber with what it wants.
pub(super) async fn all(store: &Store) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
    let mut tx = store.read().await?;
    let select = "SELECT service, kind FROM subscribers ORDER BY service, kind";
    let rows: Vec<Wish> = sqlx::query_as(select).fetch_all(&mut *tx).await?;
    let mut all = BTreeMap::<String, Vec<String>>::new();
    for (service, kind) in rows {
        all.entry(service).or_default().push(kind);
    }
    Ok(all)
}

/// Forgets a subscriber; false if it is not known.
pub(super) async fn forget(store: &Store, service: &str) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let delete = sqlx::query("DELETE FROM subscribers WHERE service = $1").bind(service.to_owned());
    let n_gone = delete.execute(&mut *tx).await?.rows_affected();
    tx.commit().await?;
    Ok(n_gone > 0)
}

/// What to remember and what to forget.
///
/// A service that is registered says what it wants; one that is not has said nothing, and keeps what it had.
fn changes(known: &BTreeSet<Wish>, catalog: &BTreeMap<String, Vec<String>>) -> (Vec<Wish>, Vec<Wish>) {
    let wishes: BTreeSet<Wish> = catalog
        .iter()
        .flat_map(|(service, tags)| {
            let kinds = tags.iter().filter_map(|tag| tag.strip_prefix(TAG)).filter(|kind| !kind.is_empty());
            kinds.map(|kind| (service.clone(), kind.to_owned()))
        })
        .take(SUBSCRIPTIONS_MAX)
        .collect();
    let new = wishes.difference(known).cloned().collect();
    let gone = known
        .difference(&wishes)
        .filter(|(service, _)| {
            catalog.get(service).is_some_and(|tags| tags.iter().any(|tag| tag.starts_with(TAG)))
        })
        .cloned()
        .collect();
    (new, gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(pairs: &[(&str, &str)]) -> BTreeSet<Wish> {
        pairs.iter().map(|(service, kind)| ((*service).to_owned(), (*kind).to_owned())).collect()
    }

    fn catalog(services: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
        services.iter().map(|(name, its)| ((*name).to_owned(), tags(its))).collect()
    }

    #[test]
    fn tags_of_the_registry_become_subscriptions() {
        let seen = catalog(&[("product-service", &["event:order.paid", "v2"]), ("user-service", &["v1"])]);
        let (new, gone) = changes(&BTreeSet::new(), &seen);
        assert_eq!(new, [("product-service".to_owned(), "order.paid".to_owned())]);
        assert!(gone.is_empty());
    }

    #[test]
    fn a_consumer_that_is_down_keeps_its_subscriptions() {
        let known = wishes(&[("product-service", "order.paid")]);
        assert_eq!(changes(&known, &catalog(&[("user-service", &[])])), (vec![], vec![]));
    }

    #[test]
    fn a_consumer_that_wants_other_events_now_loses_those_it_wanted_before() {
        let known = wishes(&[("product-service", "order.paid"), ("product-service", "order.cancelled")]);
        let (new, gone) = changes(&known, &catalog(&[("product-service", &["event:order.paid"])]));
        assert!(new.is_empty());
        assert_eq!(gone, [("product-service".to_owned(), "order.cancelled".to_owned())]);
    }

    #[test]
    fn a_consumer_registered_without_any_such_tag_has_said_nothing() {
        // Such as an instance that was started for another bus: to forget would be to lose.
        let known = wishes(&[("product-service", "order.paid")]);
        assert_eq!(changes(&known, &catalog(&[("product-service", &["v2"])])), (vec![], vec![]));
    }
}
