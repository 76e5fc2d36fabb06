//! An embedded, single-node, in-memory registry that speaks the Consul HTTP API.
