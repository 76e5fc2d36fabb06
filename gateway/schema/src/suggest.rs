//! Which name the writer probably meant.

/// Furthest edit distance that still counts as a slip.
const DISTANCE_MAX: usize = 2;

/// The nearest of `candidates` within two edits, the first of equals in their order.
///
/// Short words need a closer match: for three letters or fewer only one edit counts.
pub fn nearest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let bound = if written.chars().count() <= 3 { 1 } else { DISTANCE_MAX };
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        // A length difference is a lower bound of the distance, and much cheaper to find out.
        if candidate.len().abs_diff(written.len()) > bound * 4 {
            continue;
        }
        let distance = strsim::damerau_levenshtein(&written.to_lowercase(), &candidate.to_lowercase());
        if distance <= bound && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}
