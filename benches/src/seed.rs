//! Keys for the load, and many more in a store, as an installation has them after years.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use gateway::folder::DataFolder;
use gateway::store::{Store, StoreError, StoredKey};
use jiff::Timestamp;
use permissions::{
    ApiAccessPermission, Brand, Environment, KeyId, KeyRecord, KeySecret, PartnerId, ServerSecret,
};
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};

/// Keys that the load uses.
pub const KEYS: usize = 64;
/// Keys that are written in one transaction.
const KEYS_PER_WRITE: usize = 10_000;
/// Partners that the keys are spread over.
const PARTNERS: usize = 100;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Production keys: the same ones each time, which protect nothing.
pub fn texts() -> anyhow::Result<impl Iterator<Item = KeySecret>> {
    generate(20_261_121)
}

/// A valid key that no server has.
pub fn wrong_text() -> anyhow::Result<KeySecret> {
    generate(1)?.next().context("there is no key")
}

fn generate(seed: u64) -> anyhow::Result<impl Iterator<Item = KeySecret>> {
    let brand = Brand::try_from("pgw".to_owned())?;
    let mut random = SmallRng::seed_from_u64(seed);
    Ok(std::iter::repeat_with(move || {
        KeySecret::generate(&brand, Environment::Production, || random.next_u32().to_le_bytes()[0])
    }))
}

/// The same keys as a store under `secret` holds them.
pub fn keys(secret: &ServerSecret) -> anyhow::Result<impl Iterator<Item = (StoredKey, KeySecret)>> {
    Ok(texts()?.enumerate().map(|(number, text)| {
        let id = uuid::Builder::from_unix_timestamp_millis(1_790_000_000_000, &[0; 10]).into_uuid();
        let id = uuid::Uuid::from_u128(id.as_u128() | number as u128);
        let record = KeyRecord {
            partner: format!("partner-{}", number % PARTNERS),
            name: format!("key {number}"),
            ..KeyRecord::new(
                KeyId(id),
                PartnerId(uuid::Uuid::from_u128((number % PARTNERS) as u128)),
                Environment::Production,
                ApiAccessPermission::all(),
                text.hint(),
                Timestamp::UNIX_EPOCH,
            )
        };
        (StoredKey { record, hash: secret.hash(text.expose().as_bytes()) }, text)
    }))
}

/// Makes the store of a data folder with the first `count` keys.
pub fn seed(data: &Path, count: usize) -> anyhow::Result<()> {
    let folder = DataFolder::locate(Some(data.to_owned()))?;
    let (mut store, secret) =
        Store::open_with_secret(&folder, BUSY_TIMEOUT).context("cannot open the store")?;
    let mut keys = keys(&secret)?.take(count).peekable();
    while keys.peek().is_some() {
        store.write(Timestamp::UNIX_EPOCH, |write| {
            for (key, _) in keys.by_ref().take(KEYS_PER_WRITE) {
                if write.add_partner(key.record.partner_id, &key.record.partner)? {
                    let (environment, all) = (key.record.environment, ApiAccessPermission::grantable());
                    write.set_granted(key.record.partner_id, environment, all)?;
                }
                write.insert_key(&key.record, &key.hash)?;
            }
            Ok::<_, StoreError>(())
        })?;
    }
    Ok(())
}
