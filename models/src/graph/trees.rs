//! Ensembles of trees: whether every walk ends, and reads only what is there.
//!
//! The runtime follows the numbers of these attributes as they stand. A branch to nowhere, a loop, a
//! tree that is too deep to be built on a thread's stack, a class past the last: refused here.

use std::collections::BTreeMap;

#[allow(clippy::wildcard_imports, reason = "field numbers, as the format names them")]
use super::numbers::*;
use super::tensors::numbers;
use crate::Error;
use crate::wire::each_field;

/// The runtime builds a tree by recursion.
const DEPTH_MAX: usize = 1_024;
/// More columns than any table has.
const FEATURES_MAX: i64 = 1 << 20;

#[derive(Debug, Default)]
struct Lists<'a> {
    ints: BTreeMap<&'a str, Vec<i64>>,
    /// How many strings or floats an attribute holds.
    others: BTreeMap<&'a str, usize>,
    /// By node, where the modes are text: whether it is a leaf.
    leaves: Vec<bool>,
}

fn wrong(op: &str, reason: &str) -> Error {
    Error::Model(format!("`{op}`: {reason}; export the model again"))
}

impl<'a> Lists<'a> {
    fn read(node: &'a [u8]) -> Option<Self> {
        let mut lists = Self::default();
        for field in each_field(node) {
            let field = field?;
            if field.number != NODE_ATTRIBUTE {
                continue;
            }
            let attribute = field.bytes()?;
            let mut name = "";
            for part in each_field(attribute) {
                let part = part?;
                if part.number == ATTRIBUTE_NAME {
                    name = part.text()?;
                }
            }
            lists.add(name, attribute)?;
        }
        Some(lists)
    }

    fn add(&mut self, name: &'a str, attribute: &'a [u8]) -> Option<()> {
        const ATTRIBUTE_INT: u64 = 3;
        let mut others = 0;
        for part in each_field(attribute) {
            let part = part?;
            match part.number {
                ATTRIBUTE_INT | ATTRIBUTE_INTS => {
                    self.ints.entry(name).or_default().extend(numbers(&part)?);
                }
                ATTRIBUTE_FLOATS => others += part.bytes().map_or(1, |packed| packed.len() / 4),
                ATTRIBUTE_STRINGS => {
                    others += 1;
                    if name == "nodes_modes" {
                        self.leaves.push(part.bytes() == Some(b"LEAF"));
                    }
                }
                _ => {}
            }
        }
        self.others.insert(name, others);
        Some(())
    }

    fn ints(&self, name: &str) -> &[i64] {
        self.ints.get(name).map_or(&[], Vec::as_slice)
    }
}

pub(super) fn check(op: &str, node: &[u8]) -> Result<(), Error> {
    let lists = Lists::read(node).ok_or_else(|| wrong(op, "its attributes cannot be read"))?;
    let features = lists.ints("nodes_featureids");
    if features.iter().any(|feature| !(0..FEATURES_MAX).contains(feature)) {
        return Err(wrong(op, "a node asks for a feature that no table has"));
    }
    let outcome = if op == "TreeEnsemble" { check_flat(&lists) } else { check_named(&lists) };
    outcome.map_err(|reason| wrong(op, reason))
}

/// Nodes that are named by tree and number: the classifier and the regressor.
fn check_named(lists: &Lists<'_>) -> Result<(), &'static str> {
    let (trees, names) = (lists.ints("nodes_treeids"), lists.ints("nodes_nodeids"));
    let (yes, no) = (lists.ints("nodes_truenodeids"), lists.ints("nodes_falsenodeids"));
    let nodes = names.len();
    let sizes = [trees.len(), yes.len(), no.len(), lists.ints("nodes_featureids").len()];
    if nodes == 0 || sizes.iter().any(|size| *size != nodes) || lists.leaves.len() != nodes {
        return Err("its lists of nodes differ in length");
    }
    let mut places: Vec<((i64, i64), u32)> =
        trees.iter().copied().zip(names.iter().copied()).zip(0..).collect();
    places.sort_unstable();
    if places.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err("two nodes of a tree have the same number");
    }
    let find = |tree: i64, name: i64| {
        let at = places.binary_search_by_key(&(tree, name), |(key, _)| *key).ok()?;
        places.get(at).map(|(_, node)| *node)
    };
    let mut children = vec![[u32::MAX; 2]; nodes];
    for at in (0..nodes).filter(|at| !lists.leaves[*at]) {
        let pair = find(trees[at], yes[at]).zip(find(trees[at], no[at]));
        let (yes, no) = pair.ok_or("a branch leads to a node that is missing")?;
        children[at] = [yes, no];
    }
    check_depth(&children)?;
    check_leaves(lists, find)
}

/// What the leaves give: each entry belongs to a leaf, and to a class or target that there is.
fn check_leaves(
    lists: &Lists<'_>,
    find: impl Fn(i64, i64) -> Option<u32>,
) -> Result<(), &'static str> {
    let kind = if lists.ints.contains_key("class_ids") { "class" } else { "target" };
    let of = |part: &str| lists.ints(&format!("{kind}_{part}")).to_vec();
    let (ids, trees, nodes) = (of("ids"), of("treeids"), of("nodeids"));
    if trees.len() != ids.len() || nodes.len() != ids.len() {
        return Err("its lists of leaves differ in length");
    }
    let labels = lists.ints("classlabels_int64s").len()
        + lists.others.get("classlabels_strings").copied().unwrap_or(0);
    let most = match kind {
        "class" => labels.max(1) as i64,
        _ => lists.ints("n_targets").first().copied().unwrap_or(1),
    };
    if ids.iter().any(|id| !(0..most).contains(id)) {
        return Err("a leaf gives to a class or target past the last");
    }
    let is_leaf =
        |(tree, node): (&i64, &i64)| find(*tree, *node).is_some_and(|at| lists.leaves[at as usize]);
    if trees.iter().zip(&nodes).all(is_leaf) { Ok(()) } else { Err("a value belongs to no leaf") }
}

/// Nodes and leaves by position: `TreeEnsemble` of ai.onnx.ml 5.
fn check_flat(lists: &Lists<'_>) -> Result<(), &'static str> {
    let (yes, no) = (lists.ints("nodes_truenodeids"), lists.ints("nodes_falsenodeids"));
    let (yes_leaf, no_leaf) = (lists.ints("nodes_trueleafs"), lists.ints("nodes_falseleafs"));
    let nodes = yes.len();
    let sizes = [no.len(), yes_leaf.len(), no_leaf.len(), lists.ints("nodes_featureids").len()];
    if nodes == 0 || sizes.iter().any(|size| *size != nodes) {
        return Err("its lists of nodes differ in length");
    }
    let (roots, targets) = (lists.ints("tree_roots"), lists.ints("leaf_targetids"));
    let within = |at: i64, most: usize| (0..most as i64).contains(&at);
    let child = |at: i64, leaf: i64| match leaf {
        0 if within(at, nodes) => Ok(at as u32),
        1 if within(at, targets.len()) => Ok(u32::MAX),
        _ => Err("a branch leads to a node that is missing"),
    };
    let mut children = Vec::with_capacity(nodes);
    for at in 0..nodes {
        children.push([child(yes[at], yes_leaf[at])?, child(no[at], no_leaf[at])?]);
    }
    if roots.is_empty() || !roots.iter().all(|root| within(*root, nodes)) {
        return Err("a tree has no root");
    }
    let most = lists.ints("n_targets").first().copied().unwrap_or(1);
    if targets.iter().any(|target| !(0..most).contains(target)) {
        return Err("a leaf gives to a class or target past the last");
    }
    // A tree of one leaf is written as a node whose two ways lead to that leaf.
    check_depth(&children)
}

/// Takes nodes away once all above them are gone: what is left over stands in a loop.
fn check_depth(children: &[[u32; 2]]) -> Result<(), &'static str> {
    let mut above = vec![0_u32; children.len()];
    let real = |pair: &[u32; 2]| {
        pair.iter().copied().filter(|child| *child != u32::MAX).collect::<Vec<_>>()
    };
    for pair in children {
        for child in real(pair) {
            above[child as usize] += 1;
        }
    }
    let mut level: Vec<u32> =
        (0..).take(children.len()).filter(|at| above[*at as usize] == 0).collect();
    let (mut gone, mut depth) = (0, 0);
    while !level.is_empty() {
        gone += level.len();
        depth += 1;
        if depth > DEPTH_MAX {
            return Err("a tree is more than 1024 levels deep");
        }
        let mut below = Vec::new();
        for at in &level {
            for child in real(&children[*at as usize]) {
                above[child as usize] -= 1;
                if above[child as usize] == 0 {
                    below.push(child);
                }
            }
        }
        level = below;
    }
    if gone == children.len() { Ok(()) } else { Err("a tree leads back to one of its own nodes") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{write_bytes, write_number};

    fn attribute(node: &mut Vec<u8>, name: &str, write: impl Fn(&mut Vec<u8>)) {
        let mut message = Vec::new();
        write_bytes(&mut message, ATTRIBUTE_NAME, name.as_bytes());
        write(&mut message);
        write_bytes(node, NODE_ATTRIBUTE, &message);
    }

    /// One tree: node 0 asks, 1 and 2 are leaves; the lists as given.
    fn tree(yes: &[i64], modes: &[&str], targets: &[(i64, i64)]) -> Vec<u8> {
        let mut node = Vec::new();
        let mut ints = |name: &str, all: &[i64]| {
            attribute(&mut node, name, |into| {
                for each in all {
                    write_number(into, ATTRIBUTE_INTS, *each as u64);
                }
            });
        };
        let nodes: Vec<i64> = (0..modes.len() as i64).collect();
        ints("nodes_treeids", &vec![0; nodes.len()]);
        ints("nodes_nodeids", &nodes);
        ints("nodes_featureids", &vec![0; nodes.len()]);
        ints("nodes_truenodeids", yes);
        ints("nodes_falsenodeids", &[2, 0, 0]);
        ints("target_ids", &targets.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        ints("target_treeids", &vec![0; targets.len()]);
        ints("target_nodeids", &targets.iter().map(|(_, node)| *node).collect::<Vec<_>>());
        attribute(&mut node, "nodes_modes", |into| {
            for mode in modes {
                write_bytes(into, ATTRIBUTE_STRINGS, mode.as_bytes());
            }
        });
        node
    }

    #[test]
    fn trees_that_do_not_end_are_refused() {
        let sound = ["BRANCH_LEQ", "LEAF", "LEAF"];
        let leaves = [(0, 1), (0, 2)];
        assert_eq!(check("T", &tree(&[1, 0, 0], &sound, &leaves)), Ok(()));
        let refused = |node: Vec<u8>| check("T", &node).unwrap_err().to_string();
        assert!(refused(tree(&[0, 0, 0], &sound, &leaves)).contains("leads back"));
        assert!(refused(tree(&[7, 0, 0], &sound, &leaves)).contains("node that is missing"));
        assert!(refused(tree(&[1, 0], &sound, &leaves)).contains("differ in length"));
        assert!(refused(tree(&[1, 0, 0], &sound, &[(5, 1)])).contains("past the last"));
        assert!(refused(tree(&[1, 0, 0], &sound, &[(0, 0)])).contains("no leaf"));
        let around = ["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"];
        assert!(refused(tree(&[1, 0, 0], &around, &[(0, 2)])).contains("leads back"));
    }

    #[test]
    fn depth_has_a_limit() {
        let chain = |len: u32| {
            (1..=len).map(|next| [next, u32::MAX]).chain([[u32::MAX; 2]]).collect::<Vec<_>>()
        };
        assert_eq!(check_depth(&chain(1_000)), Ok(()));
        assert!(check_depth(&chain(1_024)).is_err());
    }
}
