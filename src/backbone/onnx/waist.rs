//! Where a network can be cut: the tensors through which everything passes on its way from the picture to the embedding.

use std::collections::BTreeSet;

use super::flow::Flow;
use super::graph::{Graph, Node};

/// A tensor that everything before it passes through.
#[derive(Debug)]
pub struct Waist<'g> {
    /// Its name.
    pub tensor: &'g str,
    /// The nodes between it and the waist behind it, the last of the file first.
    pub nodes: Vec<usize>,
}

/// Why a way back ends: a node that comes before what it reads, or runs graphs of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// Its position in the file.
    pub node: usize,
}

impl<'g> Flow<'g> {
    /// The waists from `end` back to an input of the network, `end` first. Each step goes to an earlier node.
    pub fn waists(&self, graph: &'g Graph, end: &'g str) -> Result<Vec<Waist<'g>>, Broken> {
        let (mut found, mut nodes) = (Vec::new(), BTreeSet::new());
        let mut open = BTreeSet::from([(self.place(end), end)]);
        while let Some((place, tensor)) = open.pop_last() {
            if open.is_empty() {
                let nodes = std::mem::take(&mut nodes).into_iter().rev().collect();
                found.push(Waist { tensor, nodes });
            }
            let Some(place) = place else { break };
            nodes.insert(place);
            open.extend(self.sources(&graph.nodes[place], place)?);
        }
        Ok(found)
    }

    /// The nodes between `start` and `end`, in the order of the file; `None` where something comes in beside `start`.
    pub fn between(&self, graph: &'g Graph, start: &str, end: &'g str) -> Result<Option<BTreeSet<usize>>, Broken> {
        let mut inside = BTreeSet::new();
        let mut open = BTreeSet::from([(self.place(end), end)]);
        while let Some((place, tensor)) = open.pop_last() {
            if tensor == start {
                continue;
            }
            let Some(place) = place else { return Ok(None) };
            if inside.insert(place) {
                open.extend(self.sources(&graph.nodes[place], place)?);
            }
        }
        Ok(Some(inside))
    }

    /// What `node` reads of the picture, with the positions of what makes it.
    fn sources(&self, node: &'g Node, at: usize) -> Result<Vec<(Option<usize>, &'g str)>, Broken> {
        let sources: Vec<_> = (node.inputs.iter().filter(|name| !self.is_constant(name)))
            .map(|name| (self.place(name), name.as_str()))
            .collect();
        let later = sources.iter().any(|(place, _)| place.is_some_and(|place| place >= at));
        if later || node.has_subgraph { Err(Broken { node: at }) } else { Ok(sources) }
    }
}
