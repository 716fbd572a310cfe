//! Where the documentation says that the API is, and whom its first call trusts.

use std::net::SocketAddr;
use std::process::Command;

use tests::{Authority, Client, Family, KeySpec, Protocol, Start, TestGateway, Way, get};

use crate::docs::{reader, run};

/// The first curl call of a page, as a browser shows it.
fn first_call(page: &str) -> String {
    let (_, rest) = page.split_once("<figcaption>curl</figcaption>").expect("the page has a call");
    let (_, rest) = rest.split_once("<code>").expect("it is code");
    let (code, _) = rest.split_once("</code>").expect("the code ends");
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(code.to_owned(), |code, (entity, character)| code.replace(entity, character))
}

#[tokio::test]
async fn the_first_call_succeeds_as_it_is_printed_on_a_fresh_start() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let overview = reader(&gateway).await.ask(get("/")).await.text();
    let mut bash = Command::new("bash");
    bash.args(["-euc", &format!("{} --write-out '\\n%{{http_code}}'", first_call(&overview))]);
    let answer = run(bash, &key).await;
    assert!(answer.contains("\"status\":\"success\"") && answer.ends_with("\n200"), "{answer}");
}

#[tokio::test]
async fn samples_name_no_authority_beside_a_certificate_that_is_configured() {
    let mut start = Start::with("");
    let (chain, key) = (start.folder().join("own.pem"), start.folder().join("own.key"));
    Authority::new(start.folder(), "own").issue(&chain, &key);
    start.write_config(&format!(
        "[listeners.https]\ncertificate = \"own\"\n[certificates.own]\nchain_file = {chain:?}\nkey_file = {key:?}"
    ));
    let gateway = start.launch().await;
    let client = reader(&gateway).await;
    for page in ["/index.md", "/versions.md", "/2026-11-01/ping.md"] {
        let page = client.ask(get(page)).await.text();
        assert!(!page.contains("cacert") && !page.contains(".pem"), "{page}");
    }
}

#[tokio::test]
async fn documentation_for_other_machines_names_no_address_of_their_own() {
    for (overlay, server) in [
        ("", "https://public-url-is-not-set.invalid"),
        ("[listeners.https]\nhosts = [\"localhost\", \"api.example.com\"]", "https://api.example.com:"),
        ("[api]\npublic_url = \"https://partners.example.com\"", "https://partners.example.com"),
    ] {
        let public = format!("[listeners.docs]\naddresses = [\"0.0.0.0:0\"]\n{overlay}");
        let gateway = TestGateway::start(&public).await;
        let port = gateway.listener("docs", Family::V4).address.port();
        let way = Way { protocol: Protocol::H1, family: Family::V4 };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let client = Client::to(address, way, &gateway.ready().ca).await.expect("it listens everywhere");
        for page in ["/llms-full.txt", "/2026-02-01/ping", "/openapi/2026-02-01.json"] {
            let text = client.ask(get(page)).await.text();
            for own in ["//127.0.0.1", "//[::1]", "//localhost", "ca.pem"] {
                assert!(!text.contains(own), "{overlay}: {page} has {own}: {text}");
            }
        }
        let document = client.ask(get("/openapi/2026-02-01.json")).await.json();
        let url = document["servers"][0]["url"].as_str().expect("there is a server");
        assert!(url.starts_with(server), "{overlay}: {url}");
        let warned = gateway.log().contains("`api.public_url` is empty");
        assert_eq!(warned, overlay.is_empty(), "{}", gateway.log());
    }
}
