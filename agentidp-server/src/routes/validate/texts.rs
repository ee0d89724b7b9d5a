//! What the rules accept, as the API document writes it.

use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::rules::{CAPABILITIES_MAX, CAPABILITY_MAX, EMAIL_MAX, OWNER_MAX, VERSION_MAX};

/// Defines a type that stands for a text in the document, with its longest length and its pattern.
macro_rules! documented_text {
    ($(#[doc = $doc:literal])* $name:ident, $max:ident, $pattern:expr) => {
        $(#[doc = $doc])*
        #[derive(Debug)]
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some(concat!($($doc),*).trim()));
                text.min_length(Some(1)).max_length(Some($max)).pattern(Some($pattern)).into()
            }
        }

        impl ToSchema for $name {}
    };
}

documented_text! {
    /// An e-mail address, in the form that everybody uses; at most 64 characters before the `@`.
    Email, EMAIL_MAX,
    r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-](\.?[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]){0,63}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
}
documented_text! {
    /// A semantic version, without a leading `v`.
    SemanticVersion, VERSION_MAX,
    r"^(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
}
documented_text! {
    /// A name for people: not blank, and without control characters.
    Name, OWNER_MAX,
    r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
}
documented_text! {
    /// `resource:action`, or `*` as the action.
    Capability, CAPABILITY_MAX, r"^[A-Za-z0-9._-]+:(\*|[A-Za-z0-9._-]+)$"
}

/// Different capabilities.
#[derive(Debug)]
pub(crate) enum Capabilities {}

impl PartialSchema for Capabilities {
    fn schema() -> RefOr<Schema> {
        let items =
            ArrayBuilder::new().items(Ref::from_schema_name("Capability")).description(Some("Different capabilities."));
        items.min_items(Some(1)).max_items(Some(CAPABILITIES_MAX)).unique_items(true).into()
    }
}

impl ToSchema for Capabilities {}
