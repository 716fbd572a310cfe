//! Attacks on the verification of a session, each with the name under which it is refused.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config;
use crate::identity::Identity;
use crate::identity::signer::{NOW, SigningKey, claims, claims_with, identity};

struct Keys {
    ec: SigningKey,
    p384: SigningKey,
    rsa: SigningKey,
    ed: SigningKey,
    stranger: SigningKey,
    identity: Identity,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let [ec, stranger] = std::array::from_fn(|_| SigningKey::p256());
    let (p384, rsa, ed) = (SigningKey::p384(), SigningKey::rsa(), SigningKey::ed25519());
    let jwks = [ec.jwk("ec"), rsa.jwk("rsa"), ed.jwk("ed"), p384.jwk("p384")];
    let settings = config::Provider {
        organization_claim: "groups".to_owned(),
        organizations: [("partner-a".to_owned(), "acme".to_owned()), ("b".to_owned(), "bolt".to_owned())]
            .into(),
        email_domains: vec!["example.com".to_owned()],
        client_id: "gateway".to_owned(),
        ..config::Provider::default()
    };
    let identity = identity(settings, &jwks);
    Keys { ec, p384, rsa, ed, stranger, identity }
});

fn verify(token: &str) -> Result<Arc<VerifiedSession>, JwtError> {
    KEYS.identity.verify(token.as_bytes(), NOW)
}

fn refused(token: &str) -> &'static str {
    verify(token).err().map_or("accepted", |error| error.name())
}

/// A token of the EC key with these claims.
fn with_claims(claims: &str) -> String {
    KEYS.ec.token(r#"{"alg":"ES256","kid":"ec"}"#, claims)
}

/// A good token's claims behind this header, signed with the EC key.
fn with_header(header: &str) -> String {
    KEYS.ec.token(header, &claims().to_string())
}

fn good() -> String {
    with_claims(&claims().to_string())
}

#[test]
fn each_algorithm_verifies_with_the_key_of_its_type() {
    let keys = &*KEYS;
    for (key, header) in [
        (&keys.ec, r#"{"alg":"ES256","kid":"ec","typ":"JWT"}"#),
        (&keys.rsa, r#"{"alg":"RS256","kid":"rsa","typ":"at+jwt"}"#),
        (&keys.rsa, r#"{"alg":"PS256","kid":"rsa","typ":"application/at+jwt"}"#),
        (&keys.ed, r#"{"alg":"EdDSA","kid":"ed","x5t":"abc"}"#),
        (&keys.ec, r#"{"alg":"ES256"}"#),
    ] {
        let session = verify(&key.token(header, &claims().to_string()))
            .unwrap_or_else(|error| panic!("{header}: {error}"));
        assert_eq!((session.issuer(), session.subject.as_str()), ("https://id.example.com", "person-1"));
        assert_eq!(session.expires, NOW + SignedDuration::from_hours(1));
        assert_eq!(session.authenticated_at(), Some(NOW));
    }
}

#[test]
fn forged_signatures_are_refused() {
    let keys = &*KEYS;
    let body = claims().to_string();
    let message =
        |header: &str| format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&body));
    let hmac = |header: &str, secret: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let message = message(header);
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
    };
    let own = |member: &str, value: &Value| {
        keys.stranger.token(&json!({"alg": "ES256", "kid": "ec", member: value}).to_string(), &body)
    };
    let certificate = json!(["MIIB"]);
    let url = json!("https://evil.example.com/keys");
    let good = good();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other_claims = with_claims(&claims_with(json!({"sub": "someone-else"})));
    let swapped = format!("{}.{signature}", other_claims.rsplit_once('.').unwrap().0);
    for (attack, token, name) in [
        ("none", format!("{}.AA", message(r#"{"alg":"none"}"#)), "jwt_algorithm"),
        ("none without signature", format!("{}.", message(r#"{"alg":"none"}"#)), "jwt_signature"),
        ("None", format!("{}.AA", message(r#"{"alg":"None","kid":"ec"}"#)), "jwt_algorithm"),
        ("HS256 with the EC key", hmac(r#"{"alg":"HS256","kid":"ec"}"#, keys.ec.public()), "jwt_algorithm"),
        (
            "HS256 with the RSA key",
            hmac(r#"{"alg":"HS256","kid":"rsa"}"#, keys.rsa.public()),
            "jwt_algorithm",
        ),
        (
            "HS256 with the JWK",
            hmac(r#"{"alg":"HS256","kid":"ec"}"#, keys.ec.jwk("ec").to_string().as_bytes()),
            "jwt_algorithm",
        ),
        ("HMAC as ES256", hmac(r#"{"alg":"ES256","kid":"ec"}"#, keys.ec.public()), "jwt_signature"),
        ("HMAC as RS256", hmac(r#"{"alg":"RS256","kid":"rsa"}"#, keys.rsa.public()), "jwt_signature"),
        ("stranger's key", keys.stranger.token(r#"{"alg":"ES256","kid":"ec"}"#, &body), "jwt_signature"),
        (
            "stranger's key id",
            keys.stranger.token(r#"{"alg":"ES256","kid":"evil"}"#, &body),
            "jwt_unknown_key",
        ),
        (
            "another key of the provider",
            keys.rsa.token(r#"{"alg":"RS256","kid":"ec"}"#, &body),
            "jwt_key_type",
        ),
        ("EC key as RSA", keys.ec.token(r#"{"alg":"RS256","kid":"ec"}"#, &body), "jwt_key_type"),
        ("RSA key as EC", keys.rsa.token(r#"{"alg":"ES256","kid":"rsa"}"#, &body), "jwt_key_type"),
        ("EC key as EdDSA", keys.ec.token(r#"{"alg":"EdDSA","kid":"ec"}"#, &body), "jwt_key_type"),
        ("P-384 key as ES256", keys.p384.token(r#"{"alg":"ES256","kid":"p384"}"#, &body), "jwt_key_type"),
        ("not in the list", keys.p384.token(r#"{"alg":"ES384","kid":"p384"}"#, &body), "jwt_algorithm"),
        (
            "PKCS#1 as PSS",
            keys.rsa.token(r#"{"alg":"RS256","kid":"rsa"}"#, &body).replacen(
                &URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"rsa"}"#),
                &URL_SAFE_NO_PAD.encode(r#"{"alg":"PS256","kid":"rsa"}"#),
                1,
            ),
            "jwt_signature",
        ),
        ("embedded jwk", own("jwk", &keys.stranger.jwk("ec")), "jwt_own_key"),
        ("jku", own("jku", &url), "jwt_own_key"),
        ("x5u", own("x5u", &url), "jwt_own_key"),
        ("x5c", own("x5c", &certificate), "jwt_own_key"),
        ("signature of other claims", swapped, "jwt_signature"),
        ("no signature", format!("{signed}."), "jwt_signature"),
        ("zero signature", format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64])), "jwt_signature"),
        ("DER signature", format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0x30; 70])), "jwt_signature"),
        ("padded signature", format!("{good}=="), "jwt_signature"),
    ] {
        assert_eq!(refused(&token), name, "{attack}");
    }
}

#[test]
fn a_header_that_asks_for_more_is_refused() {
    for (header, name) in [
        (r#"{"alg":"ES256","kid":"ec","crit":["exp"]}"#, "jwt_critical"),
        (r#"{"alg":"ES256","kid":"ec","crit":["b64"],"b64":false}"#, "jwt_critical"),
        (r#"{"alg":"ES256","kid":"ec","crit":[]}"#, "jwt_critical"),
        (r#"{"alg":"ES256","kid":"ec","cty":"JWT"}"#, "jwt_nested"),
        (r#"{"alg":"ES256","kid":"ec","enc":"A128GCM"}"#, "jwt_encrypted"),
        (r#"{"alg":"ES256","kid":"ec","typ":"logout+jwt"}"#, "jwt_type"),
        (r#"{"alg":"ES256","kid":"ec","typ":"dpop+jwt"}"#, "jwt_type"),
        (r#"{"alg":"ES256","kid":"ec","typ":5}"#, "jwt_type"),
        (r#"{"alg":"ES256","alg":"none","kid":"ec"}"#, "jwt_duplicate"),
        (r#"{"alg":"ES256","kid":"ec","kid":"ec"}"#, "jwt_duplicate"),
        (r#"{"alg":["ES256"],"kid":"ec"}"#, "jwt_algorithm"),
        (r#"{"alg":"es256","kid":"ec"}"#, "jwt_algorithm"),
        (r#"{"kid":"ec"}"#, "jwt_algorithm"),
        (r#"{"alg":"ES256","kid":5}"#, "jwt_malformed"),
        (r#"{"alg":"ES256","kid":"ec"} "#, "accepted"),
        (r#"{"alg":"ES256","kid":"ec"}{}"#, "jwt_malformed"),
        (r#"["ES256"]"#, "jwt_malformed"),
        ("null", "jwt_malformed"),
    ] {
        assert_eq!(refused(&with_header(header)), name, "{header}");
    }
}

#[test]
fn claims_that_do_not_fit_are_refused() {
    let now = NOW.as_second();
    for (changes, name) in [
        (json!({"iss": "https://evil.example.com"}), "jwt_issuer"),
        (json!({"iss": "https://id.example.com/"}), "jwt_issuer"),
        (json!({"iss": ["https://id.example.com"]}), "jwt_claim"),
        (json!({"iss": null}), "jwt_claim"),
        (json!({"aud": "https://other.example.com"}), "jwt_audience"),
        (json!({"aud": ["a", "b"]}), "jwt_audience"),
        (json!({"aud": ["a", "https://api.example.com"]}), "accepted"),
        (json!({"aud": []}), "jwt_claim"),
        (json!({"aud": ["https://api.example.com", 5]}), "jwt_claim"),
        (json!({"aud": null}), "jwt_claim"),
        (json!({"sub": null}), "jwt_claim"),
        (json!({"sub": ""}), "jwt_claim"),
        (json!({"sub": 5}), "jwt_claim"),
        (json!({"sub": "a\nb"}), "jwt_claim"),
        (json!({"sub": "s".repeat(256)}), "jwt_claim"),
        (json!({"exp": null}), "jwt_claim"),
        (json!({"exp": "1900000000"}), "jwt_claim"),
        (json!({"exp": 1e300}), "jwt_claim"),
        (json!({"exp": u64::MAX}), "jwt_claim"),
        (json!({"exp": now - 30}), "jwt_expired"),
        (json!({"exp": now - 29}), "accepted"),
        (json!({"exp": now + 1, "iat": now as f64 - 0.5}), "accepted"),
        (json!({"exp": -1}), "jwt_expired"),
        (json!({"exp": 0}), "jwt_expired"),
        (json!({"nbf": now + 30}), "accepted"),
        (json!({"nbf": now + 31}), "jwt_not_yet"),
        (json!({"nbf": now + 10_000_000}), "jwt_not_yet"),
        (json!({"nbf": "soon"}), "jwt_claim"),
        (json!({"nbf": null, "iat": null}), "accepted"),
        (json!({"iat": now + 31}), "jwt_future"),
        (json!({"iat": now + 10_000_000}), "jwt_future"),
        (json!({"auth_time": now + 31}), "jwt_future"),
        (json!({"auth_time": "now"}), "jwt_claim"),
        (json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}), "jwt_type"),
    ] {
        assert_eq!(refused(&with_claims(&claims_with(changes.clone()))), name, "{changes}");
    }
    let twice = claims().to_string().replacen('{', r#"{"sub":"admin","#, 1);
    assert_eq!(refused(&with_claims(&twice)), "jwt_duplicate");
}

#[test]
fn text_that_is_no_signed_token_is_refused() {
    let good = good();
    let huge = |bytes: usize| with_claims(&claims_with(json!({"pad": "p".repeat(bytes)})));
    let nested = with_claims(&json!(good).to_string());
    let deep = with_claims(&claims_with(json!({})).replacen(
        '{',
        &format!(r#"{{"a":{}{},"#, "[".repeat(500), "]".repeat(500)),
        1,
    ));
    for (what, token, name) in [
        ("empty", String::new(), "jwt_malformed"),
        ("dots", "..".to_owned(), "jwt_signature"),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned(), "jwt_malformed"),
        ("four parts", format!("{good}.AA"), "jwt_malformed"),
        ("encrypted", format!("{good}.AA.AA"), "jwt_encrypted"),
        ("six parts", format!("{good}.A.A.A"), "jwt_malformed"),
        ("space", format!(" {good}"), "jwt_malformed"),
        ("line end", format!("{good}\n"), "jwt_signature"),
        ("not ASCII", format!("ä{good}"), "jwt_malformed"),
        ("nested", nested, "jwt_malformed"),
        ("deep", deep, "jwt_malformed"),
        ("large", huge(5_000), "accepted"),
        ("huge", huge(20_000), "jwt_too_long"),
        ("JSON form", json!({"payload": "", "signatures": []}).to_string(), "jwt_malformed"),
    ] {
        assert_eq!(refused(&token), name, "{what}");
    }
    assert_eq!(KEYS.identity.verify(&vec![b'a'; 1 << 20], NOW).unwrap_err().name(), "jwt_too_long");
}

#[test]
fn an_id_token_belongs_to_one_sign_in_of_one_client() {
    let provider = KEYS.identity.provider("corp").unwrap();
    for (changes, name) in [
        (json!({}), "accepted"),
        (json!({"aud": ["gateway"]}), "accepted"),
        (json!({"azp": "gateway"}), "accepted"),
        (json!({"aud": ["gateway", "other"], "azp": "gateway"}), "accepted"),
        (json!({"aud": ["gateway", "other"]}), "jwt_party"),
        (json!({"azp": "other"}), "jwt_party"),
        (json!({"aud": "https://api.example.com"}), "jwt_audience"),
        (json!({"nonce": "another"}), "jwt_nonce"),
        (json!({"nonce": ""}), "jwt_nonce"),
        (json!({"nonce": null}), "jwt_nonce"),
        (json!({"nonce": ["n-1"]}), "jwt_nonce"),
        (json!({"iss": "https://evil.example.com"}), "jwt_issuer"),
        (json!({"exp": 0}), "jwt_expired"),
    ] {
        let mut all = json!({"aud": "gateway", "nonce": "n-1"});
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        let text = with_claims(&claims_with(all));
        let token = Token::parse(text.as_bytes()).unwrap();
        let verified = token.verify(provider, &Expected::SignIn { nonce: "n-1" }, NOW);
        assert_eq!(verified.err().map_or("accepted", |error| error.name()), name, "{changes}");
    }
}

#[test]
fn an_address_counts_only_when_it_is_verified_and_links_only_for_a_listed_domain() {
    for (changes, email, links) in [
        (json!({"email": "a@example.com", "email_verified": true}), Some("a@example.com"), true),
        (json!({"email": "a@EXAMPLE.com", "email_verified": "true"}), Some("a@EXAMPLE.com"), true),
        (json!({"email": "a@other.com", "email_verified": true}), Some("a@other.com"), false),
        (json!({"email": "a@sub.example.com", "email_verified": true}), Some("a@sub.example.com"), false),
        (json!({"email": "a@example.com", "email_verified": false}), None, false),
        (json!({"email": "a@example.com", "email_verified": "yes"}), None, false),
        (json!({"email": "a@example.com", "email_verified": 1}), None, false),
        (json!({"email": "a@example.com"}), None, false),
        (json!({"email": "a@b@example.com", "email_verified": true}), None, false),
        (json!({"email": "a b@example.com", "email_verified": true}), None, false),
        (json!({"email": "@example.com", "email_verified": true}), None, false),
        (json!({"email": ["a@example.com"], "email_verified": true}), None, false),
    ] {
        let session = verify(&with_claims(&claims_with(changes.clone()))).unwrap();
        assert_eq!(session.email.as_deref(), email, "{changes}");
        assert_eq!(session.linking_email().is_some(), links, "{changes}");
    }
}

#[test]
fn organizations_are_those_that_the_configuration_maps() {
    for (groups, organizations) in [
        (json!("partner-a"), vec!["acme"]),
        (json!(["b", "unknown", 5, "partner-a", "b"]), vec!["acme", "bolt"]),
        (json!({"partner-a": true}), vec![]),
        (json!([]), vec![]),
        (json!("acme"), vec![]),
        (json!(null), vec![]),
    ] {
        let session = verify(&with_claims(&claims_with(json!({ "groups": groups })))).unwrap();
        assert_eq!(session.organizations, organizations, "{groups}");
    }
}

#[test]
fn a_silent_renewal_is_no_authentication() {
    let early = NOW.as_second() - 3600;
    let session = verify(&with_claims(&claims_with(json!({ "auth_time": early })))).unwrap();
    assert_eq!(session.authenticated_at().unwrap().as_second(), early);
    let session = verify(&with_claims(&claims_with(json!({ "iat": early })))).unwrap();
    assert_eq!((session.authenticated_at().unwrap().as_second(), session.auth_time), (early, None));
}

proptest! {
    #[test]
    fn any_bytes_are_refused(token in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(KEYS.identity.verify(&token, NOW).is_err());
    }

    #[test]
    fn any_parts_are_refused(header in "\\PC{0,60}", claims in "\\PC{0,60}", signature in "\\PC{0,60}") {
        let [header, claims, signature] = [header, claims, signature].map(|part| URL_SAFE_NO_PAD.encode(part));
        let token = [header, claims, signature].join(".");
        prop_assert!(verify(&token).is_err());
    }

    #[test]
    fn any_signed_claims_are_accepted_or_refused(name in "iss|aud|sub|exp|nbf|iat|auth_time|email|email_verified|groups", value in "\\PC{0,20}|-?[0-9]{1,25}|true|null|\\[[0-9]?\\]") {
        let value = serde_json::from_str(&value).unwrap_or(json!(value));
        let _ = verify(&with_claims(&claims_with(json!({ name: value }))));
    }

    #[test]
    fn no_changed_byte_is_accepted(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        static GOOD: LazyLock<String> = LazyLock::new(good);
        let mut token = GOOD.clone().into_bytes();
        let place = place.index(token.len());
        prop_assume!(token[place] != byte);
        token[place] = byte;
        prop_assert!(KEYS.identity.verify(&token, NOW).is_err());
    }
}
