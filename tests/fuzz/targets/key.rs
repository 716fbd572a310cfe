//! Any bytes as a credential: never a panic, and what is accepted has exactly the documented form.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use permissions::{Brand, Environment, KeySecret, Rate};

static BRAND: LazyLock<Brand> = LazyLock::new(|| Brand::try_from("pgw".to_owned()).expect("it is a brand"));

fuzz_target!(|bytes: &[u8]| {
    if let Ok(environment) = KeySecret::check(&BRAND, bytes) {
        let text = std::str::from_utf8(bytes).expect("a key is ASCII");
        let (prefix, length) = match environment {
            Environment::Staging => ("pgw_stg_", 57),
            Environment::Production => ("pgw_live_", 58),
        };
        assert!(text.starts_with(prefix) && text.len() == length, "{text}");
        assert!(text[prefix.len()..].bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text}");
        // The last six characters follow from the others, so any other last character is refused.
        let mut other = bytes.to_vec();
        let last = other.last_mut().expect("it is not empty");
        *last = if *last == b'0' { b'1' } else { b'0' };
        assert!(KeySecret::check(&BRAND, &other).is_err(), "{text}");
    }
    // A key that is generated from these bytes is accepted. Bytes of 248 and more are skipped.
    if bytes.iter().any(|byte| *byte < 248) {
        let mut random = bytes.iter().copied().cycle();
        for environment in Environment::ALL {
            let mut draw = || random.next().expect("a cycle does not end");
            let made = KeySecret::generate(&BRAND, environment, &mut draw);
            assert_eq!(KeySecret::check(&BRAND, made.expose().as_bytes()), Ok(environment));
        }
    }
    if let Some(rate) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<Rate>().ok()) {
        assert_eq!(rate.to_string().parse(), Ok(rate));
    }
});
