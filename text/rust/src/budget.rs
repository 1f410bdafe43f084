//! What one rendering may cost. minijinja's fuel counts instructions; a single instruction can
//! still double a string or walk a megabyte, so everything that copies or compares pays here for
//! the bytes that it touches. A rendering owns its thread, so the budget is the thread's.

use std::cell::{Cell, RefCell};

use minijinja::value::ObjectRepr;
use minijinja::{Error, ErrorKind, Value};

/// Instructions of one rendering. A message of a real conversation takes a few hundred.
pub const FUEL: u64 = 5_000_000;
/// Bytes touched beyond those that the size of the input allows.
const UNITS_BASE: usize = 256 << 20;
const UNITS_PER_INPUT_BYTE: usize = 64;
/// A value costs its bytes and this, since it is more than its text.
pub const NODE: usize = 32;
/// An entry of a list that is copied without what it refers to.
pub const ENTRY: usize = 8;
/// Containers within containers, for everything that recurses over values.
pub const DEPTH_MAX: usize = 512;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
    static RAISED: RefCell<Option<String>> = const { RefCell::new(None) };
    static EXHAUSTED: Cell<bool> = const { Cell::new(false) };
}

/// Starts the budget of a rendering of `input_bytes` of template and data.
pub fn begin(input_bytes: usize) {
    LEFT.set(UNITS_BASE.saturating_add(input_bytes.saturating_mul(UNITS_PER_INPUT_BYTE)));
    EXHAUSTED.set(false);
    RAISED.set(None);
}

/// Takes `units` off, or fails the rendering.
pub fn charge(units: usize) -> Result<(), Error> {
    match LEFT.get().checked_sub(units) {
        Some(left) => {
            LEFT.set(left);
            Ok(())
        }
        None => {
            EXHAUSTED.set(true);
            Err(Error::new(
                ErrorKind::InvalidOperation,
                "the template builds or reads more than its budget allows",
            ))
        }
    }
}

/// What is left, to see what something took.
pub fn left() -> usize {
    LEFT.get()
}

/// Whether `charge` ended this rendering.
pub fn exhausted() -> bool {
    EXHAUSTED.get()
}

/// raise_exception: the message is kept apart, since errors get wrapped on their way up.
pub fn raise(message: String) -> Error {
    RAISED.set(Some(message.clone()));
    Error::new(ErrorKind::InvalidOperation, message)
}

/// The message of raise_exception when it ended this rendering.
pub fn raised() -> Option<String> {
    RAISED.take()
}

pub fn too_deep() -> Error {
    Error::new(ErrorKind::InvalidOperation, "values are nested too deeply")
}

/// The top of a value: characters of a string, entries of a container.
pub fn shallow(value: &Value) -> usize {
    if let Some(text) = value.as_str() {
        return text.len();
    }
    value.as_object().and_then(|object| object.enumerator_len()).unwrap_or(1)
}

/// Charges the whole tree under a value, shared parts as often as they occur.
pub fn charge_tree(value: &Value) -> Result<(), Error> {
    charge_subtree(value, 0)
}

fn charge_subtree(value: &Value, depth: usize) -> Result<(), Error> {
    charge(NODE)?;
    if let Some(text) = value.as_str() {
        return charge(text.len());
    }
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    if depth >= DEPTH_MAX {
        return Err(too_deep());
    }
    match object.repr() {
        ObjectRepr::Map => {
            for (key, entry) in object.try_iter_pairs().into_iter().flatten() {
                charge_subtree(&key, depth + 1)?;
                charge_subtree(&entry, depth + 1)?;
            }
        }
        // An iterator without a length may be used up by looking.
        ObjectRepr::Seq | ObjectRepr::Iterable if object.enumerator_len().is_some() => {
            for entry in object.try_iter().into_iter().flatten() {
                charge_subtree(&entry, depth + 1)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Charges a comparison of two values.
pub fn charge_comparison(left: &Value, right: &Value) -> Result<(), Error> {
    match (left.as_str(), right.as_str()) {
        (Some(a), Some(b)) => charge(a.len().min(b.len())),
        _ if left.as_object().is_some() && right.as_object().is_some() => {
            charge_tree(left)?;
            charge_tree(right)
        }
        _ => Ok(()),
    }
}

/// Text under construction that pays for what it takes.
#[derive(Default)]
pub struct Sink {
    pub text: String,
}

impl Sink {
    pub fn push(&mut self, piece: &str) -> Result<(), Error> {
        charge(piece.len())?;
        self.text.push_str(piece);
        Ok(())
    }

    pub fn push_char(&mut self, c: char) -> Result<(), Error> {
        charge(c.len_utf8())?;
        self.text.push(c);
        Ok(())
    }
}
