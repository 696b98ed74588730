//! Invented names.

const FIRST: [&str; 24] = [
    "Willow",
    "Lotus",
    "Cedar",
    "Heron",
    "Amber",
    "Maple",
    "Orchid",
    "Crane",
    "Jade",
    "Plum",
    "Bamboo",
    "Magnolia",
    "Swallow",
    "Pine",
    "Osmanthus",
    "Kingfisher",
    "Camphor",
    "Silver",
    "Poplar",
    "Lark",
    "Ginkgo",
    "Mulberry",
    "Reed",
    "Peony",
];
const SECOND: [&str; 25] = [
    "Bridge", "Lake", "Hill", "Garden", "Well", "Ferry", "Terrace", "Grove", "Gate", "Spring",
    "Bank", "Field", "Pavilion", "Court", "Ridge", "Quay", "Mill", "Meadow", "Tower", "Hollow",
    "Arch", "Pond", "Bend", "Lane", "Square",
];
const FAMILY: [&str; 24] = [
    "Wang", "Li", "Zhang", "Liu", "Chen", "Yang", "Huang", "Zhao", "Wu", "Zhou", "Xu", "Sun", "Ma",
    "Zhu", "Hu", "Guo", "He", "Lin", "Gao", "Luo", "Zheng", "Liang", "Xie", "Song",
];

/// A place's name; the first 600 differ, later ones carry a number.
pub(super) fn place(index: u32) -> String {
    // 24 and 25 have no common divisor, so both words can step together through all pairs.
    let pair = format!("{} {}", FIRST[index as usize % 24], SECOND[index as usize % 25]);
    if index < 600 { pair } else { format!("{pair} {}", index / 600 + 1) }
}

/// A masked person's name.
pub(super) fn person(draw: u32) -> String {
    format!("{} **", FAMILY[draw as usize % FAMILY.len()])
}
