//! Tokens of the admin API: who holds one, and which are too weak to be one.
//!
//! Decides what may be a token. Never says what one is: findings name the token, not its text.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_schema::{At, Code, Document, Entry, Map, Name, SecretSource};

use super::report::Report;
use crate::snapshot::{AdminToken, KeptSecret};

/// Least characters of a token that somebody else chose.
const TOKEN_CHARS_MIN: usize = 32;
/// Most tokens in one document.
const TOKENS_MAX: usize = 256;
/// The name that the generated token goes by.
const GENERATED: &str = "admin";

/// The tokens that are whole; the others are reported by [`check`].
pub(super) fn read(document: &Document) -> BTreeMap<Arc<str>, AdminToken> {
    let whole = |(name, entry): (&Name, &Entry<portcullis_schema::AdminToken>)| {
        let role = entry.value.role.as_ref()?.value;
        let token = match entry.value.token.as_ref()? {
            SecretSource::Value(value) => KeptSecret::Value(value.value.clone()),
            SecretSource::File(file) => KeptSecret::File(file.value.clone()),
        };
        Some((name.shared(), AdminToken { role, token }))
    };
    tokens(document).into_iter().flatten().filter_map(whole).collect()
}

/// Reports tokens that are missing, too short or take the generated one's name.
pub(super) fn check(document: &Document, report: &mut Report) {
    let Some(tokens) = tokens(document) else { return };
    if tokens.len() > TOKENS_MAX {
        let message = format!("{} admin tokens, and at most {TOKENS_MAX} are kept", tokens.len());
        report.add(portcullis_schema::Diagnostic::new(Code::TooManyRoutes, message));
    }
    for (name, entry) in tokens {
        if name.as_str() == GENERATED {
            let message = format!("`{GENERATED}` is the name of the generated token");
            report.say(
                Code::DuplicateName,
                entry.at,
                message,
                "taken",
                Some("give it another name".to_owned()),
            );
        }
        match &entry.value.token {
            None => {
                let message = format!("the admin token `{name}` has no token");
                let help = Some("add `token_env: VARIABLE` or `token_file: PATH`".to_owned());
                report.say(Code::MissingKey, entry.at, message, "no token", help);
            }
            Some(SecretSource::Value(At { value, at })) if value.reveal().len() < TOKEN_CHARS_MIN => {
                let message = format!("the admin token `{name}` has fewer than {TOKEN_CHARS_MIN} characters");
                let help = Some("make one with `openssl rand -hex 32`".to_owned());
                report.say(Code::OutOfRange, *at, message, "too short", help);
            }
            Some(SecretSource::Value(_) | SecretSource::File(_)) => {}
        }
    }
}

fn tokens(document: &Document) -> Option<&Map<Name, portcullis_schema::AdminToken>> {
    document.admin.as_ref().map(|admin| &admin.value.tokens)
}
