//! Which known word somebody probably meant, so that a refusal can say so.

/// The candidate with the fewest edits to `word`; of several, the first.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> &'a str {
    candidates
        .into_iter()
        .min_by_key(|candidate| strsim::levenshtein(word, candidate))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_fewest_edits_win_and_a_tie_goes_to_the_first() {
        assert_eq!(nearest("smok", ["gas", "smoke", "door"]), "smoke");
        assert_eq!(nearest("xa", ["aa", "xx"]), "aa");
        assert_eq!(nearest("x", []), "");
    }
}
