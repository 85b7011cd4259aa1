//! `choice!`: an object with exactly one optional field set, as a struct for serde and a borrowed enum for code.

/// Defines the struct that people write and the enum that code matches.
///
/// The struct has one optional field per choice (so that files and custom resources stay one type); `one()` gives the enum when exactly one is set.
/// `defined by TRAIT, ENTRY`: every choice implements the trait, and `KINDS` lists what the trait says of the types themselves.
#[macro_export]
macro_rules! choice {
    ($(#[$meta:meta])* $Struct:ident as $Enum:ident defined by $Definition:path, $Entry:path { $( $(#[$field_meta:meta])* $field:ident / $text:literal => $Variant:ident($Type:ty), )+ }) => {
        $crate::choice! { $(#[$meta])* $Struct as $Enum { $( $(#[$field_meta])* $field / $text => $Variant($Type), )+ } }

        impl $Struct {
            /// Every kind, in the same order.
            pub const KINDS: &'static [$Entry] = &[$( <$Entry>::of::<$Type>($text) ),+];
        }

        impl<'a> $Enum<'a> {
            /// The parameters, as what they define.
            #[must_use]
            pub fn definition(&self) -> &'a dyn $Definition {
                match self { $( Self::$Variant(parameters) => *parameters, )+ }
            }
        }
    };
    ($(#[$meta:meta])* $Struct:ident as $Enum:ident { $( $(#[$field_meta:meta])* $field:ident / $text:literal => $Variant:ident($Type:ty), )+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema, Default)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $Struct {
            $( $(#[$field_meta])* #[serde(rename = $text, default, skip_serializing_if = "Option::is_none")] pub $field: Option<$Type>, )+
        }

        #[doc = concat!("The one choice that is set in a [`", stringify!($Struct), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum $Enum<'a> {
            $( $(#[$field_meta])* $Variant(&'a $Type), )+
        }

        impl $Struct {
            /// Every name, in order.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The choice, when exactly one is set.
            #[must_use]
            pub fn one(&self) -> Option<$Enum<'_>> {
                let mut all = self.set();
                match (all.next(), all.next()) {
                    (Some(one), None) => Some(one),
                    _ => None,
                }
            }

            /// Everything that is set.
            pub fn set(&self) -> impl Iterator<Item = $Enum<'_>> {
                [$( self.$field.as_ref().map($Enum::$Variant) ),+].into_iter().flatten()
            }
        }

        impl<'a> $Enum<'a> {
            /// The name as written in files.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $( Self::$Variant(_) => $text, )+ }
            }
        }
    };
}
