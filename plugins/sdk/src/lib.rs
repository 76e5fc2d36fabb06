//! What a Portcullis plugin is written against.
//!
//! A [`Plugin`] turns settings into a [`Filter`]; the gateway runs the filter at the hooks it declares and acts on
//! the [`Flow`] it returns. A filter sees values only: it never touches a socket, a clock or the proxy engine, so the
//! same code runs in the gateway and in a unit test ([`testing::Harness`]).

pub mod plugin;

pub mod filter;
pub mod flow;
pub mod view;

pub mod fault;
pub mod reply;

pub mod catalog;
pub mod seconds;
pub mod testing;

pub use catalog::{Catalog, CatalogError};
pub use fault::{BuildError, Fault};
pub use filter::{Filter, Hooks};
pub use flow::Flow;
pub use plugin::Plugin;
pub use reply::Reply;
pub use seconds::Seconds;
pub use view::{HeaderStore, Headers, IdentityView, RequestFacts, RequestView, ResponseView, Scheme, Vars};
