//! Context of a trace: what a request that is traced carries from one process to the next.
//!
//! Invariant: neither identifier is 0, which W3C Trace Context forbids.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::num::{NonZeroU64, NonZeroU128};

use rkyv::{Archive, Deserialize, Serialize};

/// Flag of a trace whose spans are wanted.
const SAMPLED: u8 = 1;
/// Length of a header of version 00; later versions may add to it.
const HEADER_BYTES: usize = 55;

/// Position in a trace: the trace, and the span that what comes next belongs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct TraceContext {
    /// Identity of the whole trace, drawn where it began.
    pub trace: NonZeroU128,
    /// Span under which the receiver's spans go.
    pub span: NonZeroU64,
    /// Flags of W3C Trace Context.
    pub flags: u8,
}

impl TraceContext {
    /// Returns the context that a `traceparent` header of W3C Trace Context names; `None` if it names none. Versions
    /// after 00 are read as far as that one goes, as the standard demands.
    #[must_use]
    pub fn from_header(header: &[u8]) -> Option<Self> {
        let known = header.get(..HEADER_BYTES)?;
        let version = byte(known, 0)?;
        let is_whole = match version {
            0 => header.len() == HEADER_BYTES,
            0xFF => false,
            _ => header.get(HEADER_BYTES).is_none_or(|next| *next == b'-'),
        };
        if !is_whole || [2, 35, 52].iter().any(|dash| known[*dash] != b'-') {
            return None;
        }
        let trace = NonZeroU128::new(number(&known[3..35])?)?;
        let span = NonZeroU64::new(number(&known[36..52])? as u64)?;
        Some(Self { trace, span, flags: byte(known, 53)? })
    }

    /// Returns the `traceparent` header that names this context.
    #[must_use]
    pub fn header(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }

    /// Whether whoever began the trace wants its spans.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns the context of a trace whose spans are wanted, at this span.
    #[must_use]
    pub fn sampled(trace: NonZeroU128, span: NonZeroU64) -> Self {
        Self { trace, span, flags: SAMPLED }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.header())
    }
}

fn byte(header: &[u8], at: usize) -> Option<u8> {
    number(&header[at..at + 2]).map(|number| number as u8)
}

/// Returns the number that lower-case hexadecimal digits stand for; no other digits are allowed.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::TraceContext;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn headers_name_a_context_or_none() {
        let whole = TraceContext::from_header(HEADER.as_bytes()).unwrap();
        assert_eq!(whole.trace.get(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((whole.span.get(), whole.flags), (0x00f0_67aa_0ba9_02b7, 1));
        assert_eq!((whole.to_string().as_str(), whole.is_sampled()), (HEADER, true));
        let rest = &HEADER[2..53];
        for (header, sampled) in [
            (HEADER.to_string(), Some(true)),
            (alloc::format!("00{rest}00"), Some(false)),
            (alloc::format!("00{rest}02"), Some(false)),
            (alloc::format!("00{rest}ff"), Some(true)),
            // Later versions may say more, behind a dash.
            (alloc::format!("cc{rest}01"), Some(true)),
            (alloc::format!("cc{rest}01-what-comes"), Some(true)),
            (alloc::format!("cc{rest}01.what-comes"), None),
            (alloc::format!("00{rest}01-what-comes"), None),
            (alloc::format!("ff{rest}01"), None),
            (HEADER.to_uppercase(), None),
            (HEADER.replace('-', "_"), None),
            (HEADER.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), None),
            (HEADER.replace("00f067aa0ba902b7", &"0".repeat(16)), None),
            (HEADER.replace("4bf9", "4bg9"), None),
            (alloc::format!(" {HEADER}"), None),
            (HEADER[..54].to_string(), None),
            ("00".to_string(), None),
            (String::new(), None),
        ] {
            let read = TraceContext::from_header(header.as_bytes());
            assert_eq!(read.map(|context| context.is_sampled()), sampled, "{header}");
        }
    }

    proptest! {
        #[test]
        fn garbage_names_none_or_what_it_says(header in any::<Vec<u8>>()) {
            if let Some(read) = TraceContext::from_header(&header) {
                prop_assert_eq!(TraceContext::from_header(read.header().as_bytes()), Some(read));
            }
        }

        #[test]
        fn a_header_says_what_it_was_made_of(trace in 1..u128::MAX, span in 1..u64::MAX, flags: u8) {
            let (trace, span) = (trace.try_into().unwrap(), span.try_into().unwrap());
            let context = TraceContext { trace, span, flags };
            prop_assert_eq!(TraceContext::from_header(context.header().as_bytes()), Some(context));
        }
    }
}
