//! `Debug` of the messages that carry passwords and tokens. Secrets show as `<redacted>`, or `""` when empty.

use std::fmt;

use crate::authpb::User;
use crate::etcdserverpb::{
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthenticateRequest, AuthenticateResponse,
};

struct Redacted<'a>(&'a [u8]);

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "<redacted>" })
    }
}

/// Implements `Debug` with every field listed, the secret ones behind `secret`. The destructuring makes a
/// field that is added to the schema, and forgotten here, a compile error.
macro_rules! redact {
    ($message:ident { $($field:ident),* ; secret $($secret:ident),* }) => {
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self { $($field,)* $($secret,)* } = self;
                f.debug_struct(stringify!($message))
                    $(.field(stringify!($field), $field))*
                    $(.field(stringify!($secret), &Redacted($secret.as_ref())))*
                    .finish()
            }
        }
    };
}

redact!(User { name, roles, options; secret password });
redact!(AuthenticateRequest { name; secret password });
redact!(AuthenticateResponse { header; secret token });
redact!(AuthUserAddRequest { name, options; secret password, hashed_password });
redact!(AuthUserChangePasswordRequest { name; secret password, hashed_password });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let secret = || "hunter2".to_owned();
        let shown = [
            format!("{:?}", User { name: "u".into(), password: secret().into(), ..Default::default() }),
            format!("{:?}", AuthenticateRequest { name: "u".into(), password: secret() }),
            format!("{:?}", AuthenticateResponse { header: None, token: secret() }),
            format!(
                "{:?}",
                AuthUserAddRequest {
                    name: "u".into(),
                    password: secret(),
                    options: None,
                    hashed_password: secret()
                }
            ),
            format!(
                "{:#?}",
                AuthUserChangePasswordRequest {
                    name: "u".into(),
                    password: secret(),
                    hashed_password: secret()
                }
            ),
        ];
        for text in shown {
            assert!(text.contains("<redacted>") && !text.contains("hunter2"), "{text}");
        }
        assert_eq!(
            format!("{:?}", AuthenticateRequest::default()),
            "AuthenticateRequest { name: \"\", password: \"\" }"
        );
    }
}
