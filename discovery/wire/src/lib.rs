//! The JSON shapes of the Consul HTTP API.
