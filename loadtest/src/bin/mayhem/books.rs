//! The books at the end, and whether they balance.

use std::fmt::Write;

/// What everybody says once all is quiet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Books {
    /// Requests for an order, each with a key of its own.
    pub(crate) asked: i64,
    /// Orders that customers were told of.
    pub(crate) told: i64,
    /// Of these, those that the order service lists for their customer.
    pub(crate) kept: i64,
    /// Orders that the order service has.
    pub(crate) orders: i64,
    /// Of these, those that are neither paid nor cancelled.
    pub(crate) unsettled: i64,
    /// What paid orders cost.
    pub(crate) paid_cents: i64,
    /// Pieces in paid orders.
    pub(crate) paid_pieces: i64,
    /// Pieces that there ever were.
    pub(crate) stock: i64,
    /// Pieces that can be ordered.
    pub(crate) available: i64,
    /// Pieces that are reserved.
    pub(crate) held: i64,
    /// Pieces that are sold.
    pub(crate) sold: i64,
    /// The sum of all entries of the ledger.
    pub(crate) ledger: i64,
    /// Charged, all together.
    pub(crate) charged_cents: i64,
    /// Paid back, all together.
    pub(crate) refunded_cents: i64,
    /// Events that a service could not deal with.
    pub(crate) dead_letters: i64,
}

/// One thing that has to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    what: &'static str,
    found: String,
    pub(crate) holds: bool,
}

impl Books {
    /// Everything that has to be so if nothing was lost and nothing happened twice.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let equal = |what, left: i64, right: i64| Check {
            what,
            found: format!("{left} = {right}"),
            holds: left == right,
        };
        vec![
            Check { what: "orders were placed", found: self.told.to_string(), holds: self.told > 0 },
            equal("every order that a customer was told of is there", self.told, self.kept),
            Check {
                what: "no request made two orders: told of ≤ there ≤ asked for",
                found: format!("{} ≤ {} ≤ {}", self.told, self.orders, self.asked),
                holds: self.told <= self.orders && self.orders <= self.asked,
            },
            equal("every order is paid or cancelled", self.unsettled, 0),
            equal("no stock is held any more", self.held, 0),
            equal(
                "stock: available + held + sold = all there ever was",
                self.available + self.held + self.sold,
                self.stock,
            ),
            equal("stock sold = pieces in paid orders", self.sold, self.paid_pieces),
            equal("the ledger sums to zero", self.ledger, 0),
            equal(
                "ledger: charged - refunded = paid orders",
                self.charged_cents - self.refunded_cents,
                self.paid_cents,
            ),
            equal("no event was given up", self.dead_letters, 0),
        ]
    }
}

/// The checks as a Markdown table.
pub(crate) fn table(checks: &[Check]) -> String {
    let mut text = "| at the end | found | |\n|---|---|---|\n".to_owned();
    for check in checks {
        let verdict = if check.holds { "holds" } else { "BROKEN" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} | {} | {verdict} |", check.what, check.found);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balanced() -> Books {
        Books {
            asked: 12,
            told: 10,
            kept: 10,
            orders: 11,
            paid_cents: 900,
            paid_pieces: 9,
            stock: 100,
            available: 91,
            sold: 9,
            charged_cents: 1000,
            refunded_cents: 100,
            ..Books::default()
        }
    }

    fn broken(books: &Books) -> Vec<&'static str> {
        books.checks().into_iter().filter(|check| !check.holds).map(|check| check.what).collect()
    }

    #[test]
    fn balanced_books_hold() {
        assert_eq!(broken(&balanced()), Vec::<&str>::new());
    }

    #[test]
    fn every_way_to_lose_or_double_something_is_seen() {
        let cases: [(Books, &str); 11] = [
            (Books { kept: 9, ..balanced() }, "told of is there"),
            (Books { orders: 13, ..balanced() }, "two orders"),
            (Books { unsettled: 1, ..balanced() }, "paid or cancelled"),
            (Books { held: 1, available: 90, ..balanced() }, "held"),
            (Books { available: 90, ..balanced() }, "all there ever was"),
            (Books { sold: 10, available: 90, ..balanced() }, "pieces in paid orders"),
            (Books { ledger: 5, ..balanced() }, "zero"),
            (Books { charged_cents: 1100, ..balanced() }, "charged"),
            (Books { refunded_cents: 0, ..balanced() }, "charged"),
            (Books { dead_letters: 1, ..balanced() }, "given up"),
            (Books { asked: 0, told: 0, kept: 0, orders: 0, ..balanced() }, "placed"),
        ];
        for (books, part) in cases {
            assert!(broken(&books).iter().any(|what| what.contains(part)), "{part}: {:?}", broken(&books));
        }
    }

    #[test]
    fn the_table_says_what_is_broken() {
        let text = table(&Books { ledger: 5, ..balanced() }.checks());
        assert!(text.contains("| the ledger sums to zero | 5 = 0 | BROKEN |"), "{text}");
    }
}
