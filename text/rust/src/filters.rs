//! Filters, tests and string methods of a template: a list of those that are allowed, each with
//! what it pays before it runs. What is not listed does not exist.

use minijinja::value::{from_args, Kwargs, Rest};
use minijinja::{Error, ErrorKind, State, Value};

use crate::budget::{self, Sink, ENTRY, NODE};
use crate::json;
use crate::operators;

/// What a call may cost beyond its arguments' number.
#[derive(Clone, Copy)]
enum Cost {
    Top,      // looks at the top of its arguments
    Tree,     // reads everything under its arguments, makes something of that size
    Entries,  // copies the entries of lists and the characters of strings
    Each,     // compares each entry of the first argument with the others
    Many,     // makes an entry of every character or entry
    Count,    // Tree, times the numbers among its arguments
    Replace,  // the first argument, with the second replaced by the third
    Own(Run), // ours, pays as it goes
}

type Run = fn(&State, &[Value]) -> Result<Value, Error>;

/// (name in the template, name of the global function that it compiles to, cost)
pub struct Entry {
    pub name: &'static str,
    pub function: &'static str,
    cost: Cost,
}

macro_rules! entries {
    ($prefix:literal: $($name:literal $cost:expr),* $(,)?) => {
        &[$(Entry { name: $name, function: concat!($prefix, $name), cost: $cost }),*]
    };
}

pub const FILTERS: &[Entry] = entries!("|":
    "abs" Cost::Top, "attr" Cost::Top, "bool" Cost::Top, "count" Cost::Top, "d" Cost::Top,
    "default" Cost::Top, "first" Cost::Top, "float" Cost::Top, "int" Cost::Top,
    "last" Cost::Top, "length" Cost::Top, "round" Cost::Top, "safe" Cost::Top,
    "capitalize" Cost::Tree, "chain" Cost::Entries, "dictsort" Cost::Tree, "groupby" Cost::Tree,
    "items" Cost::Entries, "lower" Cost::Tree, "max" Cost::Tree, "min" Cost::Tree,
    "reverse" Cost::Entries, "sort" Cost::Tree, "sum" Cost::Tree, "title" Cost::Tree,
    "trim" Cost::Tree, "unique" Cost::Tree, "upper" Cost::Tree, "zip" Cost::Entries,
    "e" Cost::Many, "escape" Cost::Many, "lines" Cost::Many, "list" Cost::Entries,
    "split" Cost::Many, "batch" Cost::Count, "format" Cost::Count, "indent" Cost::Count,
    "slice" Cost::Count, "select" Cost::Each, "reject" Cost::Each, "selectattr" Cost::Each,
    "rejectattr" Cost::Each, "replace" Cost::Replace, "join" Cost::Own(join),
    "map" Cost::Own(map), "string" Cost::Own(string), "tojson" Cost::Own(tojson),
);

pub const TESTS: &[Entry] = entries!("is ":
    "boolean" Cost::Top, "defined" Cost::Top, "divisibleby" Cost::Top, "eq" Cost::Tree,
    "equalto" Cost::Tree, "even" Cost::Top, "false" Cost::Top, "float" Cost::Top,
    "ge" Cost::Tree, "greaterthan" Cost::Tree, "gt" Cost::Tree, "in" Cost::Own(is_in),
    "integer" Cost::Top, "iterable" Cost::Top, "le" Cost::Tree, "lessthan" Cost::Tree,
    "lower" Cost::Tree, "lt" Cost::Tree, "mapping" Cost::Top, "ne" Cost::Tree, "none" Cost::Top,
    "number" Cost::Top, "odd" Cost::Top, "sameas" Cost::Top, "sequence" Cost::Top,
    "string" Cost::Top, "true" Cost::Top, "undefined" Cost::Top, "upper" Cost::Tree,
);

fn pay(cost: Cost, args: &[Value]) -> Result<(), Error> {
    budget::charge(NODE)?;
    match cost {
        Cost::Top => args.iter().try_for_each(|value| budget::charge(budget::shallow(value))),
        Cost::Tree => args.iter().try_for_each(budget::charge_tree),
        Cost::Entries => args.iter().try_for_each(pay_entries),
        Cost::Each => pay_each(args),
        Cost::Many => {
            pay(Cost::Tree, args)?;
            args.iter()
                .try_for_each(|value| budget::charge(budget::shallow(value).saturating_mul(NODE)))
        }
        Cost::Count => pay_count(args),
        Cost::Replace => pay_replace(args),
        Cost::Own(_) => Ok(()),
    }
}

fn pay_entries(value: &Value) -> Result<(), Error> {
    // A string's characters become values of their own.
    let each = if value.as_str().is_some() { NODE } else { ENTRY };
    budget::charge(budget::shallow(value).saturating_mul(each))
}

/// Everything under the other arguments, once for each entry of the first.
fn pay_each(args: &[Value]) -> Result<(), Error> {
    let Some((first, others)) = args.split_first() else {
        return Ok(());
    };
    let before = budget::left();
    others.iter().try_for_each(budget::charge_tree)?;
    let once = before - budget::left();
    budget::charge(budget::shallow(first).saturating_mul(ENTRY + once))
}

/// Everything under the first argument, once for each unit of what the others say.
fn pay_count(args: &[Value]) -> Result<(), Error> {
    let Some((first, others)) = args.split_first() else {
        return Ok(());
    };
    pay(Cost::Many, args)?;
    let mut times = 1usize;
    for other in others {
        let units =
            other.as_i64().map(|n| n.unsigned_abs() as usize).unwrap_or(budget::shallow(other));
        times = times.saturating_add(units);
    }
    let numbers = first.as_str().map(largest_number).unwrap_or(0);
    budget::charge(budget::shallow(first).saturating_add(numbers).saturating_mul(times))?;
    kwargs_numbers(others, budget::shallow(first))
}

/// Named numbers (`indent(width=...)`) count as well.
fn kwargs_numbers(others: &[Value], entries: usize) -> Result<(), Error> {
    let Some(last) = others.last().filter(|value| value.is_kwargs()) else {
        return Ok(());
    };
    for (_, entry) in
        last.as_object().and_then(|object| object.try_iter_pairs()).into_iter().flatten()
    {
        if let Some(n) = entry.as_i64() {
            budget::charge(entries.saturating_mul(n.unsigned_abs() as usize))?;
        }
    }
    Ok(())
}

/// A field width of a format string can be as large as any number in it.
fn largest_number(text: &str) -> usize {
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap_or(usize::MAX))
        .max()
        .unwrap_or(0)
}

fn pay_replace(args: &[Value]) -> Result<(), Error> {
    pay(Cost::Tree, args)?;
    let text = |i: usize| args.get(i).and_then(|value| value.as_str()).unwrap_or_default();
    let found = match text(1) {
        "" => text(0).len() + 1,
        old => text(0).matches(old).count(),
    };
    budget::charge(found.saturating_mul(text(2).len()))
}

/// Calls a listed filter with what it pays.
pub fn call_filter(entry: &Entry, state: &State, args: &[Value]) -> Result<Value, Error> {
    pay(entry.cost, args)?;
    match entry.cost {
        Cost::Own(run) => run(state, args),
        _ => state.apply_filter(entry.name, args),
    }
}

/// Performs a listed test with what it pays.
pub fn call_test(entry: &Entry, state: &State, args: &[Value]) -> Result<Value, Error> {
    pay(entry.cost, args)?;
    match entry.cost {
        Cost::Own(run) => run(state, args),
        _ => state.perform_test(entry.name, args).map(Value::from),
    }
}

fn is_in(state: &State, args: &[Value]) -> Result<Value, Error> {
    if let [needle, container] = args {
        operators::charge_search(needle, container)?;
    }
    state.perform_test("in", args).map(Value::from)
}

fn string(_: &State, args: &[Value]) -> Result<Value, Error> {
    let (value,): (&Value,) = from_args(args)?;
    if value.as_str().is_some() {
        return Ok(value.clone());
    }
    let mut sink = Sink::default();
    json::write_str(value, &mut sink)?;
    Ok(Value::from(sink.text))
}

fn tojson(_: &State, args: &[Value]) -> Result<Value, Error> {
    let (value, ascii, indent, kwargs): (&Value, Option<bool>, Option<Value>, Kwargs) =
        from_args(args)?;
    let style = json::Style::from_kwargs(ascii, indent, &kwargs)?;
    let mut sink = Sink::default();
    json::write_json(value, &style, &mut sink)?;
    Ok(Value::from(sink.text))
}

fn joined(items: &Value, separator: &str, attribute: Option<&str>) -> Result<Value, Error> {
    let mut sink = Sink::default();
    for (i, item) in items.try_iter()?.enumerate() {
        if i > 0 {
            sink.push(separator)?;
        }
        match attribute {
            Some(name) => json::write_str(&item.get_attr(name)?, &mut sink)?,
            None => json::write_str(&item, &mut sink)?,
        }
    }
    Ok(Value::from(sink.text))
}

fn join(_: &State, args: &[Value]) -> Result<Value, Error> {
    let (items, separator, kwargs): (&Value, Option<&str>, Kwargs) = from_args(args)?;
    let separator = match separator {
        Some(text) => text,
        None => kwargs.get::<Option<&str>>("d")?.unwrap_or(""),
    };
    let attribute = kwargs.get::<Option<&str>>("attribute")?;
    kwargs.assert_all_used()?;
    joined(items, separator, attribute)
}

fn map(state: &State, args: &[Value]) -> Result<Value, Error> {
    let (items, rest, kwargs): (&Value, Rest<Value>, Kwargs) = from_args(args)?;
    if kwargs.has("attribute") {
        pay(Cost::Each, args)?;
        return state.apply_filter("map", args);
    }
    let name = rest.first().and_then(|value| value.as_str()).unwrap_or_default();
    let Some(entry) = FILTERS.iter().find(|entry| entry.name == name) else {
        return Err(Error::new(ErrorKind::UnknownFilter, format!("filter {name} is unknown")));
    };
    let mut results = Vec::new();
    for item in items.try_iter()? {
        let mut call = vec![item];
        call.extend_from_slice(&args[2..]);
        results.push(call_filter(entry, state, &call)?);
    }
    Ok(Value::from(results))
}

/// Python's methods of strings, dicts and lists.
pub fn call_method(
    state: &State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let mut all = vec![value.clone()];
    all.extend_from_slice(args);
    match method {
        "get" | "items" | "keys" | "values" => pay(Cost::Top, args)?,
        "startswith" | "endswith" => pay(Cost::Tree, args)?,
        "split" | "splitlines" | "upper" | "lower" | "title" | "capitalize" => {
            pay(Cost::Many, &all)?
        }
        "replace" => pay(Cost::Replace, &all)?,
        "format" => pay(Cost::Count, &all)?,
        "join" => {
            let (items,): (&Value,) = from_args(args)?;
            return joined(items, value.as_str().unwrap_or_default(), None);
        }
        // An empty string occurs between all characters; searching for it would not end.
        "count" if args.first().and_then(|what| what.as_str()) == Some("") => {
            pay(Cost::Top, &all)?;
            return Ok(Value::from(value.as_str().unwrap_or_default().chars().count() + 1));
        }
        _ => pay(Cost::Tree, &all)?,
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
}
