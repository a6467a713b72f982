//! A run of characters to ids in time linear in its length, however long it is.
//!
//! From the left the longest piece that fits its left neighbour (`neighbours.rs`) is taken. Where no
//! piece fits, the last one is taken back and its next shorter beginning is tried. A place that was
//! given up once is never tried again: the pieces before a place are what encoding makes of the text
//! up to it, and that is one row of pieces, however the place was reached. So each place is gone on
//! from at most once. Which piece fits after which is remembered (`answers.rs`): asking takes most of
//! the time.

use crate::alphabet::Alphabet;
use crate::answers::{Answers, Question};
use crate::derivations::{Derivation, derivations};
use crate::merges::Merges;
use crate::neighbours::Neighbours;
use crate::normalizer::blank_form;
use crate::symbols::Symbols;
use crate::trie::{NO_PIECE, PIECE_BITS, Trie};
use crate::vocabulary::{PieceKind, TokenId, Vocabulary};

/// What is derived from a vocabulary and its merges.
pub struct Chains {
    alphabet: Alphabet,
    trie: Trie,
    neighbours: Neighbours,
    beginnings: Vec<Beginning>,
    of_byte: [TokenId; 256],
}

/// The longest piece that a piece begins with, and above it the bytes of the piece.
#[derive(Clone, Copy)]
struct Beginning(u32);

impl Beginning {
    /// `None` if the piece is too long to be told of here.
    fn new(shorter: TokenId, len: usize) -> Option<Beginning> {
        (len < 1 << (32 - PIECE_BITS)).then_some(Beginning(shorter | (len as u32) << PIECE_BITS))
    }

    #[inline]
    fn shorter(self) -> TokenId {
        self.0 & NO_PIECE
    }

    #[inline]
    fn len(self) -> usize {
        (self.0 >> PIECE_BITS) as usize
    }
}

/// A piece in a text, and where it ends.
#[derive(Clone, Copy)]
struct Placed {
    piece: TokenId,
    end: usize,
}

/// Memory that runs use one after the other.
#[derive(Default)]
pub struct ChainSpace {
    answers: Answers,
    given_up: Vec<u64>,
}

impl Chains {
    /// Derives it; `None` where merges are not of ordinary pieces alone, or there are more
    /// characters, pieces or merges than numbers.
    pub fn new(vocabulary: &Vocabulary, merges: &Merges) -> Option<Chains> {
        let is_normal = |id: TokenId| vocabulary.pieces()[id as usize].kind == PieceKind::Normal;
        let mut parts = merges.list().iter().flat_map(|m| [m.left, m.right, m.result]);
        if !parts.all(is_normal) || vocabulary.len() > NO_PIECE as usize {
            return None;
        }
        let symbols = Symbols::new(vocabulary);
        let alphabet = Alphabet::new(&symbols)?;
        let derivations = derivations(vocabulary, merges, &symbols);
        let trie = plant(vocabulary, &derivations, &alphabet)?;
        let beginnings = beginnings(vocabulary, &derivations, &alphabet, &trie)?;
        let neighbours = Neighbours::new(&derivations, merges)?;
        let of_byte = *vocabulary.byte_ids();
        Some(Chains { alphabet, trie, neighbours, beginnings, of_byte })
    }

    /// Appends the ids of the first `end` bytes of a text in blank form; three more must follow.
    pub fn encode(
        &self,
        text: &[u8],
        end: usize,
        merges: &Merges,
        space: &mut ChainSpace,
        ids: &mut Vec<TokenId>,
    ) {
        let mut at = 0;
        while at < end {
            let first = self.longest(text, at, end);
            if first.piece == NO_PIECE {
                // The character has no piece, and nothing joins its bytes.
                let len = self.alphabet.letter(text, at).len;
                let bytes = if text[at] == b' ' { "▁".as_bytes() } else { &text[at..at + len] };
                ids.extend(bytes.iter().map(|&byte| self.of_byte[usize::from(byte)]));
                at += len;
            } else {
                let run = Run { chains: self, text, merges, start: at, end, bottom: ids.len() };
                at = run.encode(first, space, ids);
            }
        }
    }

    /// The longest piece that begins at a place.
    #[inline(always)]
    fn longest(&self, text: &[u8], mut at: usize, end: usize) -> Placed {
        let (mut branch, mut longest) = (self.trie.root(), Placed { piece: NO_PIECE, end: at });
        while at < end {
            let letter = self.alphabet.letter(text, at);
            let Some(next) = self.trie.step(branch, letter.code) else {
                break;
            };
            branch = next;
            at += letter.len;
            if branch.piece() != NO_PIECE {
                longest = Placed { piece: branch.piece(), end: at };
            }
        }
        longest
    }
}

fn plant(
    vocabulary: &Vocabulary,
    derivations: &[Option<Derivation>],
    alphabet: &Alphabet,
) -> Option<Trie> {
    let reached = derivations.iter().zip(vocabulary.pieces()).zip(0..);
    let reached = reached.filter(|((made, _), _)| made.is_some());
    let pieces = reached.map(|((_, piece), id)| (alphabet.codes(&piece.text), id));
    Trie::new(pieces.collect())
}

fn beginnings(
    vocabulary: &Vocabulary,
    derivations: &[Option<Derivation>],
    alphabet: &Alphabet,
    trie: &Trie,
) -> Option<Vec<Beginning>> {
    let pieces = vocabulary.pieces().iter().zip(derivations);
    let beginnings = pieces.map(|(piece, made)| {
        if made.is_none() {
            return Beginning::new(NO_PIECE, 0);
        }
        let codes = alphabet.codes(&piece.text);
        let (mut branch, mut shorter) = (trie.root(), NO_PIECE);
        for &code in &codes[..codes.len() - 1] {
            branch = trie.step(branch, code).expect("the piece was planted");
            shorter = if branch.piece() == NO_PIECE { shorter } else { branch.piece() };
        }
        Beginning::new(shorter, blank_form(&piece.text).len())
    });
    beginnings.collect()
}

/// A run of characters on its way to ids.
struct Run<'a> {
    chains: &'a Chains,
    text: &'a [u8],
    merges: &'a Merges,
    start: usize,
    end: usize,
    /// The ids before this one are not of this run.
    bottom: usize,
}

impl Run<'_> {
    /// Encodes from `first`, the longest piece at the start, up to the end or to a character that
    /// has no piece; returns that place.
    fn encode(&self, first: Placed, space: &mut ChainSpace, ids: &mut Vec<TokenId>) -> usize {
        let (mut at, mut next) = (self.start, first);
        let mut has_given_up = false;
        loop {
            if ids.len() > self.bottom {
                next = self.fitting(at, ids[ids.len() - 1], next, &mut space.answers);
            }
            let is_open = |place: usize| !has_given_up || !space.is_given_up(place - self.start);
            if next.piece != NO_PIECE && is_open(next.end) {
                ids.push(next.piece);
                at = next.end;
                if at < self.end {
                    next = self.chains.longest(self.text, at, self.end);
                }
                if at == self.end || next.piece == NO_PIECE {
                    return at;
                }
                continue;
            }
            if next.piece != NO_PIECE {
                next = self.shorter(at, next.piece);
            }
            while next.piece == NO_PIECE {
                if !has_given_up {
                    has_given_up = true;
                    space.begin(self.end - self.start);
                }
                space.give_up(at - self.start);
                let last = ids.pop().expect("the text has ids");
                at -= self.chains.beginnings[last as usize].len();
                next = self.shorter(at, last);
            }
        }
    }

    /// The longest of a piece and those it begins with that fits its left neighbour.
    #[inline]
    fn fitting(&self, at: usize, left: TokenId, longest: Placed, answers: &mut Answers) -> Placed {
        let question = Question::new(left, longest.piece);
        match answers.recall(question) {
            Some(piece) if piece == longest.piece => longest,
            Some(piece) => self.placed(at, piece),
            None => {
                let mut next = longest;
                while next.piece != NO_PIECE && !self.fits(left, next.piece) {
                    next = self.shorter(at, next.piece);
                }
                answers.keep(question, next.piece);
                next
            }
        }
    }

    /// The longest piece that begins at `at` and is shorter than one that does.
    fn shorter(&self, at: usize, piece: TokenId) -> Placed {
        self.placed(at, self.chains.beginnings[piece as usize].shorter())
    }

    fn placed(&self, at: usize, piece: TokenId) -> Placed {
        let len = self.chains.beginnings.get(piece as usize).map_or(0, |beginning| beginning.len());
        Placed { piece, end: at + len }
    }

    fn fits(&self, left: TokenId, right: TokenId) -> bool {
        self.chains.neighbours.fit(left, right, self.merges)
    }
}

impl ChainSpace {
    fn begin(&mut self, len: usize) {
        self.given_up.clear();
        self.given_up.resize(len / 64 + 1, 0);
    }

    fn give_up(&mut self, place: usize) {
        self.given_up[place / 64] |= 1 << (place % 64);
    }

    fn is_given_up(&self, place: usize) -> bool {
        self.given_up[place / 64] >> (place % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::encode_piece;
    use crate::vocabulary::{Piece, byte_text};
    use std::path::Path;

    /// Numbers that look random (Marsaglia 2003, xorshift).
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as usize % limit
        }

        /// A text of few letters, one of which has no piece.
        fn text(&mut self, letters: usize, len: usize) -> String {
            (0..len).map(|_| ['a', 'b', '가', '나', '힣'][self.below(letters)]).collect()
        }

        fn vocabulary(&mut self) -> Vocabulary {
            let bytes =
                (0..=255).map(|b| Piece { text: byte_text(b).into(), kind: PieceKind::Byte });
            let mut texts: Vec<String> = ["a", "b", "가", "나"].map(str::to_owned).into();
            for _ in 0..self.below(24) {
                let len = 2 + self.below(6);
                let text = self.text(4, len);
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
            let pieces = bytes.chain(texts.iter().map(|text| Piece::normal(text)));
            Vocabulary::new(pieces.collect(), Path::new("-")).expect("sound")
        }

        /// Merges in any order, some left out; or scores, many equal.
        fn merges(&mut self, vocabulary: &Vocabulary) -> Merges {
            if self.below(2) == 0 {
                let scores = (0..vocabulary.len()).map(|_| self.below(12) as f32);
                return Merges::from_scores(vocabulary, &scores.collect::<Vec<_>>());
            }
            let pieces = vocabulary.pieces().iter();
            let mut pairs: Vec<_> = pieces.flat_map(|p| vocabulary.splits(&p.text)).collect();
            (1..pairs.len()).for_each(|at| pairs.swap(at, self.below(at + 1)));
            pairs.truncate(pairs.len() - self.below(3).min(pairs.len()));
            Merges::from_list(vocabulary, &pairs, Path::new("-")).expect("sound")
        }
    }

    #[test]
    fn any_merges_give_the_ids_of_the_merge_loop() {
        let mut random = Random(7);
        let mut out_of_order = 0;
        for _ in 0..3000 {
            let vocabulary = random.vocabulary();
            let merges = random.merges(&vocabulary);
            let symbols = Symbols::new(&vocabulary);
            let derived = derivations(&vocabulary, &merges, &symbols);
            out_of_order += usize::from(derived.iter().flatten().any(|made| !made.in_order));
            let chains = Chains::new(&vocabulary, &merges).expect("ordinary pieces");
            let mut space = ChainSpace::default();
            for _ in 0..8 {
                let (letters, len) = (2 + random.below(4), random.below(90));
                let text = random.text(letters, len);
                let padded = [text.as_bytes(), &[0; 4]].concat();
                let mut ids = Vec::new();
                chains.encode(&padded, text.len(), &merges, &mut space, &mut ids);
                assert_eq!(ids, encode_piece(&text, &symbols, &merges), "{text}");
            }
        }
        assert!(out_of_order > 100, "only {out_of_order} tables put joins out of order");
    }
}
