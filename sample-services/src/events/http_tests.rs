//! The bus without a broker over real sockets: a registry that is asked, a gateway that is in the way, consumers.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::Json;
use axum::routing::get;
use serde_json::json;

use super::*;
use crate::databases::{self, TestDatabase};
use crate::events::doubles::{NOTES, Notebook, event, notes, until};
use crate::events::inbox::Inbox;
use crate::events::outbox::Outbox;
use crate::events::{MIGRATIONS, subscribers};
use crate::served::{self, Seen, Served};

const PAID: Subscription = Subscription { service: "product-service", kinds: &["order.paid"] };

/// A registry with these services and tags, and a gateway that hands events on or answers 503.
#[derive(Default)]
struct Place {
    catalog: Mutex<BTreeMap<String, Vec<String>>>,
    /// Where each service is; one that is missing is down.
    consumers: Mutex<BTreeMap<String, String>>,
    asked: Mutex<Vec<String>>,
}

async fn pass_on(State(place): State<Arc<Place>>, Path(service): Path<String>, body: Bytes) -> Response {
    place.asked.lock().unwrap().push(service.clone());
    let Some(base) = place.consumers.lock().unwrap().get(&service).cloned() else {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_endpoint", "nobody is there")
            .into_response();
    };
    let client = Client::builder().no_proxy().build().unwrap();
    let answer = client.post(format!("{base}/events/{service}")).body(body).send().await.unwrap();
    (answer.status(), answer.bytes().await.unwrap()).into_response()
}

async fn catalog(State(place): State<Arc<Place>>) -> Json<Value> {
    Json(json!(*place.catalog.lock().unwrap()))
}

async fn place() -> (Arc<Place>, Served) {
    let place = Arc::new(Place::default());
    let router = Router::new()
        .route("/events/{service}", post(pass_on))
        .route("/v1/catalog/services", get(catalog))
        .with_state(place.clone());
    (place, served::serve(router).await)
}

impl Place {
    fn register(&self, service: &str, kinds: &[&str]) {
        let tags = kinds.iter().map(|kind| subscribers::tag(kind)).collect();
        self.catalog.lock().unwrap().insert(service.to_owned(), tags);
    }
}

/// A publisher's end of the bus.
async fn publisher(database: &TestDatabase, around: &Served) -> Http {
    let store = database.open(&MIGRATIONS).await;
    let registry = Registry { url: around.url(""), token: None };
    Http::new(store, around.client.clone(), &around.url(""), Some(registry))
}

/// A consumer that is served, with what it noted.
struct Consumer {
    store: Store,
    service: Arc<Notebook>,
    served: Served,
    _stop: watch::Sender<bool>,
}

#[expect(clippy::disallowed_methods, reason = "ends when `_stop` is dropped")]
async fn consumer() -> Consumer {
    let store = Store::in_memory(&[&MIGRATIONS[..], &[NOTES]].concat()).await.unwrap();
    let service = Arc::new(Notebook::default());
    let inbox = Arc::new(Inbox::new(store.clone(), Outbox::default(), service.clone()));
    let bus = Arc::new(Http::new(store.clone(), Client::new(), "http://127.0.0.1:1", None));
    let served = served::serve(bus.routes()).await;
    let early = Seen::of(served.ask(reqwest::Method::POST, "/events/product-service").body("{}")).await;
    early.problem(503, "starting");
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move { bus.consume(PAID, inbox, stopping).await });
    until("the consumer", async || {
        Seen::of(served.ask(reqwest::Method::POST, "/events/product-service").body("{}")).await.status != 503
    })
    .await;
    Consumer { store, service, served, _stop: stop }
}

#[tokio::test]
async fn an_event_goes_to_whom_the_registry_names() {
    for database in databases::each().await {
        let ((place, around), consumer) = (place().await, consumer().await);
        let bus = publisher(&database, &around).await;
        let paid = event("order.paid", "o1", 1);
        assert_eq!(bus.publish(&paid).await, Err(BusError::NobodyWants("order.paid".to_owned())));
        place.register("product-service", &["order.paid"]);
        place.register("user-service", &[]);
        place.consumers.lock().unwrap().insert("product-service".to_owned(), consumer.served.url(""));
        until("the registry to be asked again", async || bus.publish(&paid).await.is_ok()).await;
        assert_eq!(notes(&consumer.store, "o1").await, [1]);
        // The registry is away, and so is the consumer's entry: it is remembered.
        place.catalog.lock().unwrap().clear();
        bus.subscribers.distrust().await;
        bus.publish(&event("order.paid", "o1", 2)).await.unwrap();
        assert_eq!(notes(&consumer.store, "o1").await, [1, 2]);
    }
}

#[tokio::test]
async fn a_consumer_that_is_down_misses_nothing_and_the_others_hear_nothing_twice() {
    for database in databases::each().await {
        let ((place, around), consumer) = (place().await, consumer().await);
        let bus = publisher(&database, &around).await;
        place.register("product-service", &["order.paid"]);
        place.register("mail-service", &["order.paid"]);
        place.consumers.lock().unwrap().insert("product-service".to_owned(), consumer.served.url(""));
        let paid = event("order.paid", "o1", 1);
        for _ in 0..2 {
            let refused = bus.publish(&paid).await.unwrap_err().to_string();
            assert_eq!(refused, "mail-service did not take the event: 503: nobody is there");
        }
        let asked = place.asked.lock().unwrap().clone();
        assert_eq!(asked.iter().filter(|service| *service == "product-service").count(), 1, "{asked:?}");
        place.consumers.lock().unwrap().insert("mail-service".to_owned(), consumer.served.url(""));
        // The stand-in for mail answers that these events are not taken there; what counts is who was asked.
        bus.publish(&paid).await.unwrap_err();
        let asked = place.asked.lock().unwrap().clone();
        assert_eq!(asked.iter().filter(|service| *service == "mail-service").count(), 3, "{asked:?}");
        assert_eq!(notes(&consumer.store, "o1").await, [1]);
    }
}

#[tokio::test]
async fn an_event_that_has_to_wait_is_asked_for_again() {
    let consumer = consumer().await;
    *consumer.service.later.lock().unwrap() = 1;
    let body = event("order.paid", "o1", 1).to_json();
    let send =
        || Seen::of(consumer.served.ask(reqwest::Method::POST, "/events/product-service").body(body.clone()));
    let seen = send().await.problem(503, "not_now");
    assert_eq!(seen.header("retry-after"), "1");
    send().await.expect(204);
    assert_eq!(notes(&consumer.store, "o1").await, [1]);
}

#[tokio::test]
async fn what_is_no_event_or_not_for_this_service_is_refused_and_what_it_does_not_want_is_passed_over() {
    let consumer = consumer().await;
    let send =
        |path: &str, body: String| Seen::of(consumer.served.ask(reqwest::Method::POST, path).body(body));
    send("/events/product-service", "no json".to_owned()).await.problem(422, "invalid_value");
    send("/events/mail-service", event("order.paid", "o1", 1).to_json()).await.problem(404, "not_found");
    send("/events/product-service", event("order.lunch", "o1", 1).to_json()).await.expect(204);
    assert_eq!(notes(&consumer.store, "o1").await, [0_i64; 0]);
}
