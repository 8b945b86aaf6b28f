//! Response heads and trailers: what they say about a call.
//!
//! Sources: gRPC over HTTP/2 ("Responses"), and gRPC's "HTTP to gRPC Status Code Mapping". The binary
//! `grpc-status-details-bin` header is not read, for etcd never sends it.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};

use super::GrpcCode;

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The most of a foreign header value that errors repeat, in bytes.
const SHOWN: usize = 64;

/// How a call ended, in the server's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// The class of the outcome.
    pub(crate) code: GrpcCode,
    /// The server's text, percent-decoded. Always empty for [`GrpcCode::Ok`].
    pub(crate) message: String,
}

impl Status {
    /// The status of a call that succeeded.
    pub(crate) const OK: Self = Self { code: GrpcCode::Ok, message: String::new() };
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            write!(f, "{}", self.code)
        } else {
            write!(f, "{}: {}", self.code, self.message)
        }
    }
}

/// What a response head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Head {
    /// Messages may follow, then trailers.
    Message,
    /// The call is over ("trailers-only"), possibly with [`GrpcCode::Ok`].
    Status(Status),
    /// This is no gRPC response. The call is over.
    Invalid(InvalidHead),
}

/// A response that does not follow gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidHead {
    /// No `grpc-status` and an HTTP status other than 200: the answer of a proxy or of another kind of server.
    HttpStatus(u16),
    /// The content type is missing or is not protobuf over gRPC.
    ContentType(Option<String>),
    /// The response ended without `grpc-status`.
    MissingStatus,
    /// `grpc-status` is no decimal number, or is there more than once.
    BadStatus(String),
}

impl InvalidHead {
    /// The code gRPC gives such a response: by gRPC's table for HTTP statuses, else [`GrpcCode::Unknown`].
    #[must_use]
    pub fn grpc_code(&self) -> GrpcCode {
        match self {
            Self::HttpStatus(400) => GrpcCode::Internal,
            Self::HttpStatus(401) => GrpcCode::Unauthenticated,
            Self::HttpStatus(403) => GrpcCode::PermissionDenied,
            Self::HttpStatus(404) => GrpcCode::Unimplemented,
            Self::HttpStatus(429 | 502..=504) => GrpcCode::Unavailable,
            Self::HttpStatus(_) | Self::ContentType(_) | Self::MissingStatus | Self::BadStatus(_) => {
                GrpcCode::Unknown
            }
        }
    }
}

impl fmt::Display for InvalidHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HttpStatus(status) => {
                write!(f, "the server answered with HTTP status {status} instead of a gRPC status")
            }
            Self::ContentType(None) => f.write_str("the response has no content type, so it is not gRPC"),
            Self::ContentType(Some(found)) => {
                write!(f, "the response has content type {found:?}, which is not gRPC with protobuf")
            }
            Self::MissingStatus => f.write_str("the response ended without a gRPC status"),
            Self::BadStatus(found) => write!(f, "malformed grpc-status {found:?}"),
        }
    }
}

impl std::error::Error for InvalidHead {}

/// Judges the head of a response. `end` tells whether the head ends the stream.
///
/// A `grpc-status` decides whatever else the head says, for gRPC forbids guessing from the HTTP status when there is
/// one. It ends the call even where data follows, since only a trailers-only head may carry it.
#[must_use]
pub(crate) fn read_head(status: StatusCode, headers: &HeaderMap, end: bool) -> Head {
    match read_status(headers) {
        Ok(Some(status)) => return Head::Status(status),
        Ok(None) => {}
        Err(invalid) => return Head::Invalid(invalid),
    }
    if status != StatusCode::OK {
        return Head::Invalid(InvalidHead::HttpStatus(status.as_u16()));
    }
    let content_type = headers.get(CONTENT_TYPE);
    if !content_type.is_some_and(|value| is_grpc(value.as_bytes())) {
        return Head::Invalid(InvalidHead::ContentType(content_type.map(shown)));
    }
    if end { Head::Invalid(InvalidHead::MissingStatus) } else { Head::Message }
}

/// Reads the status from the trailers that end a response, `None` where the stream ended without any.
///
/// # Errors
///
/// [`InvalidHead::MissingStatus`] or [`InvalidHead::BadStatus`].
pub(crate) fn read_trailers(trailers: Option<&HeaderMap>) -> Result<Status, InvalidHead> {
    let Some(trailers) = trailers else { return Err(InvalidHead::MissingStatus) };
    read_status(trailers)?.ok_or(InvalidHead::MissingStatus)
}

fn read_status(headers: &HeaderMap) -> Result<Option<Status>, InvalidHead> {
    let mut values = headers.get_all(&GRPC_STATUS).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if let Some(second) = values.next() {
        let both = [shown(value), shown(second)].join(", ");
        return Err(InvalidHead::BadStatus(both));
    }
    let Some(number) = parse_number(value.as_bytes()) else {
        return Err(InvalidHead::BadStatus(shown(value)));
    };
    let code = GrpcCode::from_number(number);
    if code == GrpcCode::Ok {
        // grpc-go sends an empty grpc-message along; success has nothing to say.
        return Ok(Some(Status::OK));
    }
    let message =
        headers.get(&GRPC_MESSAGE).map(|value| percent_decode(value.as_bytes())).unwrap_or_default();
    Ok(Some(Status { code, message }))
}

/// A decimal number without sign or spaces.
fn parse_number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Whether a content type is `application/grpc` or `application/grpc+proto`, with or without parameters.
fn is_grpc(value: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    const PROTO: &[u8] = b"+proto";
    let Some(rest) = strip_prefix_ignoring_case(value, GRPC) else { return false };
    let rest = strip_prefix_ignoring_case(rest, PROTO).unwrap_or(rest);
    matches!(rest.trim_ascii_start(), [] | [b';', ..])
}

fn strip_prefix_ignoring_case<'a>(value: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = value.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Undoes the percent-encoding of `grpc-message`. Invalid escapes stay as they are and bytes that are not UTF-8 become
/// U+FFFD, as gRPC demands: the text must never get lost.
fn percent_decode(value: &[u8]) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        let (decoded, next) = match (byte, after) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, tail),
                _ => (byte, after),
            },
            _ => (byte, after),
        };
        out.push(decoded);
        rest = next;
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// A foreign value as errors repeat it.
fn shown(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let text = if bytes.len() > SHOWN { Cow::Owned(format!("{start}...")) } else { start };
    text.into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    fn head(status: u16, pairs: &[(&'static str, &str)], end: bool) -> Head {
        read_head(StatusCode::from_u16(status).unwrap(), &headers(pairs), end)
    }

    fn status(code: GrpcCode, message: &str) -> Status {
        Status { code, message: message.to_owned() }
    }

    #[test]
    fn a_normal_head_lets_messages_follow() {
        for content_type in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
            "application/grpc+proto; x=y",
            "application/grpc ; x=y",
            "Application/gRPC+Proto",
        ] {
            assert_eq!(head(200, &[("content-type", content_type)], false), Head::Message, "{content_type}");
        }
    }

    #[test]
    fn other_content_types_are_refused() {
        for content_type in [
            "",
            "text/html",
            "application/json",
            "application/grpc+json",
            "application/grpc-web",
            "application/grp",
        ] {
            let refused = InvalidHead::ContentType(Some(content_type.to_owned()));
            assert_eq!(head(200, &[("content-type", content_type)], false), Head::Invalid(refused));
        }
        assert_eq!(head(200, &[], false), Head::Invalid(InvalidHead::ContentType(None)));
        assert_eq!(head(200, &[], true), Head::Invalid(InvalidHead::ContentType(None)));
    }

    #[test]
    fn trailers_only_responses() {
        let grpc = ("content-type", "application/grpc");
        let refusal = [grpc, ("grpc-status", "14"), ("grpc-message", "etcdserver: no leader")];
        let expected = Head::Status(status(GrpcCode::Unavailable, "etcdserver: no leader"));
        assert_eq!(head(200, &refusal, true), expected);
        assert_eq!(head(200, &refusal, false), expected, "even where data follows");
        assert_eq!(head(200, &[grpc, ("grpc-status", "0")], true), Head::Status(Status::OK));
        assert_eq!(head(200, &[grpc], true), Head::Invalid(InvalidHead::MissingStatus));
    }

    #[test]
    fn grpc_status_wins_over_http_status_and_content_type() {
        let pairs = [("content-type", "text/plain"), ("grpc-status", "16")];
        assert_eq!(head(503, &pairs, true), Head::Status(status(GrpcCode::Unauthenticated, "")));
        let bad = [("grpc-status", "x")];
        assert_eq!(head(503, &bad, true), Head::Invalid(InvalidHead::BadStatus("x".to_owned())));
    }

    #[test]
    fn http_statuses_map_by_grpcs_table() {
        for (http, code) in [
            (400, GrpcCode::Internal),
            (401, GrpcCode::Unauthenticated),
            (403, GrpcCode::PermissionDenied),
            (404, GrpcCode::Unimplemented),
            (429, GrpcCode::Unavailable),
            (502, GrpcCode::Unavailable),
            (503, GrpcCode::Unavailable),
            (504, GrpcCode::Unavailable),
            (204, GrpcCode::Unknown),
            (301, GrpcCode::Unknown),
            (418, GrpcCode::Unknown),
            (500, GrpcCode::Unknown),
        ] {
            for end in [false, true] {
                let Head::Invalid(invalid) = head(http, &[("content-type", "application/grpc")], end) else {
                    panic!("{http} was accepted");
                };
                assert_eq!(invalid, InvalidHead::HttpStatus(http));
                assert_eq!(invalid.grpc_code(), code, "{http}");
            }
        }
        for other in [
            InvalidHead::ContentType(None),
            InvalidHead::MissingStatus,
            InvalidHead::BadStatus(String::new()),
        ] {
            assert_eq!(other.grpc_code(), GrpcCode::Unknown);
        }
    }

    #[test]
    fn trailers() {
        assert_eq!(read_trailers(None), Err(InvalidHead::MissingStatus));
        assert_eq!(read_trailers(Some(&headers(&[("x", "y")]))), Err(InvalidHead::MissingStatus));
        assert_eq!(read_trailers(Some(&headers(&[("grpc-status", "0")]))), Ok(Status::OK));
        let chatty = headers(&[("grpc-status", "0"), ("grpc-message", "fine")]);
        assert_eq!(read_trailers(Some(&chatty)), Ok(Status::OK));
        let full =
            headers(&[("grpc-status", "8"), ("grpc-message", "etcdserver: mvcc: database space exceeded")]);
        let expected = status(GrpcCode::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
        assert_eq!(read_trailers(Some(&full)), Ok(expected));
    }

    #[test]
    fn every_code_is_read_and_undefined_ones_are_unknown() {
        for code in GrpcCode::ALL {
            let trailers = headers(&[("grpc-status", &code.number().to_string())]);
            assert_eq!(read_trailers(Some(&trailers)).unwrap().code, code);
        }
        for number in ["17", "99", "4294967295"] {
            let trailers = headers(&[("grpc-status", number), ("grpc-message", "what")]);
            assert_eq!(read_trailers(Some(&trailers)), Ok(status(GrpcCode::Unknown, "what")));
        }
    }

    #[test]
    fn malformed_statuses() {
        for bad in ["", "-1", "+0", "0x0", "1 4", "OK", "4294967296", "99999999999999999999", "\u{fc}"] {
            let result = read_trailers(Some(&headers(&[("grpc-status", bad)])));
            assert_eq!(result, Err(InvalidHead::BadStatus(bad.to_owned())));
        }
        let twice = headers(&[("grpc-status", "0"), ("grpc-status", "14")]);
        assert_eq!(read_trailers(Some(&twice)), Err(InvalidHead::BadStatus("0, 14".to_owned())));
    }

    #[test]
    fn long_values_are_cut() {
        let Err(InvalidHead::BadStatus(text)) =
            read_trailers(Some(&headers(&[("grpc-status", &"7".repeat(10_000))])))
        else {
            panic!("accepted");
        };
        assert_eq!(text, format!("{}...", "7".repeat(SHOWN)));
    }

    #[test]
    fn messages_are_percent_decoded() {
        for (encoded, decoded) in [
            ("plain text", "plain text"),
            ("", ""),
            ("a%20b%0Ac", "a b\nc"),
            ("%e2%82%AC", "\u{20ac}"),
            ("100%", "100%"),
            ("100%2", "100%2"),
            ("%zz%4", "%zz%4"),
            ("%%41", "%A"),
            ("%2541", "%41"),
            ("a%ffb", "a\u{fffd}b"),
            ("raw \u{20ac}", "raw \u{20ac}"),
        ] {
            let trailers = headers(&[("grpc-status", "2"), ("grpc-message", encoded)]);
            assert_eq!(read_trailers(Some(&trailers)).unwrap().message, decoded, "{encoded}");
        }
    }

    #[test]
    fn errors_read_well() {
        for (invalid, text) in [
            (
                InvalidHead::HttpStatus(502),
                "the server answered with HTTP status 502 instead of a gRPC status",
            ),
            (InvalidHead::ContentType(None), "the response has no content type, so it is not gRPC"),
            (
                InvalidHead::ContentType(Some("text/html".to_owned())),
                "the response has content type \"text/html\", which is not gRPC with protobuf",
            ),
            (InvalidHead::MissingStatus, "the response ended without a gRPC status"),
            (InvalidHead::BadStatus("a\n".to_owned()), "malformed grpc-status \"a\\n\""),
        ] {
            assert_eq!(invalid.to_string(), text);
        }
        assert_eq!(status(GrpcCode::Internal, "boom").to_string(), "Internal: boom");
        assert_eq!(Status::OK.to_string(), "OK");
    }

    proptest! {
        #[test]
        fn any_text_survives_percent_encoding(text in any::<String>()) {
            let encoded: String = text.bytes().map(|byte| match byte {
                b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            }).collect();
            prop_assert_eq!(percent_decode(encoded.as_bytes()), text);
        }

        #[test]
        fn any_bytes_decode_to_some_text(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let decoded = percent_decode(&bytes);
            prop_assert!(bytes.is_empty() == decoded.is_empty());
        }
    }
}
