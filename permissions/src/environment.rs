//! Staging and production: each key is bound to one, each listener serves a set of them.

use std::fmt;
use std::str::FromStr;

use bitflags::bitflags;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The environment of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "KeyEnvironment")]
pub enum Environment {
    /// The sandbox, for development and testing.
    Staging,
    /// Live traffic.
    Production,
}

impl Environment {
    /// Both environments.
    pub const ALL: [Self; 2] = [Self::Staging, Self::Production];

    /// The name in the store, in JSON and in the CLI: `staging` or `production`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// The part of a key's text between brand and secret: `stg` or `live`.
    #[must_use]
    pub const fn key_mark(self) -> &'static str {
        match self {
            Self::Staging => "stg",
            Self::Production => "live",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No environment has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown environment `{0}`; it is `staging` or `production`")]
pub struct EnvironmentError(pub String);

impl FromStr for Environment {
    type Err = EnvironmentError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|environment| environment.name() == name)
            .ok_or_else(|| EnvironmentError(name.chars().take(64).collect()))
    }
}

bitflags! {
    /// The environments whose keys a listener accepts.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Environments: u8 {
        /// Accepts staging keys.
        const STAGING = 1 << 0;
        /// Accepts production keys.
        const PRODUCTION = 1 << 1;
    }
}

impl From<Environment> for Environments {
    fn from(environment: Environment) -> Self {
        match environment {
            Environment::Staging => Self::STAGING,
            Environment::Production => Self::PRODUCTION,
        }
    }
}

impl Environments {
    /// The environments in this set.
    pub fn each(self) -> impl Iterator<Item = Environment> {
        Environment::ALL.into_iter().filter(move |environment| self.contains((*environment).into()))
    }
}

/// A list of names: `["staging","production"]`.
impl Serialize for Environments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.each())
    }
}

impl<'de> Deserialize<'de> for Environments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::<Environment>::deserialize(deserializer)?;
        Ok(list.into_iter().fold(Self::empty(), |set, one| set | one.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_nothing_else_is() {
        for environment in Environment::ALL {
            assert_eq!(environment.name().parse(), Ok(environment));
        }
        for name in ["Staging", "live", "stg", "", "prod"] {
            assert_eq!(name.parse::<Environment>(), Err(EnvironmentError(name.to_owned())));
        }
    }

    #[test]
    fn a_set_is_a_list_of_names() {
        let json = serde_json::to_string(&Environments::all()).unwrap();
        assert_eq!(json, r#"["staging","production"]"#);
        assert_eq!(
            serde_json::from_str::<Environments>(r#"["production"]"#).unwrap(),
            Environments::PRODUCTION
        );
        assert!(serde_json::from_str::<Environments>(r#"["live"]"#).is_err());
    }
}
