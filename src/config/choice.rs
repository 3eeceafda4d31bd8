//! Words that a key may hold.

/// Defines an enum whose variants have names in YAML: `NAMES`, `name` and `named`.
macro_rules! choice {
    ($(#[$about:meta])* $choice:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $choice { $($(#[$doc])* $variant,)+ }

        impl $choice {
            /// The names in YAML.
            pub(super) const NAMES: &[&str] = &[$($name),+];

            /// The name in YAML.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The variant of that name.
            pub(super) fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

pub(super) use choice;
