//! Which tasks look at the pictures of a watched folder, and at which part of them: settled once, at the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Config, Task};
use crate::words::{EmbeddingSpace, Region, SourceId, TaskId};

/// What a task sees of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedView {
    pub task: TaskId,
    /// The part that it looks at.
    pub region: Region,
    /// The embeddings of this part.
    pub space: EmbeddingSpace,
}

/// The views of each watched folder's pictures.
#[derive(Debug, Clone, Default)]
pub(super) struct ViewPlan {
    roots: Arc<[Vec<PlannedView>]>,
    sources: Arc<BTreeMap<SourceId, Vec<PlannedView>>>,
}

impl ViewPlan {
    /// Of a configuration, where embeddings of whole pictures are of the space `whole`.
    pub fn new(config: &Config, whole: EmbeddingSpace) -> Self {
        let tasks = config.all_tasks();
        let views = |region: &dyn Fn(&Task) -> Option<Region>| -> Vec<PlannedView> {
            let view = |task: &Task| {
                let region = region(task)?;
                let space = whole.within(&region);
                Some(PlannedView { task: task.id.clone(), region, space })
            };
            tasks.iter().filter_map(view).collect()
        };
        let roots = config.watch.iter().map(|watch| views(&|task| task.region_of_watch(&watch.path).cloned()));
        let of_source = |source: &SourceId| views(&|task| task.region_of_source(source).cloned());
        let sources = config.sources.iter().map(|source| (source.id.clone(), of_source(&source.id)));
        Self { roots: roots.collect(), sources: Arc::new(sources.collect()) }
    }

    /// The views of a watched folder's pictures, in the order of the tasks; none where nobody looks at them.
    pub fn of_root(&self, root: usize) -> &[PlannedView] {
        self.roots.get(root).map_or(&[], Vec::as_slice)
    }

    /// The views of a source's frames, in the order of the tasks; none where nobody looks at them.
    pub fn of_source(&self, source: &SourceId) -> &[PlannedView] {
        self.sources.get(source).map_or(&[], Vec::as_slice)
    }

    /// The space in which bursts are found in a watched folder: that of whole pictures where a task looks at them, or
    /// else the first task's.
    pub fn grouping(&self, root: usize) -> Option<EmbeddingSpace> {
        let views = self.of_root(root);
        views.iter().find(|view| view.region.is_whole()).or(views.first()).map(|view| view.space)
    }

    /// The number of watched folders.
    pub fn roots(&self) -> usize {
        self.roots.len()
    }
}

/// The parts of a picture that `views` need, each once, with their spaces.
pub(super) fn parts(views: &[PlannedView]) -> Vec<(&Region, EmbeddingSpace)> {
    let mut parts: Vec<(&Region, EmbeddingSpace)> = Vec::new();
    for view in views {
        if !parts.iter().any(|(_, space)| *space == view.space) {
            parts.push((&view.region, view.space));
        }
    }
    parts
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{self, Layer, Source};
    use crate::words::Digest;

    /// The plan of these lines of a configuration.
    pub(in crate::daemon) fn plan(text: &str, whole: EmbeddingSpace) -> ViewPlan {
        let layer = Layer { name: "config.yaml".into(), source: Source::Yaml(text.into()) };
        ViewPlan::new(&config::load(&[layer], "host").unwrap().config, whole)
    }

    #[test]
    fn each_folder_has_the_tasks_that_look_at_it_with_their_regions() {
        let whole = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 4 };
        let watch = "watch: [{ path: /srv/a }, { path: /srv/b }, { path: /srv/c }]";
        let plan = plan(
            &format!(
                "{watch}\ntasks:\n  - {{ id: door, from: [{{ watch: /srv/a, region: [0, 0, 0.5, 1] }}, {{ watch: /srv/b }}] }}\n  \
                 - {{ id: bin, from: [{{ watch: /srv/a }}] }}\n  - {{ id: van, from: [{{ watch: /srv/a, region: [0, 0, 0.5, 1] }}] }}\n"
            ),
            whole,
        );
        let seen = |root| -> Vec<&str> { plan.of_root(root).iter().map(|view| view.task.as_str()).collect() };
        assert_eq!((seen(0), seen(1), seen(2), seen(9)), (vec!["door", "bin", "van"], vec!["door"], vec![], vec![]));
        assert_eq!(parts(plan.of_root(0)).len(), 2, "two tasks share a region");
        assert_eq!(plan.grouping(0), Some(whole), "bin looks at whole pictures");
        assert_eq!((plan.grouping(1), plan.grouping(2), plan.roots()), (Some(whole), None, 3));
    }

    #[test]
    fn without_tasks_every_folder_is_looked_at_whole() {
        let whole = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 4 };
        let plan = plan("watch: [{ path: /srv/a }]", whole);
        let view = PlannedView { task: TaskId::default(), region: Region::WHOLE, space: whole };
        assert_eq!(plan.of_root(0), [view]);
    }
}
