//! On-demand arithmetic in SQL: every operation rounded as it is there, and empty where its result is no
//! finite number.

use features::{Expression, Operation, Step};

/// The expression over columns; `input` gives the column, or the number, of a name.
pub(super) fn expression_sql(expression: &Expression, input: impl Fn(&str) -> String) -> String {
    let mut stack: Vec<String> = Vec::new();
    for step in expression.steps() {
        let made = match step {
            Step::Number(number) => format!("CAST('{number:?}' AS DOUBLE)"),
            Step::Name(name) => input(&expression.names()[*name]),
            Step::Do(operation, operands) => {
                let from = stack.len().saturating_sub(*operands);
                let made = operation_sql(*operation, &stack[from..]);
                stack.truncate(from);
                // A list of one: what it is made of is written once.
                format!("list_filter([{made}], lambda made: isfinite(made))[1]")
            }
        };
        stack.push(made);
    }
    stack.pop().unwrap_or_else(|| "CAST(NULL AS DOUBLE)".to_owned())
}

fn operation_sql(operation: Operation, operands: &[String]) -> String {
    let one = || operands.first().map_or("NULL", String::as_str);
    let two = |sign: &str| {
        format!("({} {sign} {})", one(), operands.get(1).map_or("NULL", String::as_str))
    };
    let said = |sign: &str| format!("CAST(CAST({} AS INTEGER) AS DOUBLE)", two(sign));
    let once = |body: &str| format!("list_transform([{}], lambda each: {body})[1]", one());
    match operation {
        Operation::Add => two("+"),
        Operation::Subtract => two("-"),
        Operation::Multiply => two("*"),
        Operation::Divide => two("/"),
        Operation::Negate => format!("(-{})", one()),
        Operation::Less => said("<"),
        Operation::LessOrEqual => said("<="),
        Operation::Greater => said(">"),
        Operation::GreaterOrEqual => said(">="),
        Operation::Equal => said("="),
        Operation::NotEqual => said("<>"),
        Operation::Abs => format!("abs({})", one()),
        // DuckDB fails where there is no root.
        Operation::Sqrt => once("CASE WHEN each >= 0 THEN sqrt(each) END"),
        Operation::Floor => format!("floor({})", one()),
        Operation::Ceil => format!("ceil({})", one()),
        // A cast goes to the even neighbour; what is too large for it is whole already.
        Operation::Round => once(
            "CASE WHEN abs(each) >= 4503599627370496 OR each = 0 THEN each \
             WHEN each < 0 AND each >= -0.5 THEN CAST('-0.0' AS DOUBLE) \
             ELSE CAST(CAST(each AS BIGINT) AS DOUBLE) END",
        ),
        Operation::Min => best("<", operands),
        Operation::Max => best(">", operands),
        Operation::If => {
            let arm = |at: usize| operands.get(at).map_or("NULL", String::as_str);
            format!("CASE {} = 0 WHEN true THEN {} WHEN false THEN {} END", one(), arm(2), arm(1))
        }
        Operation::Coalesce => format!("coalesce({})", operands.join(", ")),
        Operation::IsMissing => {
            format!("CASE WHEN {} IS NULL THEN 1.0::DOUBLE ELSE 0.0::DOUBLE END", one())
        }
    }
}

/// The first that no later one is better than; empty where one is.
fn best(sign: &str, operands: &[String]) -> String {
    format!(
        "list_transform([[{}]], lambda all_of: CASE WHEN len(list_filter(all_of, lambda each: each IS NULL)) = 0 \
         THEN list_reduce(all_of, lambda kept, next: CASE WHEN next {sign} kept THEN next ELSE kept END) END)[1]",
        operands.join(", ")
    )
}
