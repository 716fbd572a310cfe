//! Many keys in a store at once, as an installation has them after years.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use gateway::folder::DataFolder;
use gateway::store::{Store, StoreError, StoredKey};
use jiff::Timestamp;
use permissions::{ApiAccessPermission, Brand, Environment, KeyId, KeyRecord, KeySecret, ServerSecret};
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};

/// Keys that are written in one transaction.
const KEYS_PER_WRITE: usize = 10_000;
/// Partners that the keys are spread over.
const PARTNERS: usize = 100;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Keys that are made up: the same ones for the same number, for they guard nothing.
pub struct MadeUp {
    brand: Brand,
    random: SmallRng,
    made: usize,
}

impl MadeUp {
    /// Begins anew.
    ///
    /// # Errors
    /// None that can be met: the brand is a good one.
    pub fn new() -> anyhow::Result<Self> {
        let brand = Brand::try_from("pgw".to_owned())?;
        Ok(Self { brand, random: SmallRng::seed_from_u64(20_261_121), made: 0 })
    }

    /// The next key and its text, as a store under `secret` would hold it.
    pub fn next(&mut self, secret: &ServerSecret) -> (StoredKey, KeySecret) {
        let random = &mut self.random;
        let environment = Environment::Production;
        let text = KeySecret::generate(&self.brand, environment, || random.next_u32().to_le_bytes()[0]);
        let mut bytes = [0; 10];
        random.fill_bytes(&mut bytes);
        let id = uuid::Builder::from_unix_timestamp_millis(1_790_000_000_000, &bytes).into_uuid();
        let number = self.made;
        self.made += 1;
        let partner = format!("partner-{}", number % PARTNERS);
        let record = KeyRecord {
            name: format!("key {number}"),
            ..KeyRecord::new(
                KeyId(id),
                partner,
                environment,
                ApiAccessPermission::all(),
                text.hint(),
                Timestamp::UNIX_EPOCH,
            )
        };
        (StoredKey { record, hash: secret.hash(text.expose().as_bytes()) }, text)
    }
}

/// Adds `count` keys to the store of a data folder.
///
/// # Errors
/// What the folder or the store says.
pub fn seed(data: &Path, count: usize) -> anyhow::Result<()> {
    let folder = DataFolder::locate(Some(data.to_owned()))?;
    let (mut store, secret) =
        Store::open_with_secret(&folder, BUSY_TIMEOUT).context("cannot open the store")?;
    let mut keys = MadeUp::new()?;
    let mut rest = count;
    while rest > 0 {
        let now = rest.min(KEYS_PER_WRITE);
        store.write(Timestamp::UNIX_EPOCH, |write| {
            for _ in 0..now {
                let (key, _) = keys.next(&secret);
                write.add_partner(&key.record.partner)?;
                write.insert_key(&key.record, &key.hash)?;
            }
            Ok::<_, StoreError>(())
        })?;
        rest -= now;
    }
    Ok(())
}
