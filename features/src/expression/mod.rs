//! Arithmetic over other features of a view and over values of the request.
//!
//! Only operations that IEEE 754 rounds in one way are in it, each done in the order written: two
//! machines give the same bits. A missing input makes the result missing, as NULL does in SQL; so does a
//! result that is no finite number.

mod parse;

pub(crate) use parse::{REQUEST_PREFIX, Step};

use std::sync::Arc;

use parse::Operation;

/// The longest text of an expression, in bytes.
pub(crate) const EXPRESSION_BYTES_MAX: usize = 1_024;
/// The most numbers, names and operations in one.
pub(crate) const EXPRESSION_STEPS_MAX: usize = 256;

/// A checked expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    text: Arc<str>,
    /// The names in it, each once.
    names: Vec<String>,
    /// Operands before what is done with them.
    steps: Vec<Step>,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error(
        "the expression has {0} bytes or more than {EXPRESSION_STEPS_MAX} parts: it may have {EXPRESSION_BYTES_MAX} bytes; split it into two features"
    )]
    Long(usize),
    #[error("expression, character {at}: {want} is missing before {found:?}")]
    Expected { at: usize, want: &'static str, found: String },
    #[error(
        "expression, character {at}: it is nested deeper than {max}: split it into two features"
    )]
    Deep { at: usize, max: usize },
    #[error(
        "expression, character {at}: {name:?} is no function: it is min, max, abs, sqrt, floor, ceil, round, if, coalesce or is_missing"
    )]
    Function { at: usize, name: String },
    #[error("expression, character {at}: {name} takes {want} values, {got} are given")]
    Arguments { at: usize, name: &'static str, want: &'static str, got: usize },
    #[error(
        "expression: {0:?} is no feature before this one: name one that stands above it in the view, or a value of the request as request.NAME"
    )]
    Name(String),
    #[error("expression: {0:?} is not among the view's request values: add it to `request`")]
    Request(String),
}

impl Expression {
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let (names, steps) = parse::parse(text)?;
        Ok(Self { text: text.trim().into(), names, steps })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The features and request values that it reads.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The result, with `input` giving the value of the name at a place of [`Expression::names`].
    pub(crate) fn evaluate(&self, input: impl Fn(usize) -> Option<f64>) -> Option<f64> {
        let mut stack: Vec<Option<f64>> = Vec::with_capacity(8);
        for step in &self.steps {
            let result = match step {
                Step::Number(number) => Some(*number),
                Step::Name(name) => input(*name),
                Step::Do(operation, operands) => {
                    // The parser has put as many operands before each operation.
                    let from = stack.len().saturating_sub(*operands);
                    let result = operation.of(&stack[from..]);
                    stack.truncate(from);
                    result
                }
            };
            stack.push(result.filter(|value| value.is_finite()));
        }
        stack.pop().flatten()
    }
}

impl Operation {
    #[expect(clippy::float_cmp, reason = "what is written is compared, bit by bit")]
    fn of(self, operands: &[Option<f64>]) -> Option<f64> {
        match (self, operands) {
            (Self::Coalesce, _) => return operands.iter().copied().find(Option::is_some).flatten(),
            (Self::IsMissing, [a]) => return Some(f64::from(a.is_none())),
            (Self::If, [condition, yes, no]) => {
                return if condition.as_ref()? == &0.0 { *no } else { *yes };
            }
            _ => {}
        }
        let mut values = [0.0; 2];
        for (value, operand) in values.iter_mut().zip(operands) {
            *value = (*operand)?;
        }
        let [a, b] = values;
        let said = |truth: bool| Some(f64::from(truth));
        match self {
            Self::Add => Some(a + b),
            Self::Subtract => Some(a - b),
            Self::Multiply => Some(a * b),
            Self::Divide => Some(a / b),
            Self::Negate => Some(-a),
            Self::Less => said(a < b),
            Self::LessOrEqual => said(a <= b),
            Self::Greater => said(a > b),
            Self::GreaterOrEqual => said(a >= b),
            Self::Equal => said(a == b),
            Self::NotEqual => said(a != b),
            Self::Abs => Some(a.abs()),
            Self::Sqrt => Some(a.sqrt()),
            Self::Floor => Some(a.floor()),
            Self::Ceil => Some(a.ceil()),
            Self::Round => Some(a.round_ties_even()),
            Self::Min => fold(operands, |least, value| value < least),
            Self::Max => fold(operands, |most, value| value > most),
            Self::Coalesce | Self::IsMissing | Self::If => None,
        }
    }
}

/// The first operand that no later one is better than; written out, since what `f64::min` makes of two
/// zeros is left open.
fn fold(operands: &[Option<f64>], is_better: impl Fn(f64, f64) -> bool) -> Option<f64> {
    let mut operands = operands.iter();
    let mut best = (*operands.next()?)?;
    for operand in operands {
        let value = (*operand)?;
        if is_better(best, value) {
            best = value;
        }
    }
    Some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(text: &str, known: &[(&str, f64)]) -> Option<f64> {
        let expression = Expression::parse(text).unwrap();
        expression.evaluate(|at| {
            let name = &expression.names()[at];
            known.iter().find(|(each, _)| each == name).map(|(_, value)| *value)
        })
    }

    #[test]
    fn arithmetic_is_what_one_expects() {
        let known = [("a", 3.0), ("b", 4.0), ("request.c", 0.5)];
        for (text, want) in [
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("2 - 3 - 4", -5.0),
            ("8 / 4 / 2", 1.0),
            ("-a * -2", 6.0),
            ("--2", 2.0),
            ("a * a + b*b", 25.0),
            ("sqrt(a*a+b*b) > 4.9", 1.0),
            ("min(b, a, 7) + max(b, a)", 7.0),
            ("if(a >= 3, b, 1 / 0)", 4.0),
            ("round(2.5) + floor(-0.5) + ceil(0.1) + abs(-2)", 4.0),
            ("request.c * 1e2", 50.0),
            ("coalesce(nothing, a) + is_missing(nothing)", 4.0),
            ("a == 3", 1.0),
            ("a != 3", 0.0),
            (".5 + 1.5e-1", 0.65),
        ] {
            assert_eq!(result(text, &known), Some(want), "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_infinite_is_missing() {
        for text in [
            "nothing + 1",
            "1 / 0",
            "0 / 0",
            "sqrt(-1)",
            "1e308 * 10",
            "if(nothing, 1, 2)",
            "max(1, nothing)",
        ] {
            assert_eq!(result(text, &[]), None, "{text}");
        }
    }

    #[test]
    fn every_refusal_says_where() {
        for (text, want) in [
            ("1 +", "character 4: a number, a name or ( is missing before \"the end\""),
            ("(1", "character 3: ) is missing"),
            ("1 2", "character 3: an operator is missing before \"2\""),
            ("log(2)", "\"log\" is no function: it is min"),
            ("if(1, 2)", "if takes 3 values, 2 are given"),
            ("min()", "min takes 1 or more values, 0"),
            ("a $ b", "before \"$\""),
            ("1..2", "missing before \".\""),
            ("", "character 1"),
        ] {
            let said = Expression::parse(text).unwrap_err().to_string();
            assert!(said.contains(want), "{text}: {said}");
        }
        let deep = format!("{}1{}", "(".repeat(40), ")".repeat(40));
        assert!(Expression::parse(&deep).unwrap_err().to_string().contains("nested"));
        assert!(Expression::parse(&"1+".repeat(600)).unwrap_err().to_string().contains("1024"));
        assert!(Expression::parse(&format!("1{}", "+1".repeat(200))).is_err());
    }
}
