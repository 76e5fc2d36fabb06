//! Who asks, as the gateway established it: `X-User-Id`, `X-User-Role` and `X-Scopes`, from the claims of a token.
//!
//! A service verifies no token. It believes these headers because only the gateway reaches it, and the
//! gateway removes a client's own copies.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use crate::problem::Problem;

/// The header with the id of the user.
pub const USER: &str = "x-user-id";
/// The header with the user's role.
pub const ROLE: &str = "x-user-role";
/// The header with what the token allows, separated by spaces.
pub const SCOPES: &str = "x-scopes";
/// Characters of a user's id.
const USER_CHARS_MAX: usize = 128;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The id of the user.
    pub user: String,
    is_staff: bool,
    scopes: String,
}

impl Identity {
    /// Refuses whoever's token does not allow `scope`.
    ///
    /// # Errors
    /// 403 `missing_scope`.
    pub fn require(&self, scope: &str) -> Result<(), Problem> {
        if self.scopes.split(' ').any(|granted| granted == scope) {
            return Ok(());
        }
        let detail = format!("this needs a token with the scope `{scope}`");
        Err(Problem::new(StatusCode::FORBIDDEN, "missing_scope", detail))
    }

    /// Refuses whoever is not staff with a token that allows `scope`.
    ///
    /// # Errors
    /// 403 `not_staff` or `missing_scope`.
    pub fn require_staff(&self, scope: &str) -> Result<(), Problem> {
        if self.is_staff {
            return self.require(scope);
        }
        Err(Problem::new(StatusCode::FORBIDDEN, "not_staff", "only staff may do this"))
    }
}

/// 401 `no_identity` for a request that the gateway did not put a user on.
impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let usable =
            |id: &&str| (1..=USER_CHARS_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        let user = text(USER).filter(usable).ok_or_else(|| {
            let detail = "log in: the gateway names the user in X-User-Id";
            Problem::new(StatusCode::UNAUTHORIZED, "no_identity", detail)
        })?;
        Ok(Self {
            user: user.to_owned(),
            is_staff: text(ROLE) == Some("staff"),
            scopes: text(SCOPES).unwrap_or_default().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn read(headers: &[(&str, &str)]) -> Result<Identity, Problem> {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Identity::from_request_parts(&mut request.body(()).unwrap().into_parts().0, &()).await
    }

    #[tokio::test]
    async fn who_asks_is_who_the_gateway_says() {
        let staff =
            read(&[(USER, "u-1"), (ROLE, "staff"), (SCOPES, "profile products:write")]).await.unwrap();
        assert_eq!(staff.user, "u-1");
        assert_eq!(staff.require_staff("products:write"), Ok(()));
        assert_eq!(staff.require_staff("products").unwrap_err().code, "missing_scope");
        let customer = read(&[(USER, "u-2"), (SCOPES, "products:write")]).await.unwrap();
        assert_eq!(customer.require_staff("products:write").unwrap_err().code, "not_staff");
        assert_eq!(customer.require("products:write"), Ok(()));
    }

    #[tokio::test]
    async fn without_a_user_nobody_asks() {
        for headers in [&[(ROLE, "staff")][..], &[(USER, "")], &[(USER, "two words")]] {
            assert_eq!(read(headers).await.unwrap_err().status, StatusCode::UNAUTHORIZED);
        }
    }
}
