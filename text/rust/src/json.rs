//! Values as text the way Python writes them: json.dumps for `tojson`, str() and repr() for
//! everything printed.

use minijinja::value::{Kwargs, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use crate::budget::{self, Sink, DEPTH_MAX, NODE};

/// Shortest digits that read back, in Python's notation: 1.0, 1e-07, 1e+16.
pub fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{number}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn is_float(value: &Value) -> bool {
    value.kind() == ValueKind::Number && !value.is_integer()
}

fn as_float(value: &Value) -> f64 {
    f64::try_from(value.clone()).unwrap_or(f64::NAN)
}

/// str(value): strings as they are, None, True, False, containers as Python shows them; undefined
/// is empty.
pub fn write_str(value: &Value, sink: &mut Sink) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => sink.push(text),
        None if value.is_undefined() => Ok(()),
        None => write_repr(value, sink, 0),
    }
}

fn write_repr(value: &Value, sink: &mut Sink, depth: usize) -> Result<(), Error> {
    budget::charge(NODE)?;
    if depth > DEPTH_MAX {
        return Err(budget::too_deep());
    }
    match value.kind() {
        ValueKind::Undefined => sink.push("Undefined"),
        ValueKind::None => sink.push("None"),
        ValueKind::Bool => sink.push(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if is_float(value) => sink.push(&python_float(as_float(value))),
        ValueKind::String => write_quoted(value.as_str().unwrap_or_default(), sink),
        ValueKind::Map => write_map_repr(value, sink, depth),
        ValueKind::Seq | ValueKind::Iterable => {
            sink.push("[")?;
            for (i, item) in value.try_iter()?.enumerate() {
                if i > 0 {
                    sink.push(", ")?;
                }
                write_repr(&item, sink, depth + 1)?;
            }
            sink.push("]")
        }
        _ => sink.push(&value.to_string()),
    }
}

fn write_map_repr(value: &Value, sink: &mut Sink, depth: usize) -> Result<(), Error> {
    let Some(object) = value.as_object() else {
        return sink.push("{}");
    };
    sink.push("{")?;
    for (i, (key, entry)) in object.try_iter_pairs().into_iter().flatten().enumerate() {
        if i > 0 {
            sink.push(", ")?;
        }
        write_repr(&key, sink, depth + 1)?;
        sink.push(": ")?;
        write_repr(&entry, sink, depth + 1)?;
    }
    sink.push("}")
}

/// repr() of a string: single quotes unless it holds some and no double ones.
fn write_quoted(text: &str, sink: &mut Sink) -> Result<(), Error> {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    sink.push_char(quote)?;
    for c in text.chars() {
        match c {
            '\\' => sink.push("\\\\")?,
            '\n' => sink.push("\\n")?,
            '\r' => sink.push("\\r")?,
            '\t' => sink.push("\\t")?,
            c if c == quote => {
                sink.push("\\")?;
                sink.push_char(c)?;
            }
            c if (c as u32) < 0x20 || (0x7f..0xa1).contains(&(c as u32)) || c == '\u{ad}' => {
                sink.push(&format!("\\x{:02x}", c as u32))?
            }
            c => sink.push_char(c)?,
        }
    }
    sink.push_char(quote)
}

/// The arguments of `tojson`, as in the environment that chat templates are written for.
pub struct Style {
    ensure_ascii: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
}

impl Style {
    pub fn from_kwargs(
        ensure_ascii: Option<bool>,
        indent: Option<Value>,
        kwargs: &Kwargs,
    ) -> Result<Style, Error> {
        let indent = match indent {
            Some(value) => Some(value),
            None => kwargs.get::<Option<Value>>("indent")?,
        };
        let indent = match indent {
            None => None,
            Some(value) if value.is_none() => None,
            Some(value) => Some(match value.as_str() {
                Some(text) => text.to_string(),
                None => " ".repeat(usize::try_from(value)?.min(64)),
            }),
        };
        let separators = kwargs.get::<Option<Vec<String>>>("separators")?;
        let (item_separator, key_separator) = match separators.as_deref() {
            None if indent.is_some() => (",".to_string(), ": ".to_string()),
            None => (", ".to_string(), ": ".to_string()),
            Some([item, key]) => (item.clone(), key.clone()),
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "tojson: separators must be two strings",
                ))
            }
        };
        let ascii = match ensure_ascii {
            Some(flag) => flag,
            None => kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        };
        let sort_keys = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
        kwargs.assert_all_used()?;
        Ok(Style { ensure_ascii: ascii, indent, item_separator, key_separator, sort_keys })
    }
}

/// json.dumps(value).
pub fn write_json(value: &Value, style: &Style, sink: &mut Sink) -> Result<(), Error> {
    write_json_at(value, style, sink, 0)
}

fn write_json_at(value: &Value, style: &Style, sink: &mut Sink, depth: usize) -> Result<(), Error> {
    budget::charge(NODE)?;
    if depth > DEPTH_MAX {
        return Err(budget::too_deep());
    }
    match value.kind() {
        ValueKind::None => sink.push("null"),
        ValueKind::Bool => sink.push(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number if is_float(value) => sink.push(&json_float(as_float(value))),
        ValueKind::Number => sink.push(&value.to_string()),
        ValueKind::String => write_json_string(value.as_str().unwrap_or_default(), style, sink),
        ValueKind::Map => write_json_object(value, style, sink, depth),
        ValueKind::Seq | ValueKind::Iterable => write_json_array(value, style, sink, depth),
        other => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("tojson: a value of type {other} is not JSON"),
        )),
    }
}

fn json_float(number: f64) -> String {
    match number {
        n if n.is_nan() => "NaN".into(),
        n if n == f64::INFINITY => "Infinity".into(),
        n if n == f64::NEG_INFINITY => "-Infinity".into(),
        n => python_float(n),
    }
}

fn write_json_string(text: &str, style: &Style, sink: &mut Sink) -> Result<(), Error> {
    sink.push("\"")?;
    for c in text.chars() {
        match c {
            '"' => sink.push("\\\"")?,
            '\\' => sink.push("\\\\")?,
            '\n' => sink.push("\\n")?,
            '\r' => sink.push("\\r")?,
            '\t' => sink.push("\\t")?,
            '\u{8}' => sink.push("\\b")?,
            '\u{c}' => sink.push("\\f")?,
            c if (c as u32) < 0x20 => sink.push(&format!("\\u{:04x}", c as u32))?,
            c if style.ensure_ascii && (c as u32) > 0x7e => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    sink.push(&format!("\\u{unit:04x}"))?;
                }
            }
            c => sink.push_char(c)?,
        }
    }
    sink.push("\"")
}

fn new_line(style: &Style, sink: &mut Sink, depth: usize) -> Result<(), Error> {
    if let Some(indent) = &style.indent {
        sink.push("\n")?;
        for _ in 0..depth {
            sink.push(indent)?;
        }
    }
    Ok(())
}

fn write_json_array(
    value: &Value,
    style: &Style,
    sink: &mut Sink,
    depth: usize,
) -> Result<(), Error> {
    let mut any = false;
    sink.push("[")?;
    for item in value.try_iter()? {
        if any {
            sink.push(&style.item_separator)?;
        }
        any = true;
        new_line(style, sink, depth + 1)?;
        write_json_at(&item, style, sink, depth + 1)?;
    }
    if any {
        new_line(style, sink, depth)?;
    }
    sink.push("]")
}

fn write_json_object(
    value: &Value,
    style: &Style,
    sink: &mut Sink,
    depth: usize,
) -> Result<(), Error> {
    let Some(object) = value.as_object().filter(|object| object.repr() == ObjectRepr::Map) else {
        return sink.push("{}");
    };
    let mut entries: Vec<(Value, Value)> = object.try_iter_pairs().into_iter().flatten().collect();
    budget::charge(entries.len() * NODE)?;
    if style.sort_keys {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
    }
    sink.push("{")?;
    for (i, (key, entry)) in entries.iter().enumerate() {
        if i > 0 {
            sink.push(&style.item_separator)?;
        }
        new_line(style, sink, depth + 1)?;
        write_json_key(key, style, sink)?;
        sink.push(&style.key_separator)?;
        write_json_at(entry, style, sink, depth + 1)?;
    }
    if !entries.is_empty() {
        new_line(style, sink, depth)?;
    }
    sink.push("}")
}

/// Keys are strings in JSON; Python writes numbers, booleans and None as such.
fn write_json_key(key: &Value, style: &Style, sink: &mut Sink) -> Result<(), Error> {
    if let Some(text) = key.as_str() {
        return write_json_string(text, style, sink);
    }
    if key.as_object().is_some() {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "tojson: a key must be a string or a number",
        ));
    }
    sink.push("\"")?;
    write_json_at(key, style, sink, 0)?;
    sink.push("\"")
}
