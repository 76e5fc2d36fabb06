//! What customers and staff may do, and how much of it a token says. Pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What somebody is to the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    /// Buys.
    Customer,
    /// Runs the shop.
    Staff,
}

/// Everything a token can allow. A customer's are the first [`CUSTOMERS`].
const SCOPES: [&str; 7] = [
    "profile",
    "orders:read",
    "orders:write",
    "products:write",
    "payments:read",
    "users:write",
    "events:replay",
];
const CUSTOMERS: usize = 3;

/// A scope that cannot be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotGranted {
    /// There is no such scope.
    Unknown,
    /// There is, but not for this role.
    NotForRole,
}

impl Role {
    pub(super) const ALL: [Self; 2] = [Self::Customer, Self::Staff];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Staff => "staff",
        }
    }

    fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::Customer => SCOPES.split_at(CUSTOMERS).0,
            Self::Staff => &SCOPES,
        }
    }

    /// The scope of a token: all of the role's, or the part that was asked for (RFC 6749 §3.3).
    pub(super) fn grant(self, asked: Option<&str>) -> Result<String, NotGranted> {
        let Some(asked) = asked else { return Ok(self.scopes().join(" ")) };
        require_known(asked)?;
        if asked.split(' ').any(|scope| !self.scopes().contains(&scope)) {
            return Err(NotGranted::NotForRole);
        }
        Ok(asked.to_owned())
    }

    /// What is left of a scope that was granted, under a role that may have changed since.
    pub(super) fn narrow(self, granted: Option<&str>) -> String {
        let Some(granted) = granted else { return self.scopes().join(" ") };
        granted.split(' ').filter(|scope| self.scopes().contains(scope)).collect::<Vec<_>>().join(" ")
    }
}

/// Whether every scope in a list exists: one or more, separated by single spaces.
pub(super) fn require_known(asked: &str) -> Result<(), NotGranted> {
    if asked.split(' ').all(|scope| SCOPES.contains(&scope)) { Ok(()) } else { Err(NotGranted::Unknown) }
}

/// All scopes there are, for people.
pub(super) fn known() -> String {
    SCOPES.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_may_ask_for_less_but_not_for_more() {
        assert_eq!(Role::Customer.grant(None).unwrap(), "profile orders:read orders:write");
        assert_eq!(Role::Customer.grant(Some("profile")).unwrap(), "profile");
        assert_eq!(Role::Customer.grant(Some("profile users:write")), Err(NotGranted::NotForRole));
        assert_eq!(Role::Staff.grant(Some("profile users:write")).unwrap(), "profile users:write");
        for unknown in ["profile admin", "", " profile", "profile  profile"] {
            assert_eq!(Role::Staff.grant(Some(unknown)), Err(NotGranted::Unknown), "{unknown:?}");
        }
    }

    #[test]
    fn a_role_that_is_lost_takes_its_scopes_along() {
        assert_eq!(Role::Customer.narrow(Some("profile users:write")), "profile");
        assert_eq!(Role::Customer.narrow(None), "profile orders:read orders:write");
        assert!(Role::Staff.narrow(None).ends_with("events:replay"));
    }
}
