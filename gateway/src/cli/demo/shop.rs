//! A customer of the shop: signs up, logs in, looks around, orders. Knows only the gateway.

use http::Method;
use serde_json::json;

use super::broken::Broken;
use super::http::{Http, Seen};

/// Winch oil: cheap, and plenty of it.
const PRODUCT: i64 = 6;
/// The customer's. Long enough for the user service.
pub(super) const PASSWORD: &str = "over the moat and through the gate";

/// The shop's public face.
#[derive(Debug)]
pub(super) struct Shop(Http);

impl Shop {
    pub(super) fn new(base: String) -> Result<Self, Broken> {
        Http::new(base).map(Self)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.base())
    }

    pub(super) async fn get(&self, path: &str) -> Result<Seen, Broken> {
        self.0.get(path, None).await
    }

    pub(super) async fn sign_up(&self, email: &str) -> Result<Seen, Broken> {
        let body = json!({ "email": email, "name": "Ada", "password": PASSWORD });
        self.0.post("/api/users", None, &body).await
    }

    /// With `scope` the token may do only that.
    pub(super) async fn log_in(&self, email: &str, scope: Option<&str>) -> Result<Seen, Broken> {
        let body = match scope {
            None => json!({ "email": email, "password": PASSWORD }),
            Some(scope) => json!({ "email": email, "password": PASSWORD, "scope": scope }),
        };
        self.0.post("/api/sessions", None, &body).await
    }

    /// Somebody tries a password.
    pub(super) async fn guess(&self, email: &str, guess: &str) -> Result<Seen, Broken> {
        self.0.post("/api/sessions", None, &json!({ "email": email, "password": guess })).await
    }

    pub(super) async fn products(&self) -> Result<Seen, Broken> {
        self.0.get("/api/products", None).await
    }

    pub(super) async fn order(&self, token: Option<&str>) -> Result<Seen, Broken> {
        self.0.post("/api/orders", token, &json!({ "product_id": PRODUCT, "quantity": 1 })).await
    }

    /// Orders a piece; the same key is the same order, however often it is sent.
    pub(super) async fn order_once(&self, token: &str, key: &str) -> Result<Seen, Broken> {
        let body = json!({ "product_id": PRODUCT, "quantity": 1 });
        let fields = [("idempotency-key", key)];
        self.0.send(Method::POST, "/api/orders", Some(token), &fields, Some(&body)).await
    }

    /// How an order is.
    pub(super) async fn find(&self, token: &str, order: &str) -> Result<Seen, Broken> {
        self.0.get(&format!("/api/orders/{order}"), Some(token)).await
    }

    pub(super) async fn orders(&self, token: &str) -> Result<Seen, Broken> {
        self.0.get("/api/orders", Some(token)).await
    }

    /// Has an order paid that waits for it.
    pub(super) async fn pay(&self, token: &str, order: &str) -> Result<Seen, Broken> {
        self.0.post(&format!("/api/orders/{order}/payment"), Some(token), &json!({})).await
    }
}
