//! Heads and trailers as grpc-go reads and writes them (internal/transport/http2_server.go, http_util.go).

use std::fmt::Write as _;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request};

use crate::model::Status;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const CONTENT: HeaderValue = HeaderValue::from_static("application/grpc");

/// Codes of gRPC that the transport itself answers with.
const INVALID_ARGUMENT: u32 = 3;
const INTERNAL: u32 = 13;

/// What the head of a good request says.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) require_leader: bool,
    pub(super) timeout: Option<Duration>,
}

/// What a bad request is answered with.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) http: StatusCode,
    pub(super) status: Status,
}

/// Reads a request's head.
pub(super) fn read(head: &request::Parts) -> Result<Asked, Refusal> {
    let refuse =
        |http, code, message: String| Refusal { http, status: Status { code, message: message.into() } };
    let content = head.headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    if !is_grpc(content) {
        let message = format!("invalid gRPC request content-type {content:?}");
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID_ARGUMENT, message));
    }
    if head.method != Method::POST {
        let message =
            format!("Received a HEADERS frame with :method {:?} which should be POST", head.method.as_str());
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, INTERNAL, message));
    }
    let timeout = match head.headers.get("grpc-timeout") {
        None => None,
        Some(value) => match value.to_str().ok().and_then(timeout) {
            Some(timeout) => Some(timeout),
            None => {
                let message = format!("malformed grpc-timeout: {value:?}");
                return Err(refuse(StatusCode::BAD_REQUEST, INTERNAL, message));
            }
        },
    };
    // The Go server looks at the first value (server/etcdserver/api/v3rpc/interceptor.go).
    let require_leader = head.headers.get("hasleader").is_some_and(|value| value == "true");
    Ok(Asked { path: head.uri.path().to_owned(), require_leader, timeout })
}

/// `application/grpc`, also with `+proto` or `;parameters` behind.
fn is_grpc(content: &str) -> bool {
    let Some((base, rest)) = content.split_at_checked("application/grpc".len()) else { return false };
    base.eq_ignore_ascii_case("application/grpc") && (rest.is_empty() || rest.starts_with(['+', ';']))
}

/// At most eight digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// The head of every response.
pub(super) fn answer() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, CONTENT)])
}

/// Adds a status: to trailers, or to the head of a response without messages.
pub(super) fn put_status(status: &Status, fields: &mut HeaderMap) {
    fields.insert(GRPC_STATUS, HeaderValue::from(status.code));
    if status.message.is_empty() {
        return;
    }
    if let Ok(message) = HeaderValue::from_str(&escape(&status.message)) {
        fields.insert(GRPC_MESSAGE, message);
    }
}

/// What is not printable ASCII, and `%`, as `%XX`.
fn escape(message: &str) -> String {
    let mut escaped = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => escaped.push(char::from(byte)),
            // A String takes whatever is written to it.
            _ => drop(write!(escaped, "%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(fields: &[(&str, &str)]) -> Result<Asked, Refusal> {
        let mut request = Request::post("http://a/etcdserverpb.KV/Range");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        read(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn good_heads_are_read() {
        let head = asked(&[("content-type", "application/grpc")]).unwrap();
        assert_eq!(
            (head.path.as_str(), head.require_leader, head.timeout),
            ("/etcdserverpb.KV/Range", false, None)
        );
        let fields =
            [("content-type", "application/grpc+proto"), ("hasleader", "true"), ("grpc-timeout", "1500m")];
        let head = asked(&fields).unwrap();
        assert_eq!((head.require_leader, head.timeout), (true, Some(Duration::from_millis(1500))));
    }

    #[test]
    fn bad_heads_are_refused() {
        for content in ["application/json", "application/grpcx", "app", ""] {
            let refusal = asked(&[("content-type", content)]).unwrap_err();
            assert_eq!((refusal.http.as_u16(), refusal.status.code), (415, INVALID_ARGUMENT), "{content}");
        }
        for text in ["", "5", "S", "123456789S", "-1S", "1s", "1µ"] {
            let refusal = asked(&[("content-type", "application/grpc"), ("grpc-timeout", text)]).unwrap_err();
            assert_eq!((refusal.http.as_u16(), refusal.status.code), (400, INTERNAL), "{text}");
        }
        let (mut head, ()) = Request::get("http://a/").body(()).unwrap().into_parts();
        head.headers.insert(CONTENT_TYPE, CONTENT);
        assert_eq!(read(&head).unwrap_err().http.as_u16(), 405);
    }

    #[test]
    fn messages_are_escaped() {
        assert_eq!(escape("etcdserver: no leader"), "etcdserver: no leader");
        assert_eq!(escape("50% ü\n"), "50%25 %C3%BC%0A");
        let mut fields = answer();
        put_status(&Status::OK, &mut fields);
        assert_eq!((fields.len(), fields.get("grpc-status").unwrap().to_str().unwrap()), (2, "0"));
    }
}
