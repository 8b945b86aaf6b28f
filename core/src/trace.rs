//! Events for `tracing`, where the feature of that name is on. The core's decisions do not depend on it.

/// Emits an event: level, message, and fields of which `Debug` is shown. Without the feature nothing is evaluated.
macro_rules! event {
    ($level:ident, $message:literal $(, $name:ident = $value:expr)* $(,)?) => {{
        #[cfg(feature = "tracing")]
        tracing::event!(target: "etcdium", tracing::Level::$level, $($name = ?$value,)* $message);
        #[cfg(not(feature = "tracing"))]
        let _ = || { $(let _ = &$value;)* };
    }};
}
pub(crate) use event;
