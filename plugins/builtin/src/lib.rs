//! The plugins every Portcullis binary carries.
