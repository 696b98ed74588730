//! What the runtime says of a file that it does not take, as what to change in the export.

use super::value::one_line;
use crate::Error;

pub(super) fn refused(error: &impl ToString) -> Error {
    let text = error.to_string();
    let said = known(&text).unwrap_or_else(|| one_line(&without_source(&text)));
    Error::Model(format!("ONNX Runtime refuses the model: {said}"))
}

fn known(text: &str) -> Option<String> {
    if let Some(domain) = between(text, "Current official support for domain ", " is till") {
        let most = text.split(" is till opset ").nth(1)?;
        let most: String = most.chars().take_while(char::is_ascii_digit).collect();
        let got = between(text, "Opset ", " is").unwrap_or("");
        return Some(format!(
            "opset {got} of {domain} is newer than it knows; export with an opset of at most {most} (skl2onnx and onnxmltools: \
             target_opset, torch: opset_version)"
        ));
    }
    if let Some(got) = between(text, "Unsupported model IR version: ", ",") {
        let most = text.split("max supported IR version: ").nth(1)?;
        let most: String = most.chars().take_while(char::is_ascii_digit).collect();
        return Some(format!(
            "IR version {got} is newer than it knows; set model.ir_version = {most} before the file is saved"
        ));
    }
    if let Some(operator) = between(text, "Could not find an implementation for ", " node") {
        return Some(format!(
            "it has no {operator} for these element types on a processor; export the model in FP32"
        ));
    }
    let operator = between(text, "No Op registered for ", " with domain_version of ")?;
    Some(format!(
        "there is no operator {operator} in the opset that the file names; export with another target_opset, without custom operators"
    ))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found).or(Some(rest))
}

/// The library begins with the place in its own source: a path, a line and a signature.
fn without_source(text: &str) -> String {
    match text.split_once("/onnxruntime_src/") {
        Some((_, rest)) => rest.rsplit_once(") ").map_or(rest, |(_, said)| said).to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_new_is_said_with_the_newest_that_is_known() {
        let said = |text: &str| refused(&text).to_string();
        let opset = "/onnxruntime_src/a.h:46 void V(const std::string&, int) ONNX Runtime only *guarantees* support. Opset 27 is \
                     under development. Current official support for domain ai.onnx is till opset 26.";
        assert!(said(opset).contains(
            "opset 27 of ai.onnx is newer than it knows; export with an opset of at most 26"
        ));
        let version = "/onnxruntime_src/m.cc:256 M(x&) Unsupported model IR version: 14, max supported IR version: 13\n";
        assert!(said(version).contains("set model.ir_version = 13"));
        assert!(
            said("Error No Op registered for Nope with domain_version of 17")
                .contains("no operator Nope in")
        );
        assert_eq!(
            said("/onnxruntime_src/m.cc:2 M(x&) bad\n node"),
            "ONNX Runtime refuses the model: bad node"
        );
    }
}
