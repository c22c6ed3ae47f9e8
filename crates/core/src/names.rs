//! Distinct types for the names that travel through Slipway, so that one cannot stand where another is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {name:?} {why}")]
pub struct InvalidName {
    /// What the name was meant for.
    pub kind: &'static str,
    /// The name as it was given.
    pub name: String,
    /// What is wrong with it, as the end of a sentence.
    pub why: &'static str,
}

fn label(kind: &'static str, name: &str, extra: &[char], max: usize) -> Result<(), InvalidName> {
    let fail = |why| Err(InvalidName { kind, name: name.chars().take(80).collect(), why });
    if name.is_empty() {
        return fail("is empty");
    }
    if name.len() > max {
        return fail("is too long");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return fail("must start with a letter or a digit");
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(&c)) {
        return fail(match extra {
            ['-', '_', '.', '+'] => "may hold only letters, digits, `-`, `_`, `.` and `+`",
            ['-', '_', '.'] => "may hold only letters, digits, `-`, `_` and `.`",
            ['-', '_'] => "may hold only letters, digits, `-` and `_`",
            _ => "may hold only letters, digits and `-`",
        });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $extra:expr, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks and takes a name.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                label($kind, &name, $extra, $max)?;
                Ok(Self(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl std::str::FromStr for $type {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name!(
    /// A thing that is released: lower or upper case letters, digits, `-`, `_`; at most 63 bytes.
    ServiceName, "service", &['-', '_'], 63
);
name!(
    /// Where a service runs: development, staging, production, or the user's own; at most 63 bytes.
    EnvironmentName, "environment", &['-', '_'], 63
);
name!(
    /// Services that are released together; at most 63 bytes.
    GroupName, "group", &['-', '_'], 63
);
name!(
    /// What a person calls an artifact and its configuration: `1.4.2`, `git-3fa9c1e`; at most 128 bytes.
    VersionName, "version", &['-', '_', '.', '+'], 128
);
name!(
    /// One running copy of a version, unique for ever: `checkout-production-17`.
    InstanceId, "instance", &['-', '_', '.'], 200
);
name!(
    /// One rollout, unique within a store: `ro-12`.
    RolloutId, "rollout", &['-'], 40
);

impl RolloutId {
    /// The id of the `n`th rollout of a store.
    pub fn numbered(n: u64) -> Self {
        Self(format!("ro-{n}"))
    }
}

impl InstanceId {
    /// The id of the `n`th instance that a lane ever had: `shop-production-3`. Where a name has a dash itself, dots stand
    /// between them, which no name has, so that `shop` in `eu-prod` and `shop-eu` in `prod` never meet.
    pub fn numbered(service: &ServiceName, environment: &EnvironmentName, n: u64) -> Self {
        let has_dash = service.as_str().contains('-') || environment.as_str().contains('-');
        let between = if has_dash { '.' } else { '-' };
        Self(format!("{service}{between}{environment}{between}{n}"))
    }
}

/// A service in an environment: the unit within which one rollout at a time is open.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LaneId {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
}

/// A few of them by name, the others by number.
pub fn some_of(all: &[impl ToString]) -> String {
    let (named, others) = all.split_at(all.len().min(3));
    let named = named.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match others.len() {
        0 => named,
        1 => format!("{named} and 1 other"),
        others => format!("{named} and {others} others"),
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.service, self.environment)
    }
}

/// The SHA-256 of some bytes, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self::from_hash(&sha2::Sha256::digest(bytes))
    }

    /// Wraps the 32 bytes of a finished SHA-256.
    pub fn from_hash(hash: &[u8]) -> Self {
        let mut text = String::with_capacity(7 + 64);
        text.push_str("sha256:");
        for byte in hash {
            text.push_str(&format!("{byte:02x}"));
        }
        Self(text)
    }

    /// `sha256:…` as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hexadecimal digits alone.
    pub fn hex(&self) -> &str {
        &self.0[7..]
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        let ok = text.strip_prefix("sha256:").is_some_and(|hex| {
            hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        if ok {
            Ok(Self(text))
        } else {
            Err(InvalidName {
                kind: "digest",
                name: text.chars().take(80).collect(),
                why: "must be sha256: and 64 lower-case hexadecimal digits",
            })
        }
    }
}

impl std::str::FromStr for Digest {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::try_from(text.to_string())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_of_two_lanes_never_have_one_id() {
        let id = |service: &str, environment: &str| {
            InstanceId::numbered(&service.parse().unwrap(), &environment.parse().unwrap(), 1)
        };
        assert_eq!(id("shop", "production").as_str(), "shop-production-1");
        assert_ne!(id("shop", "eu-prod"), id("shop-eu", "prod"));
        assert_ne!(id("a-b", "c"), id("a", "b-c"));
    }

    #[test]
    fn of_many_a_few_are_named() {
        let said: Vec<_> = [1, 3, 4, 5].iter().map(|n| some_of(&["a", "b", "c", "d", "e"][..*n])).collect();
        assert_eq!(said, ["a", "a, b, c", "a, b, c and 1 other", "a, b, c and 2 others"]);
    }

    #[test]
    fn names_refuse_what_could_leave_a_folder_or_a_header() {
        for bad in ["", "../x", "a/b", "a b", "-a", ".a", "a\n", "ä"] {
            assert!(ServiceName::new(bad).is_err(), "{bad:?}");
            assert!(VersionName::new(bad).is_err(), "{bad:?}");
        }
        assert!(VersionName::new("1.4.2-rc.1+build5").is_ok());
        assert!(ServiceName::new("a".repeat(64)).is_err());
    }

    #[test]
    fn a_digest_is_the_sha_256_of_the_bytes() {
        assert_eq!(
            Digest::of(b"abc").as_str(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!("sha256:ABC".parse::<Digest>().is_err());
    }
}
