//! Why a case failed, with the place in its body, and the checks that bodies are written with.

use std::fmt;
use std::panic::Location;

use etcdium_client::{Error, EtcdError, Outcome};

use crate::etcd::LaunchError;

/// A failed case.
#[derive(Clone, Debug)]
pub struct Failure {
    location: &'static Location<'static>,
    message: String,
}

impl Failure {
    /// A failure at the caller's place.
    #[track_caller]
    pub fn new(message: impl Into<String>) -> Self {
        Self { location: Location::caller(), message: message.into() }
    }

    /// The same failure with more told after it.
    #[must_use]
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.message.push_str(more);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // File and line alone: some lines are too long to be read already.
        write!(f, "{}:{}: {}", self.location.file(), self.location.line(), self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    /// An error the case did not expect, at the place of its `?`.
    #[track_caller]
    fn from(error: Error) -> Self {
        Self::new(format!("unexpected error: {}", describe(&error)))
    }
}

impl From<LaunchError> for Failure {
    #[track_caller]
    fn from(error: LaunchError) -> Self {
        Self::new(format!("cannot control the servers: {error}"))
    }
}

/// An error with its outcome and its sources, on one line.
pub(crate) fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    if error.outcome() == Outcome::Unknown {
        text.push_str(" (may have been applied)");
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(", after: {cause}"));
        source = cause.source();
    }
    text
}

/// What etcd said to the last attempt of a call that was repeated until its time was over.
pub(crate) fn cause(error: &Error) -> Option<EtcdError> {
    std::error::Error::source(error)?.downcast_ref::<Error>()?.etcd()
}

/// Demands that etcd refused a call with exactly this error.
///
/// # Errors
/// It succeeded or failed otherwise.
#[track_caller]
pub fn refused<T: fmt::Debug>(result: Result<T, Error>, expected: EtcdError) -> Result<Error, Failure> {
    match result {
        Err(error) if error.etcd() == Some(expected) => Ok(error),
        Err(error) => Err(Failure::new(format!("expected {expected:?}, got: {}", describe(&error)))),
        Ok(response) => Err(Failure::new(format!("expected {expected:?}, got: {response:?}"))),
    }
}

/// Demands that a call failed.
///
/// # Errors
/// It succeeded.
#[track_caller]
pub fn failed<T: fmt::Debug>(result: Result<T, Error>) -> Result<Error, Failure> {
    match result {
        Err(error) => Ok(error),
        Ok(response) => Err(Failure::new(format!("expected an error, got: {response:?}"))),
    }
}

/// Demands that a value is there.
///
/// # Errors
/// It is not.
#[track_caller]
pub fn some<T>(value: Option<T>, what: &str) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::new(format!("missing: {what}")))
}

/// Demands that a condition holds, else ends the case. Further arguments say what was expected.
macro_rules! check {
    ($condition:expr $(,)?) => {
        if !$condition {
            return Err($crate::scenario::Failure::new(concat!("not so: ", stringify!($condition))));
        }
    };
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err($crate::scenario::Failure::new(format!($($why)+)));
        }
    };
}

/// Demands that two values are equal, else ends the case. Further arguments say which values these are.
macro_rules! check_eq {
    ($got:expr, $expected:expr $(,)?) => {
        check_eq!($got, $expected, "{}", stringify!($got))
    };
    // A match keeps temporaries alive that the two borrow from.
    ($got:expr, $expected:expr, $($what:tt)+) => {
        match (&$got, &$expected) {
            (got, expected) => {
                if *got != *expected {
                    let what = format!($($what)+);
                    let message = format!("{what}: got {got:?}, expected {expected:?}");
                    return Err($crate::scenario::Failure::new(message));
                }
            }
        }
    };
}

pub(crate) use {check, check_eq};

#[cfg(test)]
mod tests {
    use etcdium_client::ErrorKind;

    use super::*;

    fn equal(got: i32) -> Result<(), Failure> {
        check_eq!(got, 1, "number {got}");
        check!(got == 1);
        Ok(())
    }

    fn question_mark() -> Result<(), Failure> {
        Err(Error::from(ErrorKind::Closed))?;
        Ok(())
    }

    #[test]
    fn failures_name_their_place_and_values() {
        assert!(equal(1).is_ok());
        let failure = equal(2).unwrap_err().to_string();
        assert!(failure.contains("failure.rs:"), "{failure}");
        assert!(failure.ends_with("number 2: got 2, expected 1"), "{failure}");
        let failure = question_mark().unwrap_err();
        assert!(failure.location.file().ends_with("failure.rs"), "{failure}");
        assert!(failure.message.starts_with("unexpected error: the client is closed"), "{failure}");
    }

    #[test]
    fn refusals_are_told_apart() {
        let refusal = || Err::<(), _>(Error::from(ErrorKind::Etcd(EtcdError::EmptyKey)));
        assert!(refused(refusal(), EtcdError::EmptyKey).is_ok());
        let failure = refused(refusal(), EtcdError::NoSpace).unwrap_err();
        assert!(failure.message.starts_with("expected NoSpace, got: "), "{failure}");
        let failure = refused(Ok(1), EtcdError::NoSpace).unwrap_err();
        assert_eq!(failure.message, "expected NoSpace, got: 1");
        assert!(failed(refusal()).is_ok());
        assert!(failed(Ok(1)).is_err());
        assert_eq!(some(Some(1), "one").unwrap(), 1);
        assert_eq!(some(None::<i32>, "one").unwrap_err().message, "missing: one");
    }
}
