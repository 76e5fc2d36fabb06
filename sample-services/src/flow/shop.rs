//! Order, payment and product service in one process, on sockets, with a gateway and a registry between them.
//!
//! The stand-in for the gateway passes requests on by path and knows who is up; one that was killed leaves its
//! database behind, as a process would.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::databases::{self, TestDatabase};
use crate::mischief::{Mischief, Switches};
use crate::problem::Problem;
use crate::served::{self, Seen, Served};
use crate::server::{self, Service, Start, StartError};
use crate::settings::Settings;
use crate::{order, payment, product};

/// Longest wait for something that is to happen; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Order,
    Payment,
    Product,
}

/// Whom the gateway reaches, and with which tags.
#[derive(Default)]
struct Up(Mutex<BTreeMap<Who, (String, Vec<String>)>>);

/// A service that runs.
struct Running {
    _served: Served,
    background: Vec<JoinHandle<()>>,
    switches: Switches,
    _stop: watch::Sender<bool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.background {
            task.abort();
        }
    }
}

pub(super) struct Shop {
    gateway: Served,
    up: Arc<Up>,
    running: BTreeMap<Who, Running>,
    databases: BTreeMap<Who, TestDatabase>,
    variables: BTreeMap<String, String>,
}

impl Who {
    const ALL: [Self; 3] = [Self::Order, Self::Payment, Self::Product];

    const fn name(self) -> &'static str {
        match self {
            Self::Order => order::NAME,
            Self::Payment => payment::NAME,
            Self::Product => product::NAME,
        }
    }

    /// Whom a path is for.
    fn of(path: &str) -> Option<Self> {
        let named = Self::ALL.into_iter().find(|who| path == format!("/events/{}", who.name()));
        let first = path.split('/').nth(1).unwrap_or_default();
        named.or(match first {
            "orders" | "orders-report" => Some(Self::Order),
            "payments" | "ledger-report" => Some(Self::Payment),
            "products" | "reservations" | "stock-report" => Some(Self::Product),
            _ => None,
        })
    }
}

async fn pass_on(
    State(up): State<Arc<Up>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if uri.path() == "/v1/catalog/services" {
        let up = up.0.lock().unwrap();
        let catalog: BTreeMap<&str, &Vec<String>> =
            up.iter().map(|(who, (_, tags))| (who.name(), tags)).collect();
        return Json(json!(catalog)).into_response();
    }
    let to = Who::of(uri.path()).and_then(|who| up.0.lock().unwrap().get(&who).map(|(base, _)| base.clone()));
    let nobody =
        || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_endpoint", "nobody is there").into_response();
    let Some(base) = to else { return nobody() };
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.request(method, format!("{base}{uri}")).headers(headers).body(body);
    let Ok(answer) = request.send().await else { return nobody() };
    let mut response = Response::builder().status(answer.status());
    response.headers_mut().unwrap().extend(answer.headers().clone());
    response.body(Body::from(answer.bytes().await.unwrap_or_default())).unwrap()
}

impl Shop {
    /// A shop on each kind of database, with these settings.
    pub(super) async fn each(variables: &[(&str, &str)]) -> Vec<Self> {
        let [orders, payments, products] =
            [databases::each().await, databases::each().await, databases::each().await];
        let mut shops = Vec::new();
        for ((order, payment), product) in orders.into_iter().zip(payments).zip(products) {
            let up = Arc::new(Up::default());
            let gateway = served::serve(Router::new().fallback(pass_on).with_state(up.clone())).await;
            let databases = [(Who::Order, order), (Who::Payment, payment), (Who::Product, product)].into();
            let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let mut shop =
                Self { gateway, up, running: BTreeMap::new(), databases, variables: variables.collect() };
            for who in Who::ALL {
                shop.start(who).await;
            }
            shops.push(shop);
        }
        shops
    }

    /// Starts a service on the database it has.
    #[expect(clippy::disallowed_methods, reason = "`Running` ends the tasks when it is dropped")]
    pub(super) async fn start(&mut self, who: Who) {
        let mut variables = self.variables.clone();
        for name in ["GATEWAY_URL", "CONSUL_HTTP_ADDR"] {
            variables.insert(name.to_owned(), self.gateway.url(""));
        }
        let mut settings = Settings::from_map(variables).unwrap();
        settings.database = Some(self.databases[&who].url.clone());
        let (stop, stopping) = watch::channel(false);
        let client = Client::builder().no_proxy().build().unwrap();
        let start = Start { settings, client, stopping, switches: Switches::default() };
        let built: Result<Service, StartError> = match who {
            Who::Order => order::build(&start).await,
            Who::Payment => payment::build(&start).await,
            Who::Product => product::build(&start).await,
        };
        let (router, background, tags) = built.unwrap().into_parts();
        let served = served::serve(server::app(start.switches.around(router))).await;
        self.up.0.lock().unwrap().insert(who, (served.url(""), tags));
        let background = background.into_iter().map(tokio::spawn).collect();
        let running = Running { _served: served, background, switches: start.switches, _stop: stop };
        self.running.insert(who, running);
    }

    /// Ends a service without a word: what it has not committed is lost.
    pub(super) fn kill(&mut self, who: Who) {
        self.up.0.lock().unwrap().remove(&who);
        self.running.remove(&who);
    }

    pub(super) fn misbehave(&self, who: Who, mischief: Mischief) {
        self.running[&who].switches.set(mischief).unwrap();
    }

    pub(super) async fn ask(&self, customer: &str, method: Method, path: &str, body: Option<&Value>) -> Seen {
        let request = self.gateway.ask(method, path).header("x-user-id", customer);
        let request = request.header("x-scopes", "orders:read orders:write events:replay");
        Seen::of(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// Places an order of ada's, with a key if one is given.
    pub(super) async fn order(&self, product: i64, quantity: i64, key: Option<&str>) -> Seen {
        let body = json!({ "product_id": product, "quantity": quantity });
        let mut request = self.gateway.ask(Method::POST, "/orders").header("x-user-id", "ada").json(&body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        Seen::of(request).await
    }

    pub(super) async fn post(&self, path: &str) -> Seen {
        self.ask("ada", Method::POST, path, None).await
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        self.ask("ada", Method::GET, path, None).await.expect(200).json()
    }

    /// Asks a service directly, as somebody inside the network would.
    pub(super) async fn direct(&self, who: Who, method: Method, path: &str, body: Option<&Value>) -> Seen {
        let base = self.up.0.lock().unwrap()[&who].0.clone();
        let request = self.gateway.client.request(method, format!("{base}{path}"));
        let request = request.header("x-user-id", "eve").header("x-scopes", "events:replay");
        Seen::of(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    pub(super) async fn state(&self, order: &str) -> String {
        self.get(&format!("/orders/{order}")).await["state"].as_str().unwrap().to_owned()
    }

    /// Waits until an order is in a state.
    pub(super) async fn until(&self, order: &str, state: &str) {
        let seen = Mutex::new(String::new());
        let waiting = async {
            loop {
                let now = self.state(order).await;
                if now == state {
                    return;
                }
                *seen.lock().unwrap() = now;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "order {order} is {}, not {state}", seen.lock().unwrap());
    }

    /// Waits until orders, stock and money say the same: `pieces` sold for `cents`, nothing held, nothing lost.
    pub(super) async fn agrees(&self, pieces: i64, cents: i64) {
        let seen = Mutex::new(Value::Null);
        let waiting = async {
            loop {
                let reports = json!([
                    self.get("/orders-report").await,
                    self.get("/stock-report").await,
                    self.get("/ledger-report").await
                ]);
                if agree(&reports, pieces, cents) {
                    return;
                }
                *seen.lock().unwrap() = reports;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "not {pieces} pieces for {cents}: {}", seen.lock().unwrap());
    }
}

fn agree(reports: &Value, pieces: i64, cents: i64) -> bool {
    let states = reports[0]["states"].as_array().unwrap();
    let is_final = states.iter().all(|state| matches!(state["state"].as_str(), Some("paid" | "cancelled")));
    let paid = states.iter().find(|state| state["state"] == "paid");
    let paid = paid
        .map_or((0, 0), |paid| (paid["pieces"].as_i64().unwrap(), paid["amount_cents"].as_i64().unwrap()));
    let total = &reports[1]["total"];
    let of = |name: &str| total[name].as_i64().unwrap();
    let ledger = &reports[2];
    let kept = ledger["charged_cents"].as_i64().unwrap() - ledger["refunded_cents"].as_i64().unwrap();
    assert_eq!(ledger["sum_cents"], 0, "{ledger}");
    assert_eq!(reports[1]["adds_up"], true, "{reports}");
    is_final && paid == (pieces, cents) && (of("sold"), of("held")) == (pieces, 0) && kept == cents
}
