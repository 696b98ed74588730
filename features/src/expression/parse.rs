//! The text of an expression into steps.

use super::{EXPRESSION_BYTES_MAX, EXPRESSION_STEPS_MAX, ExpressionError};

/// What stands before the name of a value of the request.
pub(crate) const REQUEST_PREFIX: &str = "request.";
/// How deep parentheses, functions and signs may stand in each other.
const DEPTH_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Number(f64),
    Name(usize),
    /// With so many of the operands before it.
    Do(Operation, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Negate,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Abs,
    Sqrt,
    Floor,
    Ceil,
    Round,
    Min,
    Max,
    If,
    Coalesce,
    IsMissing,
}

/// A function's name, what it does, and how many values it takes: none stands for one or more.
const FUNCTIONS: [(&str, Operation, Option<usize>); 10] = [
    ("min", Operation::Min, None),
    ("max", Operation::Max, None),
    ("abs", Operation::Abs, Some(1)),
    ("sqrt", Operation::Sqrt, Some(1)),
    ("floor", Operation::Floor, Some(1)),
    ("ceil", Operation::Ceil, Some(1)),
    ("round", Operation::Round, Some(1)),
    ("if", Operation::If, Some(3)),
    ("coalesce", Operation::Coalesce, None),
    ("is_missing", Operation::IsMissing, Some(1)),
];

/// Operators by how tightly they bind, the loosest first; longer ones before those that they begin with.
const OPERATORS: [&[(&str, Operation)]; 3] = [
    &[
        ("<=", Operation::LessOrEqual),
        (">=", Operation::GreaterOrEqual),
        ("==", Operation::Equal),
        ("!=", Operation::NotEqual),
        ("<", Operation::Less),
        (">", Operation::Greater),
    ],
    &[("+", Operation::Add), ("-", Operation::Subtract)],
    &[("*", Operation::Multiply), ("/", Operation::Divide)],
];

/// The names in the text, and its steps.
pub(super) fn parse(text: &str) -> Result<(Vec<String>, Vec<Step>), ExpressionError> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(ExpressionError::Long(text.len()));
    }
    let mut parser = Parser { text, at: 0, depth: 0, names: Vec::new(), steps: Vec::new() };
    parser.operation(0)?;
    if !parser.rest().is_empty() {
        return Err(parser.expected("an operator"));
    }
    if parser.steps.len() > EXPRESSION_STEPS_MAX {
        return Err(ExpressionError::Long(text.len()));
    }
    Ok((parser.names, parser.steps))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    names: Vec<String>,
    steps: Vec<Step>,
}

impl<'a> Parser<'a> {
    /// What is left, without the space before it.
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn expected(&mut self, want: &'static str) -> ExpressionError {
        let rest = self.rest();
        let word = rest.chars().next().map_or("the end".to_owned(), String::from);
        ExpressionError::Expected { at: self.character(), want, found: word }
    }

    fn character(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    /// Operands and the operators that bind at least as tightly as those of a level.
    fn operation(&mut self, level: usize) -> Result<(), ExpressionError> {
        let Some(operators) = OPERATORS.get(level) else { return self.operand() };
        self.operation(level + 1)?;
        while let Some((_, operation)) = operators.iter().find(|(sign, _)| self.take(sign)) {
            self.operation(level + 1)?;
            self.steps.push(Step::Do(*operation, 2));
        }
        Ok(())
    }

    fn operand(&mut self) -> Result<(), ExpressionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ExpressionError::Deep { at: self.character(), max: DEPTH_MAX });
        }
        let rest = self.rest();
        let first = rest.bytes().next().unwrap_or(0);
        if self.take("-") {
            self.operand()?;
            self.steps.push(Step::Do(Operation::Negate, 1));
        } else if self.take("(") {
            self.operation(0)?;
            self.close()?;
        } else if first.is_ascii_digit() || first == b'.' {
            self.number(rest)?;
        } else if first.is_ascii_lowercase() {
            self.name(rest)?;
        } else {
            return Err(self.expected("a number, a name or ("));
        }
        self.depth -= 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), ExpressionError> {
        if self.take(")") { Ok(()) } else { Err(self.expected(")")) }
    }

    fn number(&mut self, rest: &str) -> Result<(), ExpressionError> {
        let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
        let mut end = digits(0);
        if rest[end..].starts_with('.') {
            end += 1 + digits(end + 1);
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let exponent = digits(end + 1 + sign);
            if exponent > 0 {
                end += 1 + sign + exponent;
            }
        }
        let number: f64 = rest[..end].parse().map_err(|_| self.expected("a number"))?;
        self.at += end;
        self.steps.push(Step::Number(number));
        Ok(())
    }

    fn name(&mut self, rest: &str) -> Result<(), ExpressionError> {
        let is_part =
            |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        let word = |text: &str| text.bytes().take_while(is_part).count();
        let mut end = word(rest);
        if rest[end..].starts_with('(') {
            return self.call(&rest[..end]);
        }
        if let Some(of_request) = rest.strip_prefix(REQUEST_PREFIX) {
            end = REQUEST_PREFIX.len() + word(of_request);
        }
        let name = &rest[..end];
        let known = self.names.iter().position(|each| each == name);
        let at = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        self.at += end;
        self.steps.push(Step::Name(at));
        Ok(())
    }

    fn call(&mut self, name: &str) -> Result<(), ExpressionError> {
        let at = self.character();
        let found = FUNCTIONS.into_iter().find(|(known, ..)| *known == name);
        let Some((name, operation, takes)) = found else {
            return Err(ExpressionError::Function { at, name: name.to_owned() });
        };
        self.at += name.len() + 1;
        let mut got = 0;
        if !self.rest().starts_with(')') {
            loop {
                self.operation(0)?;
                got += 1;
                if !self.take(",") {
                    break;
                }
            }
        }
        self.close()?;
        let want = match takes {
            None => "1 or more",
            Some(1) => "1",
            Some(_) => "3",
        };
        if takes.map_or(got == 0, |takes| takes != got) {
            return Err(ExpressionError::Arguments { at, name, want, got });
        }
        self.steps.push(Step::Do(operation, got));
        Ok(())
    }
}
