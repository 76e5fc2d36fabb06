//! Why an order is cancelled, as it is kept and as a customer is told.

use std::str::FromStr;

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::state::UnknownName;

/// Why an order is, or is being, cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// There were not enough pieces.
    OutOfStock,
    /// There is no such product.
    NoSuchProduct,
    /// The payment service would not charge it.
    Declined,
    /// The customer wanted it no more.
    Customer,
    /// It was not paid in time.
    TooLate,
    /// It was paid, but too late to find its pieces still there.
    StockLost,
}

impl Reason {
    const ALL: [Self; 6] = [
        Self::OutOfStock,
        Self::NoSuchProduct,
        Self::Declined,
        Self::Customer,
        Self::TooLate,
        Self::StockLost,
    ];

    /// Its name in the database, in answers and in events.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OutOfStock => "out_of_stock",
            Self::NoSuchProduct => "no_such_product",
            Self::Declined => "declined",
            Self::Customer => "customer",
            Self::TooLate => "too_late",
            Self::StockLost => "stock_lost",
        }
    }

    /// The status of the answer to the request that found out.
    #[must_use]
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::NoSuchProduct => StatusCode::NOT_FOUND,
            Self::Declined => StatusCode::PAYMENT_REQUIRED,
            Self::OutOfStock | Self::Customer | Self::TooLate | Self::StockLost => StatusCode::CONFLICT,
        }
    }

    /// What a customer is told.
    #[must_use]
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::OutOfStock => "there are not enough pieces left",
            Self::NoSuchProduct => "there is no such product",
            Self::Declined => "the payment was declined",
            Self::Customer => "it was cancelled by the customer",
            Self::TooLate => "it was not paid in time",
            Self::StockLost => "its pieces were sold before it was paid; what was paid is paid back",
        }
    }
}

impl FromStr for Reason {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|reason| reason.name() == name).ok_or_else(|| UnknownName::new(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_as_it_is_written() {
        for reason in Reason::ALL {
            assert_eq!(reason.name().parse(), Ok(reason));
            assert_eq!(serde_json::json!(reason), serde_json::json!(reason.name()));
        }
    }
}
