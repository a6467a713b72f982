//! A tree of pieces by their characters: which pieces begin at a place of a text.
//!
//! A double array (Aoe 1989, "An efficient digital search algorithm by using a double-array
//! structure"): the children of a node lie at `base + code` in one array. No two nodes have the same
//! base, so a place needs to name only the code that it was reached by. Taking a step is one
//! addition and one look at eight bytes.

use crate::alphabet::{Code, NO_CODE};
use crate::vocabulary::TokenId;

/// A node of the tree, or a free place of the array: from the lowest bit 16 of the code that leads
/// here, 24 of the base, 24 of the piece that ends here.
#[derive(Clone, Copy)]
struct Node(u64);

const BASE: u64 = (1 << 24) - 1;
/// Bits of a piece, wherever it is packed with something else.
pub const PIECE_BITS: u32 = 20;
/// Ends no piece; pieces have lower numbers.
pub const NO_PIECE: TokenId = (1 << PIECE_BITS) - 1;
const ROOT: u32 = 0;
const FREE: Node = Node::new(NO_CODE, NO_CHILDREN, NO_PIECE);
/// The base of nodes without children.
const NO_CHILDREN: u32 = 1;

impl Node {
    const fn new(code: Code, base: u32, piece: TokenId) -> Node {
        Node(code as u64 | (base as u64 & BASE) << 16 | (piece as u64) << 40)
    }

    fn code(self) -> Code {
        self.0 as Code
    }

    fn base(self) -> u32 {
        (self.0 >> 16 & BASE) as u32
    }

    fn piece(self) -> TokenId {
        (self.0 >> 40) as TokenId
    }
}

/// The tree.
pub struct Trie {
    nodes: Vec<Node>,
}

impl Trie {
    /// Plants all pieces, given as the numbers of their characters; `None` if the array would need
    /// more places than a base can name.
    pub fn new(mut pieces: Vec<(Vec<Code>, TokenId)>) -> Option<Trie> {
        pieces.sort_unstable();
        let mut planting = Planting::new();
        let mut open = vec![(ROOT, NO_CODE, 0, &pieces[..])];
        while let Some((node, code, depth, below)) = open.pop() {
            // Sorted, a piece that ends here comes before those that go on.
            let ends_here = below.first().filter(|(codes, _)| codes.len() == depth);
            let piece = ends_here.map_or(NO_PIECE, |&(_, piece)| piece);
            let longer = &below[usize::from(ends_here.is_some())..];
            let children = longer.chunk_by(|a, b| a.0[depth] == b.0[depth]);
            let codes: Vec<Code> = children.clone().map(|child| child[0].0[depth]).collect();
            let base = planting.make_room(&codes);
            planting.nodes[node as usize] = Node::new(code, base, piece);
            let children = children.zip(&codes);
            open.extend(children.map(|(child, &code)| (place(base, code), code, depth + 1, child)));
        }
        (planting.nodes.len() <= BASE as usize - usize::from(NO_CODE))
            .then_some(Trie { nodes: planting.nodes })
    }

    /// Where every walk begins.
    pub fn root(&self) -> Branch {
        Branch(self.nodes[ROOT as usize])
    }

    /// One character further, if a piece goes on with it.
    #[inline]
    pub fn step(&self, Branch(from): Branch, code: Code) -> Option<Branch> {
        let found = *self.nodes.get(place(from.base(), code) as usize)?;
        (found.code() == code).then_some(Branch(found))
    }
}

/// Where the child of a code lies.
#[inline]
fn place(base: u32, code: Code) -> u32 {
    base.wrapping_add(u32::from(code)) & BASE as u32
}

/// A node on a walk.
#[derive(Clone, Copy)]
pub struct Branch(Node);

impl Branch {
    /// The piece that ends here, or [`NO_PIECE`].
    #[inline]
    pub fn piece(self) -> TokenId {
        self.0.piece()
    }
}

struct Planting {
    nodes: Vec<Node>,
    /// Which bases are taken, counted from the lowest that there may be.
    bases: Vec<bool>,
    /// Where room for one child and for several is looked for: what is before it is nearly full.
    search_from: [usize; 2],
}

/// After so many places without room the search begins later for good.
const PATIENCE: usize = 32;
/// Minus the lowest base: that of a first place and the highest code.
const BELOW_ZERO: usize = 1 << Code::BITS;

impl Planting {
    fn new() -> Planting {
        let mut bases = vec![false; BELOW_ZERO + 2];
        bases[BELOW_ZERO + NO_CHILDREN as usize] = true;
        Planting { nodes: vec![FREE], bases, search_from: [1; 2] }
    }

    /// Gives the children of a node their places; returns the base.
    fn make_room(&mut self, codes: &[Code]) -> u32 {
        let Some(&first) = codes.first() else {
            return NO_CHILDREN;
        };
        let kind = usize::from(codes.len() > 1);
        let from = self.search_from[kind];
        let base = |place: usize| place + BELOW_ZERO - usize::from(first);
        let has_room = |&place: &usize| {
            !self.bases.get(base(place)).is_some_and(|&is_taken| is_taken)
                && codes.iter().all(|&code| !self.is_taken(place + usize::from(code - first)))
        };
        let place = (from..).find(has_room).expect("there is room at the end");
        if place - from > PATIENCE {
            self.search_from[kind] = place;
        }
        self.bases.resize(self.bases.len().max(base(place) + 1), false);
        self.bases[base(place)] = true;
        codes.iter().for_each(|&code| self.take(place + usize::from(code - first), code));
        // May fall below zero; adding a code comes back above it.
        (place as u32).wrapping_sub(u32::from(first))
    }

    fn take(&mut self, place: usize, code: Code) {
        if place >= self.nodes.len() {
            self.nodes.resize(place + 1, FREE);
        }
        self.nodes[place] = Node::new(code, NO_CHILDREN, NO_PIECE);
    }

    fn is_taken(&self, place: usize) -> bool {
        self.nodes.get(place).is_some_and(|node| node.code() != NO_CODE)
    }
}
