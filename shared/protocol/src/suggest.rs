//! "Did you mean …?": the nearest known name, or none when nothing is near.

/// The candidate nearest to `wrong`, if one is near enough to be meant.
///
/// Near is a Jaro-Winkler similarity of at least 0.8, which forgives a typo or
/// a missing part and refuses a different word.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    candidates
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wrong, &name.to_lowercase()), name))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typo_finds_its_word_and_another_word_finds_none() {
        let names = ["worker_spawn", "worker_list", "infer"];
        assert_eq!(nearest("worker_spwan", names), Some("worker_spawn"));
        assert_eq!(nearest("Infer", names), Some("infer"));
        assert_eq!(nearest("banana", names), None);
    }
}
