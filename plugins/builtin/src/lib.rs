//! The plugins every Portcullis binary carries.
//!
//! They come in through the same door as anybody's: nothing here can do what a plugin of yours could not.

pub mod cors;
pub mod headers;

pub use cors::Cors;
pub use headers::Headers;

use portcullis_plugin_sdk::{Catalog, CatalogError};

/// The built-in plugins. A binary of your own adds to it: `catalog()?.with::<Mine>()?`.
///
/// # Errors
/// Never with these plugins; the type is that of every list of plugins.
pub fn catalog() -> Result<Catalog, CatalogError> {
    Catalog::new().with::<Cors>()?.with::<Headers>()
}

#[cfg(test)]
mod tests {
    use super::catalog;

    #[test]
    fn the_catalog_lists_every_built_in_plugin() {
        let catalog = catalog().unwrap();
        assert_eq!(catalog.names().collect::<Vec<_>>(), ["cors", "headers"]);
        for name in catalog.names() {
            assert!(catalog.settings_schema(name).is_some());
        }
    }
}
