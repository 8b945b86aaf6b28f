//! The keys a request is about, as its options choose them.

use etcdium_core::{InvalidRequest, Key, KeyRange};

/// A key, what it stands for, and whether the options agreed about that.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    key: Key,
    scope: Scope,
    /// Two options that exclude each other.
    conflict: Option<(&'static str, &'static str)>,
}

/// What a key stands for.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    Single,
    Prefix,
    FromKey,
    Range(Key),
}

impl Scope {
    /// The option that chooses it.
    const fn option(&self) -> Option<&'static str> {
        match self {
            Self::Single => None,
            Self::Prefix => Some("prefix"),
            Self::FromKey => Some("from_key"),
            Self::Range(_) => Some("range"),
        }
    }
}

impl Selection {
    pub(crate) fn single(key: Key) -> Self {
        Self { key, scope: Scope::Single, conflict: None }
    }

    /// Two choices of different kinds are a conflict. Of the same kind, the last holds.
    pub(crate) fn choose(&mut self, scope: Scope) {
        match (scope.option(), self.scope.option()) {
            (Some(option), Some(with)) if option != with => {
                self.conflict.get_or_insert((option, with));
            }
            _ => self.scope = scope,
        }
    }

    pub(crate) fn build(self) -> Result<KeyRange, InvalidRequest> {
        if let Some((option, with)) = self.conflict {
            return Err(InvalidRequest::Conflict { option, with });
        }
        Ok(match self.scope {
            Scope::Single => KeyRange::single(self.key),
            Scope::Prefix => KeyRange::prefix(self.key),
            Scope::FromKey => KeyRange::from_key(self.key),
            Scope::Range(end) => KeyRange::range(self.key, end),
        })
    }
}

/// Gives a builder with a [`Selection`] in its field `keys` the options that set it.
macro_rules! selection_options {
    () => {
        /// All keys that begin with the given one; all keys if it is empty.
        ///
        /// Excludes `range` and `from_key`.
        pub fn prefix(mut self) -> Self {
            self.keys.choose($crate::kv::selection::Scope::Prefix);
            self
        }

        /// All keys from the given one, included, to `end`, excluded.
        ///
        /// As in etcd's own requests an empty `end` means the one key alone, and a single zero byte means no end.
        /// Excludes `prefix` and `from_key`; given twice, the last end holds.
        pub fn range(mut self, end: impl Into<etcdium_core::Key>) -> Self {
            self.keys.choose($crate::kv::selection::Scope::Range(end.into()));
            self
        }

        /// The given key and all keys after it; all keys if it is empty.
        ///
        /// Excludes `prefix` and `range`.
        pub fn from_key(mut self) -> Self {
            self.keys.choose($crate::kv::selection::Scope::FromKey);
            self
        }
    };
}

pub(crate) use selection_options;
