//! Customers who order and sometimes change their minds, through the gateway, whatever happens behind it.
//!
//! A customer repeats a request with the same key until it is answered for good. So whatever was
//! answered must be kept, and nothing that was asked for once may have happened twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::now;
use crate::dice::Dice;
use crate::http::{Answer, Ask, Http};

/// Everybody's password; long enough for the user service.
pub(crate) const PASSWORD: &str = "over the moat and through the gate";
/// Orders of one customer; a run is over long before.
const ORDERS_MAX: u64 = 20_000;
/// Longest wait for one request to be answered for good, whoever is dead meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);
/// A customer whose token is refused for so long logs in again.
const LOG_IN_AGAIN: Duration = Duration::from_secs(5);
/// The pause before a request is repeated, in milliseconds.
const AGAIN_MS: (u64, u64) = (20, 150);
/// The pause between two orders of a customer, in milliseconds.
const PAUSE_MS: (u64, u64) = (30, 120);
/// One order in so many is cancelled by its customer.
const CANCELS_ONE_IN: u64 = 5;
/// Winch oil: plenty of it. Most orders are for it.
const PLENTY: u64 = 6;
/// One order in so many is for something else: dear (declined), or soon sold out.
const OTHERS_ONE_IN: u64 = 6;

/// Somebody who is logged in.
#[derive(Debug, Clone)]
pub(crate) struct Customer {
    pub(crate) http: Http,
    pub(crate) web: SocketAddr,
    pub(crate) email: String,
    pub(crate) token: String,
    dice: Dice,
}

/// What a customer was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Order ids by the key they were asked for with.
    pub(crate) orders: BTreeMap<String, String>,
    /// Requests that were refused for good.
    pub(crate) refused: u64,
    /// Requests that were sent, repetitions too.
    pub(crate) sent: u64,
}

impl Told {
    /// What another customer was told as well.
    pub(crate) fn add(&mut self, other: Self) {
        self.orders.extend(other.orders);
        self.refused += other.refused;
        self.sent += other.sent;
    }
}

impl Customer {
    /// Signs up and logs in.
    pub(crate) async fn arrive(
        http: &Http,
        web: SocketAddr,
        email: &str,
        dice: Dice,
    ) -> Result<Self, String> {
        let account = json!({ "email": email, "name": "Somebody", "password": PASSWORD });
        http.expect(201, Ask::post(web, "/api/users", account)).await?;
        let mut customer =
            Self { http: http.clone(), web, email: email.to_owned(), token: String::new(), dice };
        customer.log_in().await?;
        Ok(customer)
    }

    /// A token for the next quarter of an hour. The gateway lets nobody try passwords quickly, so this may take a while.
    pub(crate) async fn log_in(&mut self) -> Result<(), String> {
        let body = json!({ "email": self.email, "password": PASSWORD });
        let until = now() + PATIENCE;
        loop {
            let why = match self.http.send(Ask::post(self.web, "/api/sessions", body.clone())).await {
                Ok(Answer { status: 200 | 201, body }) => {
                    let token = body.get("access_token").and_then(Value::as_str);
                    self.token =
                        token.ok_or_else(|| format!("a session without a token: {body}"))?.to_owned();
                    return Ok(());
                }
                Ok(answer) if is_for_good(answer.status) => {
                    return Err(format!("{} cannot log in: {} {}", self.email, answer.status, answer.body));
                }
                Ok(answer) => format!("{} {}", answer.status, answer.body),
                Err(why) => why,
            };
            self.patience(until, "/api/sessions", &why).await?;
        }
    }

    /// Orders until told to stop; finishes what was begun.
    pub(crate) async fn shop(mut self, stop: watch::Receiver<bool>) -> Result<Told, String> {
        let mut told = Told::default();
        for n in 0..ORDERS_MAX {
            if *stop.borrow() {
                break;
            }
            self.order(n, &mut told).await?;
            tokio::time::sleep(Duration::from_millis(self.dice.between(PAUSE_MS.0, PAUSE_MS.1))).await;
        }
        Ok(told)
    }

    async fn order(&mut self, n: u64, told: &mut Told) -> Result<(), String> {
        let key = format!("{}-{n}", self.email);
        let product = if self.dice.one_in(OTHERS_ONE_IN) { self.dice.between(1, 5) } else { PLENTY };
        let body = json!({ "product_id": product, "quantity": self.dice.between(1, 3) });
        let answer = self.insist("/api/orders", &key, &body, told).await?;
        if !(200..300).contains(&answer.status) {
            told.refused += 1;
            return Ok(());
        }
        let id = answer.body.get("id").and_then(Value::as_str);
        let id = id.ok_or_else(|| format!("an order without an id: {}", answer.body))?.to_owned();
        told.orders.insert(key, id.clone());
        if self.dice.one_in(CANCELS_ONE_IN) {
            // An order that is cancelled already, or cannot be any more, says so; both are answers.
            let key = format!("cancel-{id}");
            self.insist(&format!("/api/orders/{id}/cancel"), &key, &json!({}), told).await?;
        }
        Ok(())
    }

    /// Asks with the same key until the answer is one for good.
    async fn insist(
        &mut self,
        path: &str,
        key: &str,
        body: &Value,
        told: &mut Told,
    ) -> Result<Answer, String> {
        let until = now() + PATIENCE;
        let mut again_after = now() + LOG_IN_AGAIN;
        loop {
            told.sent += 1;
            let ask = Ask::post(self.web, path, body.clone()).key(key).token(&self.token);
            let why = match self.http.send(ask).await {
                Ok(answer) if is_for_good(answer.status) => return Ok(answer),
                Ok(answer) => {
                    // The token may have run out, or the gateway may have no key to check it with.
                    if answer.status == 401 && now() > again_after {
                        self.log_in().await?;
                        again_after = now() + LOG_IN_AGAIN;
                    }
                    format!("{} {}", answer.status, answer.body)
                }
                Err(why) => why,
            };
            self.patience(until, path, &why).await?;
        }
    }

    async fn patience(&mut self, until: Instant, path: &str, why: &str) -> Result<(), String> {
        if now() > until {
            return Err(format!("{path} was not answered for good within {PATIENCE:?}: {why}"));
        }
        tokio::time::sleep(Duration::from_millis(self.dice.between(AGAIN_MS.0, AGAIN_MS.1))).await;
        Ok(())
    }
}

/// Whether asking again would be answered the same. A 401 may come of a key set that the gateway cannot fetch.
const fn is_for_good(status: u16) -> bool {
    match status {
        401 | 408 | 425 | 429 => false,
        200..=499 => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_repeated_until_its_answer_would_not_change() {
        for status in [200, 201, 202, 402, 404, 409, 422] {
            assert!(is_for_good(status), "{status}");
        }
        for status in [100, 401, 408, 429, 500, 502, 503, 504] {
            assert!(!is_for_good(status), "{status}");
        }
    }
}
