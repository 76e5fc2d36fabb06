//! Who the client is: gates that let a request in with an [`Identity`] or refuse it with an [`AuthRefusal`].
//!
//! Every gate is closed unless a credential opens it: no key, no answer from an issuer and no mistake in a token ever
//! lets a request pass. Nothing here fetches; the shell brings key sets and the time.

pub mod api_key;
pub mod identity;
pub mod jwt;
pub mod refusal;

pub use api_key::{ApiKeyGate, ApiKeys, KeyDigest};
pub use identity::{Credential, Identity};
pub use jwt::{Algorithm, JwksCell, JwksSource, JwtGate, JwtSettings, KeySet};
pub use refusal::AuthRefusal;
