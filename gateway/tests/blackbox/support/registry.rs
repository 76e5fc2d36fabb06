//! A registry that says what it is told to: Consul's blocking queries over a scripted upstream.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Act, Answer, Upstream};

/// Longest time a query is held, whatever it asks for.
const HELD_MAX: Duration = Duration::from_secs(1);

/// A running registry; it ends when dropped.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
    _serving: Upstream,
}

struct State {
    index: u64,
    services: BTreeMap<String, Vec<(String, SocketAddr)>>,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let state = Arc::new((Mutex::new(State { index: 1, services: BTreeMap::new() }), Condvar::new()));
        let theirs = state.clone();
        let serving = Upstream::start(move |seen| Act::Reply(answer(&theirs, &seen.target)));
        Self { address: serving.address, state, _serving: serving }
    }

    /// The instances of a service from now on, each with its id.
    pub(crate) fn set(&self, service: &str, instances: &[(&str, SocketAddr)]) {
        let mut state = self.state.0.lock().unwrap();
        state.index += 1;
        let instances = instances.iter().map(|(id, address)| ((*id).to_owned(), *address)).collect();
        state.services.insert(service.to_owned(), instances);
        self.state.1.notify_all();
    }
}

fn answer(state: &(Mutex<State>, Condvar), target: &str) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let index = query.split('&').find_map(|pair| pair.strip_prefix("index=")?.parse().ok()).unwrap_or(0);
    let mut held = state.0.lock().unwrap();
    if index > 0 {
        let unchanged = |state: &mut State| state.index <= index;
        held = state.1.wait_timeout_while(held, HELD_MAX, unchanged).unwrap().0;
    }
    let body = match path.strip_prefix("/v1/health/service/") {
        Some(service) => {
            let instances = held.services.get(service).map(Vec::as_slice).unwrap_or_default();
            instances.iter().map(|(id, address)| instance(service, id, *address)).collect()
        }
        None => held.services.keys().map(|name| (name.clone(), json!([]))).collect::<Value>(),
    };
    Answer::new(200, &body.to_string())
        .with("Content-Type", "application/json")
        .with("X-Consul-Index", &held.index.to_string())
        .with("X-Consul-KnownLeader", "true")
        .with("X-Consul-LastContact", "0")
}

fn instance(service: &str, id: &str, address: SocketAddr) -> Value {
    json!({
        "Node": { "Node": "n1", "Address": "127.0.0.1", "Datacenter": "dc1" },
        "Service": {
            "ID": id, "Service": service, "Address": address.ip().to_string(), "Port": address.port(),
            "Weights": { "Passing": 1, "Warning": 1 }
        },
        "Checks": [{ "CheckID": "c", "Status": "passing" }]
    })
}
