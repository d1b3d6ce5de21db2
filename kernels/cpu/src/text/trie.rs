//! A trie over bytes, with the children of each node side by side.
//!
//! Nodes are numbered level by level, so that the children of a node lie behind those of the node
//! before it: where they begin says how many there are. A step costs one load of the node and a
//! search in a few neighbouring bytes.

use super::hash::NONE;
use alloc::vec;
use alloc::vec::Vec;

/// Finds the longest piece at a place in a text.
#[derive(Default)]
pub struct Trie {
    /// First child and token of each node, and one entry more.
    nodes: Vec<Node>,
    /// The byte that leads to each node.
    labels: Vec<u8>,
    /// Child of the root by the first two bytes, 0 where there is none.
    second: Vec<u32>,
    /// Child of the root by the first byte.
    first: Vec<u32>,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Node {
    first: u32,
    token: u32,
}

/// A node's pieces while the trie is built: a range of the sorted list.
#[derive(Clone, Copy)]
struct Range {
    start: u32,
    end: u32,
}

impl Trie {
    /// A trie of pieces with their tokens; of equal pieces the last counts.
    pub fn new<'a>(text: impl Fn(u32) -> &'a [u8], tokens: &[u32]) -> Trie {
        let mut order: Vec<(u64, u32)> = tokens.iter().map(|&t| (sort_key(text(t)), t)).collect();
        // Most are told apart by their first eight bytes, without looking at the texts.
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0)
                .then_with(|| text(a.1).cmp(text(b.1)))
                .then(a.1.cmp(&b.1))
        });
        let mut trie = Trie {
            nodes: Vec::with_capacity(order.len() * 3),
            ..Trie::default()
        };
        let mut level = vec![Range {
            start: 0,
            end: order.len() as u32,
        }];
        trie.labels.push(0);
        let mut depth = 0;
        let mut children = 1;
        while !level.is_empty() {
            let mut next = Vec::with_capacity(level.len());
            for Range { mut start, end } in level {
                let mut token = NONE;
                while start < end && text(order[start as usize].1).len() == depth {
                    token = order[start as usize].1;
                    start += 1;
                }
                trie.nodes.push(Node {
                    first: children,
                    token,
                });
                while start < end {
                    let byte = text(order[start as usize].1)[depth];
                    let begin = start;
                    while start < end && text(order[start as usize].1)[depth] == byte {
                        start += 1;
                    }
                    trie.labels.push(byte);
                    next.push(Range {
                        start: begin,
                        end: start,
                    });
                    children += 1;
                }
            }
            level = next;
            depth += 1;
        }
        trie.nodes.push(Node {
            first: children,
            token: NONE,
        });
        trie.index();
        trie
    }

    /// Fills in the tables of the first two bytes.
    fn index(&mut self) {
        self.first = vec![0; 256];
        self.second = vec![0; 1 << 16];
        for child in self.children(0) {
            let byte = self.labels[child as usize];
            self.first[byte as usize] = child;
            for grandchild in self.children(child) {
                let place = (byte as usize) << 8 | self.labels[grandchild as usize] as usize;
                self.second[place] = grandchild;
            }
        }
    }

    fn children(&self, node: u32) -> core::ops::Range<u32> {
        self.nodes[node as usize].first..self.nodes[node as usize + 1].first
    }

    #[inline(always)]
    fn child(&self, node: u32, byte: u8) -> u32 {
        unsafe {
            let mut at = self.nodes.get_unchecked(node as usize).first as usize;
            let end = self.nodes.get_unchecked(node as usize + 1).first as usize;
            while at < end {
                if *self.labels.get_unchecked(at) == byte {
                    return at as u32;
                }
                at += 1;
            }
        }
        0
    }

    /// Whether it has no piece.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() <= 2
    }

    /// Follows one byte from a node; node 0 is the root, and 0 as a result means "no such edge".
    #[inline]
    pub fn step(&self, node: u32, byte: u8) -> u32 {
        if node == 0 {
            self.first.get(byte as usize).copied().unwrap_or(0)
        } else {
            self.child(node, byte)
        }
    }

    /// The token that ends at a node, or [`NONE`].
    #[inline]
    pub fn token_at(&self, node: u32) -> u32 {
        self.nodes[node as usize].token
    }

    /// Takes out the tokens that are not wanted, and hands each other one together with the longest
    /// one that is a proper prefix of it to `link`.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool, mut link: impl FnMut(u32, u32)) {
        let mut nearest = vec![NONE; self.nodes.len()];
        for node in 0..self.nodes.len() - 1 {
            let token = self.nodes[node].token;
            let mut inherited = nearest[node];
            if token != NONE && keep(token) {
                link(token, inherited);
                inherited = token;
            } else {
                self.nodes[node].token = NONE;
            }
            for child in self.children(node as u32) {
                nearest[child as usize] = inherited;
            }
        }
    }

    /// The token of the longest piece that begins at `at`, or [`NONE`].
    #[inline]
    pub fn longest(&self, text: &[u8], at: usize) -> u32 {
        unsafe {
            let head = *text.get_unchecked(at) as usize;
            let mut best = self
                .nodes
                .get_unchecked(*self.first.get_unchecked(head) as usize)
                .token;
            if at + 1 >= text.len() {
                return best;
            }
            let pair = head << 8 | *text.get_unchecked(at + 1) as usize;
            let mut node = *self.second.get_unchecked(pair);
            let mut next = at + 2;
            while node != 0 {
                let token = self.nodes.get_unchecked(node as usize).token;
                if token != NONE {
                    best = token;
                }
                if next >= text.len() {
                    break;
                }
                node = self.child(node, *text.get_unchecked(next));
                next += 1;
            }
            best
        }
    }

    /// The longest piece that begins at `at`: its token and length. `open` is set when the text ends
    /// before it is certain that no longer piece begins here.
    pub fn longest_open(&self, text: &[u8], at: usize, open: &mut bool) -> Option<(u32, usize)> {
        let mut node = 0;
        let mut best = None;
        for (i, &byte) in text[at..].iter().enumerate() {
            node = self.step(node, byte);
            if node == 0 {
                return best;
            }
            let token = self.token_at(node);
            if token != NONE {
                best = Some((token, i + 1));
            }
        }
        *open |= !self.children(node).is_empty();
        best
    }
}

/// The first eight bytes as a number that sorts like them.
fn sort_key(text: &[u8]) -> u64 {
    let mut head = [0u8; 8];
    let len = text.len().min(8);
    head[..len].copy_from_slice(&text[..len]);
    u64::from_be_bytes(head)
}
