//! The answers of all heads, and figures of any part of them.

use std::collections::BTreeMap;

use super::super::figures::{Answers, Draws, Estimate, average, difference};

/// A way to make a head from embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    Ours,
    CrossValidated,
    Plain,
    Coral,
    Neighbours,
    NearestMean,
}

impl Method {
    pub const PEERS: [Self; 5] = [Self::CrossValidated, Self::Plain, Self::Coral, Self::Neighbours, Self::NearestMean];

    /// As `peer.py` calls it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::CrossValidated => "cv",
            Self::Plain => "lr",
            Self::Coral => "coral",
            Self::Neighbours => "knn",
            Self::NearestMean => "mean",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "edgetuned",
            Self::CrossValidated => "LogisticRegressionCV",
            Self::Plain => "LogisticRegression",
            Self::Coral => "pycoral's recipe",
            Self::Neighbours => "5 nearest neighbours",
            Self::NearestMean => "nearest class mean",
        }
    }

    /// Whether it says how sure it is.
    pub fn has_probabilities(self) -> bool {
        self != Self::NearestMean
    }
}

/// What is measured of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    Accuracy,
    Loss,
}

/// The answers by backbone, method, shots and test; by draw in each.
pub struct Results {
    pub backbones: Vec<String>,
    cells: BTreeMap<(usize, Method, usize, usize), Vec<Answers>>,
}

impl Results {
    pub fn new(backbones: Vec<String>) -> Self {
        Self { backbones, cells: BTreeMap::new() }
    }

    pub fn insert(&mut self, backbone: usize, method: Method, shots: usize, test: usize, answers: Vec<Answers>) {
        self.cells.insert((backbone, method, shots, test), answers);
    }

    /// Pictures in a test.
    pub fn pictures(&self, test: usize) -> usize {
        self.cells.iter().find(|(key, _)| key.3 == test).map_or(0, |(_, answers)| answers[0].right.len())
    }

    /// The mean over `backbones` and `tests`; `None` where `method` did not run.
    pub fn estimate(&self, backbones: &[usize], method: Method, shots: usize, part: Part<'_>) -> Option<Estimate> {
        let of_test = |test: &usize| Some(average(&self.draws(backbones, method, shots, *test, part.quantity)?));
        Some(Estimate::over(&part.tests.iter().map(of_test).collect::<Option<Vec<_>>>()?))
    }

    /// The same of ours minus `peer`'s on the same draws and pictures.
    pub fn difference(&self, backbones: &[usize], peer: Method, shots: usize, part: Part<'_>) -> Option<Estimate> {
        let of_test = |test: &usize| {
            let of = |method| self.draws(backbones, method, shots, *test, part.quantity);
            let pairs = of(Method::Ours)?.into_iter().zip(of(peer)?);
            Some(average(&pairs.map(|(ours, peer)| difference(&ours, &peer)).collect::<Vec<_>>()))
        };
        Some(Estimate::over(&part.tests.iter().map(of_test).collect::<Option<Vec<_>>>()?))
    }

    /// All answers of `method`, each with a number of its picture; empty where it did not run.
    pub fn judged(&self, method: Method, shots: &[usize], tests: &[usize]) -> Judged {
        let mut judged = Judged::default();
        for ((_, by, learned, test), draws) in &self.cells {
            if *by == method && shots.contains(learned) && tests.contains(test) {
                let first: usize = (0..*test).map(|test| self.pictures(test)).sum();
                for answers in draws {
                    judged.pictures.extend(first..first + answers.right.len());
                    judged.answers.extend(answers.judged());
                }
            }
        }
        judged
    }

    /// One table a backbone; `None` where `method` did not run or has no such quantity.
    fn draws(
        &self,
        backbones: &[usize],
        method: Method,
        shots: usize,
        test: usize,
        quantity: Quantity,
    ) -> Option<Vec<Draws>> {
        if quantity == Quantity::Loss && !method.has_probabilities() {
            return None;
        }
        let of = |backbone: &usize| {
            let answers = self.cells.get(&(*backbone, method, shots, test))?.iter();
            Some(match quantity {
                Quantity::Accuracy => answers.map(|answers| answers.right.clone()).collect(),
                Quantity::Loss => answers.map(|answers| answers.loss.clone()).collect(),
            })
        };
        backbones.iter().map(of).collect()
    }
}

/// Answers of many heads.
#[derive(Debug, Default)]
pub struct Judged {
    /// Confidence, and whether the answer was right.
    pub answers: Vec<(f64, bool)>,
    /// The picture that each answer is about.
    pub pictures: Vec<usize>,
}

/// Tests, and what is measured on them.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub tests: &'a [usize],
    pub quantity: Quantity,
}
