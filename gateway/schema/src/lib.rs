//! The configuration language of Portcullis as types, with every error at its place.
