//! The ways to say which endpoints a client has.

use etcdium_core::{Address, Error, InvalidRequest, Security};

/// Something that names endpoints: an [`Address`], the text of one, or an array, slice or vector of these.
pub trait Endpoints {
    /// The addresses.
    ///
    /// # Errors
    /// [`InvalidRequest::Address`] for the first text that names none, and [`InvalidRequest::Value`] for one that asks
    /// for TLS, which this version does not have.
    fn addresses(self) -> Result<Vec<Address>, Error>;
}

impl Endpoints for Address {
    fn addresses(self) -> Result<Vec<Address>, Error> {
        if self.security() == Security::Tls {
            let reason = "https:// and unixs: need TLS, which this version does not have";
            return Err(InvalidRequest::Value { option: "endpoint", reason }.into());
        }
        Ok(vec![self])
    }
}

impl Endpoints for &str {
    fn addresses(self) -> Result<Vec<Address>, Error> {
        Address::try_from(self)?.addresses()
    }
}

impl Endpoints for String {
    fn addresses(self) -> Result<Vec<Address>, Error> {
        self.as_str().addresses()
    }
}

impl Endpoints for &String {
    fn addresses(self) -> Result<Vec<Address>, Error> {
        self.as_str().addresses()
    }
}

impl<T: Endpoints, const N: usize> Endpoints for [T; N] {
    fn addresses(self) -> Result<Vec<Address>, Error> {
        collect(self)
    }
}

impl<T: Endpoints> Endpoints for Vec<T> {
    fn addresses(self) -> Result<Vec<Address>, Error> {
        collect(self)
    }
}

impl<T: Endpoints + Clone> Endpoints for &[T] {
    fn addresses(self) -> Result<Vec<Address>, Error> {
        collect(self.iter().cloned())
    }
}

impl<T: Endpoints + Clone> Endpoints for &Vec<T> {
    fn addresses(self) -> Result<Vec<Address>, Error> {
        collect(self.iter().cloned())
    }
}

fn collect(endpoints: impl IntoIterator<Item = impl Endpoints>) -> Result<Vec<Address>, Error> {
    let mut all = Vec::new();
    for endpoint in endpoints {
        all.extend(endpoint.addresses()?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use etcdium_core::{AddressErrorKind, ErrorKind};

    use super::*;

    fn texts(endpoints: impl Endpoints) -> Vec<String> {
        endpoints.addresses().unwrap().iter().map(|address| address.as_str().to_owned()).collect()
    }

    #[test]
    fn every_form_names_the_same_endpoints() {
        let expected = ["a:1", "http://b:2", "unix:///c"];
        let addresses = expected.addresses().unwrap();
        assert_eq!(texts(expected), expected);
        assert_eq!(texts(&expected[..]), expected);
        assert_eq!(texts(expected.map(str::to_owned)), expected);
        assert_eq!(texts(expected.map(str::to_owned).to_vec()), expected);
        assert_eq!(texts(&addresses), expected);
        assert_eq!(texts(addresses), expected);
        assert_eq!(texts("a:1"), ["a:1"]);
        assert!(texts(Vec::<Address>::new()).is_empty());
    }

    #[test]
    fn a_wrong_one_is_named() {
        for (text, part) in [("b:", AddressErrorKind::MissingPort), ("a:1,b:1", AddressErrorKind::List)] {
            let error = ["a:1", text].addresses().unwrap_err();
            let ErrorKind::InvalidRequest(InvalidRequest::Address(wrong)) = error.kind() else {
                panic!("{error}");
            };
            assert_eq!(wrong.kind(), part, "{error}");
        }
        for text in ["https://a:1", "unixs:///a"] {
            let error = text.addresses().unwrap_err();
            assert!(error.to_string().contains("TLS"), "{error}");
        }
    }
}
