//! API gateway and service-discovery proxy: the shell around the decisions of portcullis-core.
