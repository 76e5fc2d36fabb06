//! `keys!`: one definition of a map gives its type, its decoder, its JSON Schema, its merge rule and its outline.

/// Defines a map of the language.
///
/// ```text
/// keys! {
///     /// Doc comment: the description in the JSON Schema.
///     pub struct Timeout is "a timeout" {
///         /// Doc comment of the key.
///         key connect: Option<At<Duration>>,
///         required path: Option<At<String>>,      // reported when absent
///         key uses = "use": Option<Vec<At<Name>>>, // another word in YAML than in Rust
///         flatten policy: PolicyKeys,              // its keys stand in this map
///     }
///     later { "cache": "why not now" }             // known, refused with its own code
///     instead { "cors": "`cors` is a plugin" } // not known, but what is meant is
///     short from_text as schema_of_text;           // also accepts a scalar or list
///     check together;                              // rules over several keys
/// }
/// ```
macro_rules! keys {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident is $what:literal {
            $(
                $(#[doc = $field_doc:literal])+
                $kind:ident $field:ident $(= $key:literal)? : $ty:ty
            ),* $(,)?
        }
        $(later { $($later:literal : $why:literal),* $(,)? })?
        $(instead { $($instead:literal : $how:literal),* $(,)? })?
        $(short $short:path as $short_schema:path ;)?
        $(check $check:path ;)?
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Default)]
        pub struct $name {
            $(
                $(#[doc = $field_doc])+
                pub $field: $ty,
            )*
        }

        impl $crate::decode::Keys for $name {
            const NAME: &'static str = stringify!($name);
            const WHAT: &'static str = $what;
            const DOC: &'static str = concat!($($doc, "\n"),+);
            $(const LATER: &'static [(&'static str, &'static str)] = &[$(($later, $why)),*];)?
            $(const INSTEAD: &'static [(&'static str, &'static str)] = &[$(($instead, $how)),*];)?

            fn read(reader: &mut $crate::decode::Reader<'_, '_, '_>) -> Self {
                Self {
                    $($field: $crate::decode::keys!(
                        @read $kind reader, $crate::decode::keys!(@key $field $(, $key)?), $ty
                    ),)*
                }
            }

            fn properties(
                properties: &mut $crate::decode::Properties,
                required: &mut Vec<&'static str>,
                definitions: &mut $crate::decode::Definitions,
            ) {
                let _ = &required;
                $($crate::decode::keys!(
                    @describe $kind properties, required, definitions,
                    $crate::decode::keys!(@key $field $(, $key)?),
                    concat!($($field_doc, "\n"),+),
                    $ty
                );)*
            }

            $(
                fn short(
                    node: &$crate::yaml::Node,
                    decoder: &mut $crate::decode::Decoder<'_>,
                ) -> Option<Option<Self>> {
                    $short(node, decoder)
                }

                fn describe_short() -> Option<serde_json::Value> {
                    Some($short_schema())
                }
            )?

            $(
                fn check(&self, node: &$crate::yaml::Node, decoder: &mut $crate::decode::Decoder<'_>) {
                    $check(self, node, decoder);
                }
            )?
        }

        impl $crate::decode::Decode for $name {
            fn decode(node: &$crate::yaml::Node, decoder: &mut $crate::decode::Decoder<'_>) -> Option<Self> {
                $crate::decode::decode_keys::<Self>(node, decoder)
            }

            fn describe(definitions: &mut $crate::decode::Definitions) -> serde_json::Value {
                $crate::decode::describe_keys::<Self>(definitions)
            }
        }

        impl $crate::merge::Merge for $name {
            fn merge(&mut self, over: &Self) {
                $($crate::merge::Merge::merge(&mut self.$field, &over.$field);)*
            }
        }

        impl $crate::outline::Outline for $name {
            fn outline(&self, view: &mut $crate::outline::View<'_>) {
                view.map(|view| self.outline_keys(view));
            }

            fn outline_keys(&self, view: &mut $crate::outline::View<'_>) {
                $($crate::decode::keys!(
                    @outline $kind view, $crate::decode::keys!(@key $field $(, $key)?), &self.$field
                );)*
            }
        }
    };

    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident, $key:literal) => { $key };

    (@read key $reader:ident, $key:expr, $ty:ty) => {
        <$ty as $crate::decode::Field>::read($reader, $key)
    };
    (@read required $reader:ident, $key:expr, $ty:ty) => {{
        $reader.require($key);
        <$ty as $crate::decode::Field>::read($reader, $key)
    }};
    (@read flatten $reader:ident, $key:expr, $ty:ty) => {
        <$ty as $crate::decode::Keys>::read($reader)
    };

    (@outline flatten $view:ident, $key:expr, $field:expr) => {
        $crate::outline::Outline::outline_keys($field, $view)
    };
    (@outline $kind:ident $view:ident, $key:expr, $field:expr) => {
        $view.under($key, |view| $crate::outline::Outline::outline($field, view))
    };

    (@describe key $properties:ident, $required:ident, $definitions:ident, $key:expr, $doc:expr, $ty:ty) => {
        <$ty as $crate::decode::Field>::properties($key, $doc, $properties, $definitions)
    };
    (@describe required $properties:ident, $required:ident, $definitions:ident, $key:expr, $doc:expr, $ty:ty) => {{
        $required.push($key);
        <$ty as $crate::decode::Field>::properties($key, $doc, $properties, $definitions)
    }};
    (@describe flatten $properties:ident, $required:ident, $definitions:ident, $key:expr, $doc:expr, $ty:ty) => {{
        let n_own = $properties.len();
        <$ty as $crate::decode::Keys>::properties($properties, $required, $definitions);
        for property in $properties.iter_mut().skip(n_own) {
            property.of = Some(<$ty as $crate::decode::Keys>::NAME);
        }
    }};
}

pub(crate) use keys;
