//! Endpoint texts, right and wrong.

use super::AddressErrorKind as Kind;
use super::*;
use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_assume, prop_oneof, proptest};

fn address(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(text: &str) -> AddressError {
    match Address::try_from(text) {
        Ok(address) => panic!("{text:?} was taken as {:?}", address.target()),
        Err(error) => error,
    }
}

fn tcp(host: &str, port: u16) -> Target {
    Target::Tcp { host: host.to_owned(), port }
}

fn unix(path: &str) -> Target {
    Target::Unix { path: path.to_owned() }
}

/// The classes of the Go client's table, one row for each of its 26: text, target, authority, server name, security.
/// Where Go dials a text that can only fail, the row holds the refusal.
#[test]
fn conn_037_endpoint_forms() {
    use Security::{Optional, Plain, Tls};
    type Expected<'a> = Result<(Target, &'a str, &'a str, Security), Kind>;
    let v6 = "2001:db8::7";
    let rows: [(&str, Expected<'_>); 26] = [
        // Host and port without a scheme.
        ("10.0.0.1", Err(Kind::MissingPort)),
        ("localhost", Err(Kind::MissingPort)),
        ("etcd.example", Err(Kind::MissingPort)),
        ("localhost:2379", Ok((tcp("localhost", 2379), "localhost:2379", "localhost", Optional))),
        ("[2001:db8::7]:2379", Ok((tcp(v6, 2379), "[2001:db8::7]:2379", v6, Optional))),
        // http and https.
        ("http://10.0.0.1", Err(Kind::MissingPort)),
        ("http://10.0.0.1:2379", Ok((tcp("10.0.0.1", 2379), "10.0.0.1:2379", "10.0.0.1", Plain))),
        ("http://[2001:db8::7]:2379/", Ok((tcp(v6, 2379), "[2001:db8::7]:2379", v6, Plain))),
        ("http://etcd.example/dropped", Err(Kind::MissingPort)),
        ("https://10.0.0.1", Err(Kind::MissingPort)),
        ("https://10.0.0.1:2379", Ok((tcp("10.0.0.1", 2379), "10.0.0.1:2379", "10.0.0.1", Tls))),
        ("https://localhost:20000", Ok((tcp("localhost", 20000), "localhost:20000", "localhost", Tls))),
        // Unix sockets: relative, with and without slashes, names that look like an address.
        ("unix:10.0.0.1", Ok((unix("10.0.0.1"), "10.0.0.1", "10.0.0.1", Optional))),
        ("unix:10.0.0.1:2379", Ok((unix("10.0.0.1:2379"), "10.0.0.1:2379", "10.0.0.1", Optional))),
        ("unix://10.0.0.1", Ok((unix("10.0.0.1"), "10.0.0.1", "10.0.0.1", Optional))),
        ("unix://10.0.0.1:2379", Ok((unix("10.0.0.1:2379"), "10.0.0.1:2379", "10.0.0.1", Optional))),
        ("unixs:10.0.0.1", Ok((unix("10.0.0.1"), "10.0.0.1", "10.0.0.1", Tls))),
        ("unixs:10.0.0.1:2379", Ok((unix("10.0.0.1:2379"), "10.0.0.1:2379", "10.0.0.1", Tls))),
        ("unixs://10.0.0.1", Ok((unix("10.0.0.1"), "10.0.0.1", "10.0.0.1", Tls))),
        ("unixs://10.0.0.1:2379", Ok((unix("10.0.0.1:2379"), "10.0.0.1:2379", "10.0.0.1", Tls))),
        // Unix sockets: absolute.
        ("unix:///run/etcd", Ok((unix("/run/etcd"), "etcd", "etcd", Optional))),
        ("unixs:///run/etcd", Ok((unix("/run/etcd"), "etcd", "etcd", Tls))),
        ("unix:///run/etcd:2379", Ok((unix("/run/etcd:2379"), "etcd:2379", "etcd", Optional))),
        ("unixs:///run/etcd:2379", Ok((unix("/run/etcd:2379"), "etcd:2379", "etcd", Tls))),
        // A file name that is no authority, and a scheme that is none of ours.
        ("unix:odd_file#1$2", Ok((unix("odd_file#1$2"), "localhost", "odd_file#1$2", Optional))),
        ("dns://resolver/etcd", Err(Kind::Scheme)),
    ];
    for (text, expected) in rows {
        match expected {
            Ok((target, authority, server_name, security)) => {
                let address = address(text);
                assert_eq!(address.as_str(), text);
                assert_eq!(address.target(), &target, "{text}");
                assert_eq!(address.authority(), authority, "{text}");
                assert_eq!(address.server_name(), server_name, "{text}");
                assert_eq!(address.security(), security, "{text}");
            }
            Err(kind) => assert_eq!(refusal(text).kind(), kind, "{text}"),
        }
    }
}

#[test]
fn further_forms_that_name_a_server() {
    let rows = [
        ("HTTP://ETCD.Example:2379", tcp("etcd.example", 2379), "etcd.example:2379", "etcd.example"),
        ("etcd.example.:2379", tcp("etcd.example.", 2379), "etcd.example.:2379", "etcd.example"),
        ("my_etcd-1:02379", tcp("my_etcd-1", 2379), "my_etcd-1:2379", "my_etcd-1"),
        ("http:2379", tcp("http", 2379), "http:2379", "http"),
        ("h:1", tcp("h", 1), "h:1", "h"),
        ("h:65535", tcp("h", 65535), "h:65535", "h"),
        ("https://h:1//a/b:c", tcp("h", 1), "h:1", "h"),
        ("[::FFFF:1]:5", tcp("::ffff:1", 5), "[::ffff:1]:5", "::ffff:1"),
        ("[fe80::1%eth0]:5", tcp("fe80::1%eth0", 5), "[fe80::1]:5", "fe80::1"),
        ("http://[fe80::1%25eth0]:5", tcp("fe80::1%eth0", 5), "[fe80::1]:5", "fe80::1"),
        ("http://[fe80::1%eth0]:5", tcp("fe80::1%eth0", 5), "[fe80::1]:5", "fe80::1"),
        ("unix:2379", unix("2379"), "2379", "2379"),
        ("Unix:/run/a b", unix("/run/a b"), "localhost", "a b"),
        ("unix:./@a", unix("./@a"), "localhost", "@a"),
        ("unix:a:b:1", unix("a:b:1"), "localhost", "a:b:1"),
        ("unix:a:b", unix("a:b"), "localhost", "a"),
        ("unix::1", unix(":1"), "localhost", ":1"),
        ("unix:a:65536", unix("a:65536"), "localhost", "a"),
    ];
    for (text, target, authority, server_name) in rows {
        let address = address(text);
        assert_eq!(address.target(), &target, "{text}");
        assert_eq!(address.authority(), authority, "{text}");
        assert_eq!(address.server_name(), server_name, "{text}");
    }
}

/// Text, the part that is wrong, and a piece of the message that the user needs.
#[test]
fn wrong_texts_are_refused_by_the_part_that_is_wrong() {
    let long = "a".repeat(64);
    let rows = [
        ("", Kind::Empty, "write host:port"),
        ("   ", Kind::Whitespace, r#""   ""#),
        ("127.0.0.1:2379\n", Kind::Whitespace, r#""\n": remove it"#),
        (" unix:/run/etcd", Kind::Whitespace, "remove it"),
        ("ho st:2379", Kind::Whitespace, r#"" ": it can be no part"#),
        ("http://h:1/a\tb", Kind::Whitespace, r#""\t""#),
        ("h\0:1", Kind::Whitespace, r#""\0""#),
        ("a:2379,b:2379", Kind::List, "each endpoint by itself"),
        ("http://a:1,http://b:1", Kind::List, "each endpoint by itself"),
        ("ftp://h:1", Kind::Scheme, r#"scheme "ftp": known are http"#),
        ("://h:1", Kind::Scheme, r#"scheme """#),
        ("tcp://h:1?x", Kind::Scheme, r#"scheme "tcp""#),
        ("http:h:1", Kind::Scheme, r#"scheme "http:": two slashes"#),
        ("HTTPS:/h:1", Kind::Scheme, r#"scheme "HTTPS:": two slashes"#),
        ("https:", Kind::Scheme, "two slashes"),
        ("http://u:p@h:1", Kind::UserInfo, "give user and password to the client"),
        ("u@h:1", Kind::UserInfo, "give user and password to the client"),
        ("ftp://u:p@h", Kind::UserInfo, "ftp://***@h"),
        (":2379", Kind::Host, "127.0.0.1 is this machine"),
        ("http://", Kind::Host, r#"host "": it is missing"#),
        ("http:///a", Kind::Host, "it is missing"),
        ("http://:1", Kind::Host, "it is missing"),
        ("::1", Kind::Host, r#"host "::1": more than one colon"#),
        ("::1:2379", Kind::Host, "[::1]:2379"),
        ("h:1:2", Kind::Host, r#"host "h:1:2""#),
        ("[::1", Kind::Host, "closing bracket"),
        ("[::1]2379", Kind::Host, "only a port"),
        ("[h]:1", Kind::Host, r#"host "h": only an IPv6 address"#),
        ("[127.0.0.1]:1", Kind::Host, "only an IPv6 address"),
        ("[]:1", Kind::Host, "only an IPv6 address"),
        ("[fe80::1%]:1", Kind::Host, "zone"),
        ("http://[fe80::1%25]:1", Kind::Host, "zone"),
        ("[::1/b]:1", Kind::Path, "have no path"),
        ("[fe80::1%a=b]:1", Kind::Host, "zone"),
        ("h$:1", Kind::Host, "'$' can be no part"),
        ("h]:1", Kind::Host, "']' can be no part"),
        ("bücher.example:1", Kind::Host, "xn--"),
        ("a..b:1", Kind::Host, "parts of 1 to 63"),
        (".:1", Kind::Host, "parts of 1 to 63"),
        ("256.0.0.1:1", Kind::Host, "IPv4"),
        ("127.1:1", Kind::Host, "IPv4"),
        ("127.0.0.1.:1", Kind::Host, "IPv4"),
        ("2379:2379", Kind::Host, "IPv4"),
        (long.as_str(), Kind::Host, "parts of 1 to 63"),
        ("h", Kind::MissingPort, "write h:2379"),
        ("h:", Kind::MissingPort, r#"missing port after "h": there is no default, write h:2379"#),
        ("https://h/a", Kind::MissingPort, "write https://h:2379"),
        ("[::1]", Kind::MissingPort, "write [::1]:2379"),
        ("[::1]:", Kind::MissingPort, "write [::1]:2379"),
        ("h:0", Kind::Port, r#"port "0": it must be a number from 1 to 65535"#),
        ("h:65536", Kind::Port, r#"port "65536""#),
        ("h:99999999999999999999", Kind::Port, "from 1 to 65535"),
        ("h:+80", Kind::Port, r#"port "+80""#),
        ("h:http", Kind::Port, r#"port "http""#),
        ("[::1]:x", Kind::Port, r#"port "x""#),
        ("h:2379/", Kind::Path, r#"path "/": "#),
        ("h:2379/v3", Kind::Path, r#"path "/v3""#),
        ("unix:", Kind::Path, "must follow the scheme"),
        ("unix://", Kind::Path, "must follow the scheme"),
        ("unixs:///", Kind::Path, "a directory is no Unix socket"),
        ("unix:///run/", Kind::Path, "a directory is no Unix socket"),
        ("unix:..", Kind::Path, "a directory is no Unix socket"),
        ("unix:a\0b", Kind::Path, "zero byte"),
        ("unix:@a", Kind::Path, "abstract sockets"),
        ("http://h:1?a=b", Kind::Query, r#"query "?a=b""#),
        ("http://h:1/a?b", Kind::Query, r#"query "?b""#),
        ("h:1#a", Kind::Query, r##"query "#a""##),
    ];
    for (text, kind, piece) in rows {
        let error = refusal(text);
        let message = error.to_string();
        assert_eq!(error.kind(), kind, "{text:?}: {message}");
        assert!(message.contains(piece), "{text:?}: {message}");
        assert!(
            message.contains(&format!("{text:?}")) || matches!(kind, Kind::Empty | Kind::UserInfo),
            "{message}"
        );
    }
}

#[test]
fn every_conversion_gives_the_same() {
    let one = address("h:1");
    assert_eq!(Address::try_from("h:1").as_ref(), Ok(&one));
    assert_eq!(Address::try_from(String::from("h:1")).as_ref(), Ok(&one));
    assert_eq!(Address::try_from(&String::from("h:1")), Ok(one.clone()));
    assert_eq!((one.to_string(), format!("{one:?}")), ("h:1".to_owned(), "Address(\"h:1\")".to_owned()));
}

#[test]
fn equality_is_by_what_is_dialled_and_how() {
    let equal = [
        ("ETCD:2379", "etcd:02379"),
        ("http://h:1/a", "HTTP://H:1"),
        ("[::1]:1", "[0:0::1]:1"),
        ("unix:a", "unix://a"),
        ("unix:/a", "unix:///a"),
    ];
    for (one, two) in equal {
        let (one, two) = (address(one), address(two));
        assert_eq!(one, two);
        assert_eq!(one.cmp(&two), Ordering::Equal);
        assert_eq!(hash(&one), hash(&two));
    }
    for (one, two) in [("h:1", "http://h:1"), ("h:1", "h:2"), ("unix:a", "unixs:a"), ("unix:a", "unix:/a")] {
        assert_ne!(address(one), address(two));
        assert_ne!(address(one).cmp(&address(two)), Ordering::Equal);
    }
}

fn hash(address: &Address) -> u64 {
    let mut state = std::hash::DefaultHasher::new();
    address.hash(&mut state);
    state.finish()
}

#[test]
fn long_texts_are_cut_in_messages() {
    let text = "ü".repeat(100_000);
    let message = refusal(&text).to_string();
    assert!(message.len() < 1_000, "{} bytes", message.len());
}

/// Texts built from the pieces that matter, so that many are almost right and some are.
fn almost_an_endpoint() -> impl Strategy<Value = String> {
    const PIECES: [&str; 30] = [
        "http://", "https://", "unix:", "unixs://", "/", ":", "[", "]", "::1", "%25", "%", "eth0",
        "10.0.0.1", "h", "A_b", ".", "-", "2379", "0", "99999", "?", "#", "@", ",", " ", "\n", "é", "$",
        "\0", "~",
    ];
    let piece = prop_oneof![
        4 => proptest::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => proptest::arbitrary::any::<char>().prop_map(String::from),
    ];
    let shape = prop_oneof![
        Just(String::new()),
        Just("http://h:1".to_owned()),
        Just("unix:".to_owned()),
        Just("[::1]:".to_owned())
    ];
    (shape, proptest::collection::vec(piece, 0..7)).prop_map(|(shape, pieces)| shape + &pieces.concat())
}

proptest! {
    #[test]
    fn whatever_is_accepted_is_usable(text in almost_an_endpoint()) {
        match Address::try_from(text.as_str()) {
            Ok(address) => {
                prop_assert_eq!(address.as_str(), text.as_str());
                let authority: http::uri::Authority = address.authority().parse()?;
                prop_assert!(!authority.host().is_empty() && !address.server_name().is_empty());
                if let Target::Tcp { port, .. } = address.target() {
                    prop_assert_eq!(authority.port_u16(), Some(*port));
                }
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn no_message_shows_a_password(
        scheme in proptest::sample::select(vec!["", "http://", "https://", "ftp://", " http://", "http:/"]),
        noise in proptest::sample::select(vec!["", " ", "?", "#", "/", ",", "@", ":", "://"]),
        host in proptest::sample::select(vec!["h:1", "h", "h:1\n", "h:1/a b", "h,i:1", "h?q:1"]),
    ) {
        let error = refusal(&format!("{scheme}root:secret{noise}secret@{host}"));
        prop_assert!(!format!("{error} {error:?}").contains("secret"), "{}", error);
    }

    #[test]
    fn any_text_gets_an_answer(text in proptest::arbitrary::any::<String>()) {
        prop_assume!(!text.contains('@'));
        if let Err(error) = Address::try_from(text.as_str()) {
            prop_assert!(error.kind() == Kind::Empty || text.chars().count() > 200 || error.input == text);
        }
    }
}
