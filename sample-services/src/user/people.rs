//! Signing up, seeing oneself, and staff looking after everybody.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Shared;
use super::accounts::{self, Account, Changed};
use super::roles::Role;
use crate::identity::Identity;
use crate::page::{Page, Window};
use crate::problem::{BodyProblems, IdentityProblems, Problem, ProblemBody, QueryProblems};
use crate::text;

/// Characters of an address of mail.
const EMAIL_CHARS_MAX: usize = 254;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 100;
/// Least characters of a password (NIST SP 800-63B asks for 8 where it is the only factor).
const PASSWORD_CHARS_MIN: usize = 8;
/// Most characters of a password: hashing longer ones would be work an attacker asks for.
pub(super) const PASSWORD_CHARS_MAX: usize = 128;
/// The scope of a token that may look after users.
const LOOK_AFTER: &str = "users:write";

/// Who wants an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignUp {
    #[schema(min_length = 5, max_length = 254, pattern = "^[!-?A-~]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+$")]
    email: String,
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    name: String,
    #[schema(min_length = 8, max_length = 128)]
    password: String,
}

/// A person with an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct User {
    id: String,
    email: String,
    name: String,
    role: Role,
}

impl From<Account> for User {
    fn from(account: Account) -> Self {
        let Account { id, email, name, role, password_hash: _ } = account;
        Self { id, email, name, role }
    }
}

/// Makes an account
#[utoipa::path(post, path = "/users", operation_id = "sign_up", request_body = SignUp, responses(
    (status = 201, body = User),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`email_taken`"),
    BodyProblems,
))]
pub(super) async fn sign_up(
    State(users): Shared,
    body: Result<Json<SignUp>, JsonRejection>,
) -> Result<(StatusCode, Json<User>), Problem> {
    let Json(SignUp { email, name, password }) = body?;
    check_sign_up(&email, &name, &password)?;
    let email = email.to_lowercase();
    let password_hash = users.passwords.hash(password).await.map_err(|error| Problem::internal(&error))?;
    let role = if users.staff_email.as_ref() == Some(&email) { Role::Staff } else { Role::Customer };
    let account = Account { id: Uuid::now_v7().to_string(), email, name, password_hash, role };
    let mut tx = users.store.begin().await?;
    if !accounts::insert(&mut tx, &account).await? {
        return Err(Problem::conflict("email_taken", "this address has an account; log in instead"));
    }
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(account.into())))
}

fn check_sign_up(email: &str, name: &str, password: &str) -> Result<(), Problem> {
    require_email(email)?;
    text::require_line("name", name, NAME_CHARS_MAX)?;
    if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&password.chars().count()) {
        let detail = format!("`password` has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters");
        return Err(Problem::invalid(detail));
    }
    Ok(())
}

/// Refuses what is no address: something of ASCII, `@`, and a name of a host with a dot in it.
pub(super) fn require_email(email: &str) -> Result<(), Problem> {
    let (before, host) = email.split_once('@').unwrap_or_default();
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let fits = !before.is_empty()
        && before.bytes().all(|byte| byte.is_ascii_graphic())
        && host.contains('.')
        && host.split('.').all(is_label)
        && email.len() <= EMAIL_CHARS_MAX;
    if fits { Ok(()) } else { Err(Problem::invalid("`email` is not an address such as ada@example.com")) }
}

/// Oneself
#[utoipa::path(get, path = "/users/me", operation_id = "get_me", responses(
    (status = 200, body = User),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "the account is gone"),
    IdentityProblems, QueryProblems,
))]
pub(super) async fn me(State(users): Shared, identity: Identity) -> Result<Json<User>, Problem> {
    let mut tx = users.store.read().await?;
    let account = accounts::by_id(&mut tx, &identity.user).await?;
    account.map(|account| Json(account.into())).ok_or_else(no_such_user)
}

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// Users on the page
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next` of the page before
    #[param(pattern = "^[0-9a-f]{32}$", min_length = 32, max_length = 32)]
    cursor: Option<String>,
}

/// Everybody, page by page; staff with the scope `users:write`
#[utoipa::path(get, path = "/users", operation_id = "list_users", params(Listing), responses(
    (status = 200, body = Page<User>, headers(("link" = String, description = "the next page, if there is one"))),
    IdentityProblems, QueryProblems,
))]
pub(super) async fn list(
    State(users): Shared,
    identity: Identity,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Result<Page<User>, Problem> {
    identity.require_staff(LOOK_AFTER)?;
    let Query(Listing { limit, cursor }) = listing?;
    let window = Window::<Uuid>::new(limit, cursor.as_deref())?;
    let mut tx = users.store.read().await?;
    let found = accounts::after(&mut tx, window.after.unwrap_or_default(), window.rows()).await?;
    let people: Vec<User> = found.into_iter().map(User::from).collect();
    Ok(window.page(people, |user| Uuid::try_parse(&user.id).unwrap_or_default(), &[]))
}

/// The role somebody is to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRole {
    role: Role,
}

/// Changes somebody's role, from their next token on; staff with the scope `users:write`
#[utoipa::path(put, path = "/users/{id}/role", operation_id = "set_role", params(("id" = String, Path, pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")), request_body = NewRole, responses(
    (status = 200, body = User),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such user"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`last_staff`"),
    IdentityProblems, BodyProblems,
))]
pub(super) async fn set_role(
    State(users): Shared,
    identity: Identity,
    id: Result<Path<Uuid>, PathRejection>,
    body: Result<Json<NewRole>, JsonRejection>,
) -> Result<Json<User>, Problem> {
    identity.require_staff(LOOK_AFTER)?;
    let (Path(id), Json(NewRole { role })) = (id?, body?);
    let mut tx = users.store.begin().await?;
    match accounts::set_role(&mut tx, &identity.user, &id.to_string(), role).await? {
        Changed::Done(account) => {
            tx.commit().await?;
            tracing::info!(user = %id, role = role.as_str(), by = %identity.user, "role changed");
            Ok(Json(account.into()))
        }
        Changed::NotByStaff => {
            let detail = "only staff may do this, and your account is staff no longer";
            Err(Problem::new(StatusCode::FORBIDDEN, "not_staff", detail))
        }
        Changed::NoSuchUser => Err(no_such_user()),
        Changed::LastStaff => {
            let detail = "nobody would be staff any more; make somebody else staff first";
            Err(Problem::conflict("last_staff", detail))
        }
    }
}

fn no_such_user() -> Problem {
    Problem::not_found("no such user")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sign_up_lacks_is_named() {
        let detail = |email, name, password| check_sign_up(email, name, password).unwrap_err().detail;
        assert!(detail("ada", "Ada", "correct horse").contains("`email`"));
        assert!(detail("ada@example.com", " ", "correct horse").contains("`name`"));
        assert!(detail("ada@example.com", "Ada", "short").contains("`password`"));
        assert_eq!(check_sign_up("ada@example.com", "Ada", "correct horse"), Ok(()));
    }

    #[test]
    fn an_address_has_one_at_sign_and_a_host() {
        for email in ["a@b.c", "Ada.Lovelace+shop@mail.example.com", "!@x-y.z"] {
            assert_eq!(require_email(email), Ok(()), "{email}");
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for email in
            ["", "@", "a@b", "@b.c", "a@b..c", "a@.c", "a b@c.d", "a@b@c.d", "ä@b.c", "a\0@b.c", &long]
        {
            assert!(require_email(email).is_err(), "{email:?}");
        }
    }
}
