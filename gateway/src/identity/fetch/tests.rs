//! Providers that misbehave.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

#[test]
fn a_redirect_stays_within_its_origin() {
    let from = "https://id.example.com/a".parse().unwrap();
    let to = |location: &str| {
        let fields = HeaderMap::from_iter([(header::LOCATION, location.parse().unwrap())]);
        redirected(&from, &fields).map(|uri| uri.to_string())
    };
    assert_eq!(to("/b?c=d").as_deref(), Some("https://id.example.com/b?c=d"));
    assert_eq!(to("https://id.example.com/b").as_deref(), Some("https://id.example.com/b"));
    for location in [
        "https://evil.example.com/b",
        "https://id.example.com:444/b",
        "http://id.example.com/b",
        "http://127.0.0.1/b",
        "//evil.example.com/b",
        "https://id.example.com@evil.example.com/",
        "b",
        "",
    ] {
        assert_eq!(to(location), None, "{location}");
    }
    assert_eq!(redirected(&from, &HeaderMap::new()), None);
}

/// A server that answers each connection with these bytes and closes it.
async fn server(answer: impl Into<Vec<u8>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let (answer, seen) = (answer.into(), Arc::new(Mutex::new(Vec::new())));
    let requests = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap_or_default();
            requests.lock().unwrap().push(String::from_utf8_lossy(&request[..read]).into_owned());
            let _ = stream.write_all(&answer).await;
        }
    });
    (url, seen)
}

const LIMIT: Duration = Duration::from_millis(500);

fn fetcher() -> Fetcher {
    Fetcher::new(Path::new(""), LIMIT, LIMIT).unwrap()
}

fn ok(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}content-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_document_is_read_and_the_request_says_little() {
    let (url, seen) = server(ok("content-type: application/json\r\n", "{}")).await;
    assert_eq!(fetcher().get(&url).await.unwrap(), "{}");
    let requests = seen.lock().unwrap();
    let host = url.trim_start_matches("http://").trim_end_matches("/keys");
    let expected = format!("GET /keys HTTP/1.1\r\nhost: {host}\r\naccept: application/json\r\n");
    assert!(requests[0].starts_with(&expected), "{requests:?}");
}

#[tokio::test]
async fn a_hostile_response_is_refused_in_bounded_time_and_space() {
    let large = "a".repeat(RESPONSE_BYTES_MAX + 1);
    let endless = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}",
        "400\r\n".to_owned() + &"b".repeat(0x400) + "\r\n"
    );
    for (what, answer, expected) in [
        ("too large", ok("", &large), "larger than"),
        ("announced", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_owned(), ""),
        ("chunked", endless + "400\r\n" + &large, ""),
        ("fields", format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "f".repeat(1 << 20)), "cannot be read"),
        ("many fields", ok(&"a: b\r\n".repeat(500), "{}"), "cannot be read"),
        ("cut off", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}".to_owned(), "cannot be read"),
        ("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(), "cannot be read"),
        ("nothing", String::new(), "cannot be read"),
        ("compressed", ok("content-encoding: gzip\r\n", "{}"), "compressed"),
        ("status", "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n".to_owned(), "status 503"),
        (
            "other origin",
            "HTTP/1.1 302 Found\r\nlocation: https://evil.example.com/\r\ncontent-length: 0\r\n\r\n"
                .to_owned(),
            "redirects",
        ),
        (
            "round and round",
            "HTTP/1.1 302 Found\r\nlocation: /keys\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "redirects",
        ),
    ] {
        let (url, seen) = server(answer).await;
        let began = std::time::Instant::now();
        let error = fetcher().get(&url).await.expect_err(what).to_string();
        assert!(error.contains(expected) && !error.contains("bbb"), "{what}: {error}");
        assert!(began.elapsed() < LIMIT * 4, "{what}");
        assert!(seen.lock().unwrap().len() <= REDIRECTS_MAX + 1, "{what}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_or_gone_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let silent = fetcher().get(&url).await.unwrap_err();
    assert!(matches!(silent, FetchError::Timeout { limit: LIMIT, .. }), "{silent}");
    drop(listener);
    let gone = fetcher().get(&url).await.unwrap_err();
    assert!(matches!(gone, FetchError::Connect { .. }), "{gone}");
    for url in ["http://example.com/", "ftp://127.0.0.1/", "https://", ""] {
        assert!(matches!(fetcher().get(url).await, Err(FetchError::Url(_))), "{url}");
    }
}

#[tokio::test]
async fn a_form_is_posted_once_and_its_credential_follows_no_redirect() {
    let (url, seen) = server("HTTP/1.1 307 Again\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n").await;
    let form =
        Form { body: "code=a".to_owned(), authorization: Some(HeaderValue::from_static("Basic c2VjcmV0")) };
    assert_eq!(fetcher().post(&url, form).await.unwrap().status, StatusCode::TEMPORARY_REDIRECT);
    let requests = seen.lock().unwrap();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].contains("authorization: Basic c2VjcmV0\r\n"), "{requests:?}");
    assert!(requests[0].contains("content-type: application/x-www-form-urlencoded\r\n"), "{requests:?}");
}

#[test]
fn a_file_without_authorities_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for content in ["", "no PEM", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&file, content).unwrap();
        let error = Fetcher::new(&file, LIMIT, LIMIT).err().expect("it is of no use").to_string();
        assert!(error.contains("ca.pem"), "{error}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(Fetcher::new(&file, LIMIT, LIMIT).err().unwrap().to_string().contains("no such file"));
}
