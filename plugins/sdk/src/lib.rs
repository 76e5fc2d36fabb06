//! What a Portcullis plugin is written against.
