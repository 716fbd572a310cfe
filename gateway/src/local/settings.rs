//! The settings of the local profile as facts of the store, and how a command hears from a running server.
//!
//! A command writes the wish with the next number. The server looks for it several times a second, applies it, and
//! answers with its number; what it refuses, it takes back.

use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreError, Write};

const WISH: &str = "local_settings";
const ANSWER: &str = "local_answer";

/// The settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Whether the API is served.
    pub on: bool,
    /// Its port; none is the configuration's.
    pub port: Option<u16>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { on: true, port: None }
    }
}

/// A change of one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Serve the API, or not.
    Switch(bool),
    /// Serve it on this port.
    Port(u16),
}

impl Settings {
    /// The settings with a change.
    #[must_use]
    pub const fn with(self, change: Change) -> Self {
        match change {
            Change::Switch(on) => Self { on, ..self },
            Change::Port(port) => Self { port: Some(port), ..self },
        }
    }
}

/// The settings that are wished for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Grows with each change.
    pub number: u64,
    /// The settings.
    #[serde(flatten)]
    pub settings: Settings,
}

/// What a server has done with the newest wish that it has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The wish's number.
    pub number: u64,
    /// Why it was refused; none where it is in force.
    pub refused: Option<String>,
}

impl Wish {
    /// The newest wish.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn read(store: &mut Store) -> Result<Self, StoreError> {
        // A value that cannot be read, of a newer build, counts as none.
        Ok(store.fact(WISH)?.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
    }

    /// Wishes for a change, beside all other settings as they are stored.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn change(write: &mut dyn Write, change: Change) -> Result<Self, StoreError> {
        let old = Self::read_in(write)?;
        let new = Self { number: old.number + 1, settings: old.settings.with(change) };
        new.write(write)?;
        Ok(new)
    }

    /// Takes a wish back that was refused, unless there is a newer one.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn take_back(self, write: &mut dyn Write, in_force: Settings) -> Result<(), StoreError> {
        if Self::read_in(write)? == self {
            Self { settings: in_force, ..self }.write(write)?;
        }
        Ok(())
    }

    fn read_in(write: &mut dyn Write) -> Result<Self, StoreError> {
        Ok(write.fact(WISH)?.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
    }

    fn write(self, write: &mut dyn Write) -> Result<(), StoreError> {
        write.set_fact(WISH, serde_json::json!(self).to_string().as_bytes())
    }
}

impl Answer {
    /// The newest answer.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn read(store: &mut Store) -> Result<Self, StoreError> {
        Ok(store.fact(ANSWER)?.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
    }

    /// Answers.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn write(&self, write: &mut dyn Write) -> Result<(), StoreError> {
        write.set_fact(ANSWER, serde_json::json!(self).to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{Fixture, NOW};

    #[test]
    fn a_change_leaves_the_other_settings_and_a_refused_one_is_taken_back() {
        let mut fixture = Fixture::new();
        assert_eq!(Wish::read(&mut fixture.store).unwrap(), Wish::default());
        let mut change = |change| {
            let written = fixture.store.write(NOW, |write| Wish::change(write, change));
            written.map_err(|error: StoreError| error).unwrap().0
        };
        change(Change::Switch(false));
        let wish = change(Change::Port(4000));
        assert_eq!(wish, Wish { number: 2, settings: Settings { on: false, port: Some(4000) } });
        let in_force = Settings { on: false, port: None };
        let back = |store: &mut Store, wish: Wish| {
            store
                .write(NOW, |write| wish.take_back(write, in_force))
                .map_err(|error: StoreError| error)
                .unwrap();
        };
        back(&mut fixture.store, Wish { number: 1, ..wish });
        assert_eq!(Wish::read(&mut fixture.store).unwrap(), wish, "there is a newer one");
        back(&mut fixture.store, wish);
        assert_eq!(Wish::read(&mut fixture.store).unwrap(), Wish { number: 2, settings: in_force });
    }

    #[test]
    fn settings_that_cannot_be_read_are_the_defaults() {
        let mut fixture = Fixture::new();
        fixture.execute_raw("INSERT INTO setting (name, value) VALUES ('local_settings', x'ff')");
        assert_eq!(Wish::read(&mut fixture.store).unwrap(), Wish::default());
    }
}
