//! A tree of pieces by their characters: which pieces begin at a place of a text.
//!
//! A double array (Aoe 1989, "An efficient digital search algorithm by using a double-array
//! structure"): the children of a node lie at `base + code` in one array, and each place names the
//! node it belongs to. Taking a step is one addition and one look.

use crate::alphabet::Code;
use crate::vocabulary::TokenId;

/// A node of the tree, or a free place of the array.
#[derive(Clone, Copy)]
struct Node {
    parent: u32,
    base: u32,
    /// The piece that ends here, or [`NO_PIECE`].
    piece: TokenId,
}

/// Ends no piece.
pub const NO_PIECE: TokenId = TokenId::MAX;
const ROOT: u32 = 0;
const FREE: Node = Node { parent: u32::MAX, base: 0, piece: NO_PIECE };
/// The parent of the root; no node has this number.
const NOBODY: u32 = u32::MAX - 1;

/// The tree.
pub struct Trie {
    nodes: Vec<Node>,
}

impl Trie {
    /// Plants all pieces, given as the numbers of their characters.
    pub fn new(mut pieces: Vec<(Vec<Code>, TokenId)>) -> Trie {
        pieces.sort_unstable();
        let mut planting = Planting { nodes: vec![FREE; 1], first_free: 1, search_from: 1 };
        planting.nodes[ROOT as usize].parent = NOBODY;
        let mut open = vec![(ROOT, 0, &pieces[..])];
        while let Some((node, depth, below)) = open.pop() {
            // Sorted, a piece that ends here comes before those that go on.
            let ends_here = below.first().filter(|(codes, _)| codes.len() == depth);
            planting.nodes[node as usize].piece = ends_here.map_or(NO_PIECE, |&(_, piece)| piece);
            let longer = &below[usize::from(ends_here.is_some())..];
            let children = longer.chunk_by(|a, b| a.0[depth] == b.0[depth]);
            let codes: Vec<Code> = children.clone().map(|child| child[0].0[depth]).collect();
            let base = planting.make_room(node, &codes);
            let children = children.zip(&codes);
            open.extend(
                children
                    .map(|(child, &code)| (base.wrapping_add(u32::from(code)), depth + 1, child)),
            );
        }
        Trie { nodes: planting.nodes }
    }

    /// Where every walk begins.
    pub fn root(&self) -> Branch {
        Branch { node: ROOT, base: self.nodes[ROOT as usize].base, piece: NO_PIECE }
    }

    /// One character further, if a piece goes on with it.
    #[inline]
    pub fn step(&self, from: Branch, code: Code) -> Option<Branch> {
        let child = from.base.wrapping_add(u32::from(code));
        let found = self.nodes.get(child as usize)?;
        let branch = Branch { node: child, base: found.base, piece: found.piece };
        (found.parent == from.node).then_some(branch)
    }
}

/// A node on a walk, with what the next step needs.
#[derive(Clone, Copy)]
pub struct Branch {
    node: u32,
    base: u32,
    /// The piece that ends here, or [`NO_PIECE`].
    pub piece: TokenId,
}

struct Planting {
    nodes: Vec<Node>,
    /// No place before this one is free.
    first_free: usize,
    /// Where room for several children is looked for: what is before it is nearly full.
    search_from: usize,
}

/// After so many places without room the search begins later for good.
const PATIENCE: usize = 32;

impl Planting {
    /// Gives the children of a node their places; returns the base.
    fn make_room(&mut self, node: u32, codes: &[Code]) -> u32 {
        let Some(&first) = codes.first() else {
            return 0;
        };
        while self.is_taken(self.first_free) {
            self.first_free += 1;
        }
        let from = if codes.len() == 1 { self.first_free } else { self.search_from };
        let has_room = |place: &usize| {
            codes.iter().all(|&code| !self.is_taken(place + usize::from(code - first)))
        };
        let place = (from..).find(has_room).expect("there is room at the end");
        if place - from > PATIENCE {
            self.search_from = place;
        }
        for &code in codes {
            self.take(place + usize::from(code - first), node);
        }
        // May fall below zero; adding a code comes back above it.
        let base = (place as u32).wrapping_sub(u32::from(first));
        self.nodes[node as usize].base = base;
        base
    }

    fn take(&mut self, place: usize, parent: u32) {
        if place >= self.nodes.len() {
            self.nodes.resize(place + 1, FREE);
        }
        self.nodes[place].parent = parent;
    }

    fn is_taken(&self, place: usize) -> bool {
        self.nodes.get(place).is_some_and(|node| node.parent != FREE.parent)
    }
}
