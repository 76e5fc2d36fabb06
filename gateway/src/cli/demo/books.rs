//! The shop's books: what order, product and payment service each say of the same orders.
//!
//! Only reads and compares; who is right when they disagree is not its business.

use std::time::Duration;

use serde_json::Value;

use super::broken::{Broken, ensure};
use super::http::Http;
use super::wait::until;

/// Longest wait for the books to agree: an order whose driver died waits for the next one.
const SETTLED_WAIT: Duration = Duration::from_secs(60);

/// One reading of the three reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Books {
    orders: Orders,
    stock: Stock,
    ledger: Ledger,
}

/// What the order service says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Orders {
    all: i64,
    paid: i64,
    cancelled: i64,
    paid_pieces: i64,
    paid_cents: i64,
}

/// What the product service says of all products together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Stock {
    adds_up: bool,
    /// Pieces there ever were.
    all: i64,
    available: i64,
    held: i64,
    sold: i64,
}

/// What the payment service says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ledger {
    sum_cents: i64,
    kept_cents: i64,
}

/// How far the books moved between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) placed: i64,
    pub(super) paid: i64,
    pub(super) cancelled: i64,
    /// Pieces on sale and pieces sold, together.
    pub(super) pieces: i64,
    pub(super) sold: i64,
    pub(super) kept_cents: i64,
}

impl Books {
    /// Reads them once, as they are.
    async fn read(inside: &Http) -> Result<Self, Broken> {
        let report = async |path: &str| Ok::<_, Broken>(inside.get(path, None).await?.expect(200)?.json());
        let orders = report("/orders-report").await?;
        let (stock, ledger) = (report("/stock-report").await?, report("/ledger-report").await?);
        Ok(Self { orders: Orders::of(&orders), stock: Stock::of(&stock), ledger: Ledger::of(&ledger) })
    }

    /// Reads them until every order is final and all three agree.
    ///
    /// # Errors
    /// In what they still disagree when the wait is over.
    pub(super) async fn settled(inside: &Http) -> Result<Self, Broken> {
        until("orders, stock and money to agree", SETTLED_WAIT, async || {
            let books = Self::read(inside).await?;
            books.agree()?;
            Ok(books)
        })
        .await
    }

    fn agree(&self) -> Result<(), Broken> {
        let Self { orders, stock, ledger } = self;
        let n_open = orders.all - orders.paid - orders.cancelled;
        ensure(n_open == 0, || format!("{n_open} orders are not final"))?;
        ensure(stock.adds_up && stock.all == stock.available + stock.held + stock.sold, || {
            format!("the stock does not add up: {stock:?}")
        })?;
        ensure(stock.held == 0, || format!("{} pieces are still held", stock.held))?;
        ensure(stock.sold == orders.paid_pieces, || {
            format!("{} pieces are paid, {} are sold", orders.paid_pieces, stock.sold)
        })?;
        ensure(ledger.sum_cents == 0, || format!("the ledger sums to {} cents", ledger.sum_cents))?;
        ensure(ledger.kept_cents == orders.paid_cents, || {
            format!("orders are paid with {} cents, the ledger has {}", orders.paid_cents, ledger.kept_cents)
        })
    }

    /// What happened since an earlier reading.
    pub(super) fn since(&self, earlier: &Self) -> Moved {
        Moved {
            placed: self.orders.all - earlier.orders.all,
            paid: self.orders.paid - earlier.orders.paid,
            cancelled: self.orders.cancelled - earlier.orders.cancelled,
            pieces: self.stock.available + self.stock.sold - earlier.stock.available - earlier.stock.sold,
            sold: self.stock.sold - earlier.stock.sold,
            kept_cents: self.ledger.kept_cents - earlier.ledger.kept_cents,
        }
    }

    /// The three of them in a line each, for people.
    pub(super) fn lines(&self) -> [String; 3] {
        let Self { orders, stock, ledger } = self;
        [
            format!(
                "orders: {} = {} paid + {} cancelled, none open",
                orders.all, orders.paid, orders.cancelled
            ),
            format!(
                "stock: {} pieces = {} on sale + {} sold, none held; sold = the pieces of paid orders",
                stock.all, stock.available, stock.sold
            ),
            format!(
                "ledger: sums to {}; {} kept = the price of paid orders",
                ledger.sum_cents,
                Money(ledger.kept_cents)
            ),
        ]
    }
}

impl Orders {
    fn of(report: &Value) -> Self {
        let states = report.get("states").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let of = |name: &str, key: &str| {
            let state = states.iter().find(|state| state.get("state").and_then(Value::as_str) == Some(name));
            state.map_or(0, |state| number(state, key))
        };
        Self {
            all: states.iter().map(|state| number(state, "orders")).sum(),
            paid: of("paid", "orders"),
            cancelled: of("cancelled", "orders"),
            paid_pieces: of("paid", "pieces"),
            paid_cents: of("paid", "amount_cents"),
        }
    }
}

impl Stock {
    fn of(report: &Value) -> Self {
        let total = report.get("total").unwrap_or(&Value::Null);
        Self {
            adds_up: report.get("adds_up") == Some(&Value::Bool(true)),
            all: number(total, "initial") + number(total, "added"),
            available: number(total, "available"),
            held: number(total, "held"),
            sold: number(total, "sold"),
        }
    }
}

impl Ledger {
    fn of(report: &Value) -> Self {
        Self {
            // A report without a sum is one that does not sum to zero.
            sum_cents: report.get("sum_cents").and_then(Value::as_i64).unwrap_or(i64::MAX),
            kept_cents: number(report, "charged_cents") - number(report, "refunded_cents"),
        }
    }
}

fn number(object: &Value, key: &str) -> i64 {
    object.get(key).and_then(Value::as_i64).unwrap_or_default()
}

/// Cents as people write them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Money(pub(super) i64);

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, (self.0 % 100).abs())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn books(held: i64, sold: i64, charged: i64, states: &Value) -> Books {
        Books {
            orders: Orders::of(&json!({ "states": states })),
            stock: Stock::of(&json!({ "adds_up": true, "total":
                { "initial": 10, "added": 2, "available": 12 - held - sold, "held": held, "sold": sold } })),
            ledger: Ledger::of(&json!({ "sum_cents": 0, "charged_cents": charged, "refunded_cents": 5 })),
        }
    }

    fn paid(orders: i64) -> Value {
        json!({ "state": "paid", "orders": orders, "pieces": orders, "amount_cents": 100 * orders })
    }

    #[test]
    fn the_books_agree_only_if_orders_pieces_and_cents_are_the_same_in_all_three() {
        let cancelled = json!({ "state": "cancelled", "orders": 1, "pieces": 1, "amount_cents": 100 });
        assert_eq!(books(0, 2, 205, &json!([paid(2), cancelled])).agree(), Ok(()));
        let told = |books: Books| books.agree().unwrap_err().to_string();
        let open = json!({ "state": "reserved", "orders": 1, "pieces": 1, "amount_cents": 100 });
        assert_eq!(told(books(1, 2, 205, &json!([paid(2), open]))), "1 orders are not final");
        assert_eq!(told(books(1, 2, 205, &json!([paid(2)]))), "1 pieces are still held");
        assert_eq!(told(books(0, 3, 205, &json!([paid(2)]))), "2 pieces are paid, 3 are sold");
        assert_eq!(
            told(books(0, 2, 305, &json!([paid(2)]))),
            "orders are paid with 200 cents, the ledger has 300"
        );
        assert!(
            told(Books { ledger: Ledger::of(&json!({})), ..books(0, 0, 5, &json!([])) }).contains("sums to")
        );
    }

    #[test]
    fn what_moved_is_the_difference_of_two_readings() {
        let moved = books(0, 3, 305, &json!([paid(3)])).since(&books(0, 1, 105, &json!([paid(1)])));
        let expected = Moved { placed: 2, paid: 2, cancelled: 0, pieces: 0, sold: 2, kept_cents: 200 };
        assert_eq!(moved, expected);
    }

    #[test]
    fn money_has_two_digits_behind_the_point() {
        assert_eq!(Money(1290).to_string(), "12.90");
        assert_eq!(Money(5).to_string(), "0.05");
    }
}
