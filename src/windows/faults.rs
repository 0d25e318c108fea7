//! How the checkers of what lies on a disk name what they find: one table of names that stay what they are, and of how
//! much each matters.

/// Makes the enum of a checker's faults, of the name that comes first.
macro_rules! faults {
    ($(#[$doc:meta])* $faults:ident: $($fault:ident $name:literal $severity:ident $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $faults {
            $(#[doc = $text] $fault,)*
        }

        impl $faults {
            /// All of them.
            pub const ALL: &[$faults] = &[$($faults::$fault),*];

            /// Its name in JSON and in tests.
            pub fn name(self) -> &'static str {
                match self {
                    $($faults::$fault => $name,)*
                }
            }

            /// How much it matters.
            pub fn severity(self) -> $crate::findings::Severity {
                match self {
                    $($faults::$fault => $crate::findings::Severity::$severity,)*
                }
            }
        }

        impl std::fmt::Display for $faults {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $($faults::$fault => $text,)*
                })
            }
        }
    };
}

pub(crate) use faults;
