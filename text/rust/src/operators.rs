//! The operators of a template that can build or compare something large, in place of minijinja's
//! own: they pay for what they touch, and they print and refuse as Python does.

use std::cmp::Ordering;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use crate::budget::{self, Sink, ENTRY, NODE};
use crate::json;

pub type Operator = fn(&State, &[Value]) -> Result<Value, Error>;

/// Names that no template can define, since they are no identifiers.
pub const OPERATORS: &[(&str, Operator)] = &[
    ("~", concat),
    ("+", add),
    ("*", multiply),
    ("==", |_, args| Ok(Value::from(equal(args)?))),
    ("!=", |_, args| Ok(Value::from(!equal(args)?))),
    ("<", |_, args| Ok(Value::from(order(args)? == Ordering::Less))),
    ("<=", |_, args| Ok(Value::from(order(args)? != Ordering::Greater))),
    (">", |_, args| Ok(Value::from(order(args)? == Ordering::Greater))),
    (">=", |_, args| Ok(Value::from(order(args)? != Ordering::Less))),
    ("in", |state, args| Ok(Value::from(contained(state, args)?))),
    ("not in", |state, args| Ok(Value::from(!contained(state, args)?))),
    ("spread", spread),
];

fn two(args: &[Value]) -> Result<(&Value, &Value), Error> {
    match args {
        [left, right] => Ok((left, right)),
        _ => Err(Error::from(ErrorKind::MissingArgument)),
    }
}

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// The name that Python gives a value's type.
fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "undefined",
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Seq | ValueKind::Iterable => "list",
        ValueKind::Map => "dict",
        _ => "object",
    }
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn concat(_: &State, args: &[Value]) -> Result<Value, Error> {
    let mut sink = Sink::default();
    for part in args {
        json::write_str(part, &mut sink)?;
    }
    Ok(Value::from(sink.text))
}

fn add(state: &State, args: &[Value]) -> Result<Value, Error> {
    let (left, right) = two(args)?;
    if left.as_str().is_some() && right.as_str().is_some() {
        return concat(state, args);
    }
    if left.as_str().is_some() {
        return Err(refuse(format!(
            "can only concatenate str (not \"{}\") to str",
            type_name(right)
        )));
    }
    if is_list(left) && is_list(right) {
        let mut items = Vec::new();
        for item in left.try_iter()?.chain(right.try_iter()?) {
            budget::charge(ENTRY)?;
            items.push(item);
        }
        return Ok(Value::from(items));
    }
    numbers(args, "+", i128::checked_add, |a, b| a + b)
}

fn multiply(_: &State, args: &[Value]) -> Result<Value, Error> {
    let (left, right) = two(args)?;
    for (many, times) in [(left, right), (right, left)] {
        // A negative count gives nothing, as in Python.
        let Some(times) = times.as_i64().map(|n| usize::try_from(n).unwrap_or(0)) else {
            continue;
        };
        if let Some(text) = many.as_str() {
            budget::charge(text.len().saturating_mul(times))?;
            return Ok(Value::from(text.repeat(times)));
        }
        if is_list(many) {
            let items: Vec<Value> = many.try_iter()?.collect();
            budget::charge(items.len().saturating_mul(times).saturating_mul(ENTRY))?;
            return Ok(std::iter::repeat_n(items, times).flatten().collect());
        }
    }
    numbers(args, "*", i128::checked_mul, |a, b| a * b)
}

fn numbers(
    args: &[Value],
    sign: &str,
    whole: fn(i128, i128) -> Option<i128>,
    broken: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    let (left, right) = two(args)?;
    let numeric = |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    if !numeric(left) || !numeric(right) {
        let (a, b) = (type_name(left), type_name(right));
        return Err(refuse(format!("unsupported operand type(s) for {sign}: '{a}' and '{b}'")));
    }
    let whole_number = |value: &Value| match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        _ if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    };
    match (whole_number(left), whole_number(right)) {
        (Some(a), Some(b)) => match whole(a, b) {
            Some(result) => {
                Ok(i64::try_from(result).map(Value::from).unwrap_or_else(|_| Value::from(result)))
            }
            None => Err(refuse(format!("integer overflow in {sign}"))),
        },
        (a, b) => {
            let float = |exact: Option<i128>, value: &Value| match exact {
                Some(n) => Ok(n as f64),
                None => f64::try_from(value.clone()),
            };
            Ok(Value::from(broken(float(a, left)?, float(b, right)?)))
        }
    }
}

fn equal(args: &[Value]) -> Result<bool, Error> {
    let (left, right) = two(args)?;
    budget::charge_comparison(left, right)?;
    Ok(left == right)
}

fn order(args: &[Value]) -> Result<Ordering, Error> {
    let (left, right) = two(args)?;
    budget::charge_comparison(left, right)?;
    Ok(left.cmp(right))
}

fn contained(state: &State, args: &[Value]) -> Result<bool, Error> {
    let (needle, container) = two(args)?;
    charge_search(needle, container)?;
    state.perform_test("in", args)
}

/// Charges the search for a value in a string, a list or the keys of a map.
pub fn charge_search(needle: &Value, container: &Value) -> Result<(), Error> {
    let entries = budget::shallow(container);
    if needle.as_object().is_some() {
        budget::charge_tree(needle)?;
        return budget::charge_tree(container);
    }
    match container.kind() {
        ValueKind::Map => budget::charge(budget::shallow(needle)),
        ValueKind::String => budget::charge(entries.saturating_add(budget::shallow(needle))),
        _ => budget::charge(entries.saturating_mul(NODE + budget::shallow(needle) / NODE)),
    }
}

/// Pays for the values that the next instruction copies and hands them back as a list, last first:
/// unpacking a list leaves its first item on top of the stack.
fn spread(_: &State, args: &[Value]) -> Result<Value, Error> {
    for value in args {
        budget::charge(budget::shallow(value).saturating_mul(ENTRY))?;
    }
    Ok(args.iter().rev().cloned().collect())
}
