//! What each task looks at: parts of pictures, and the embedding spaces of these.

use crate::config::{Config, Task};
use crate::store::SpacesInUse;
use crate::words::{Digest, EmbeddingSpace, Region};

/// The parts of pictures that a task looks at, each once; how the configuration lists them does not matter.
#[must_use]
pub fn regions(task: &Task) -> Vec<Region> {
    let mut regions: Vec<Region> = task.from.iter().map(|view| view.region.clone()).collect();
    regions.sort();
    regions.dedup();
    regions
}

/// The space that the heads of a task with these `regions` read, where embeddings of whole pictures are of `whole`: that
/// of its one region, and of several the digest over all, in the order of [`regions`]. A head learned from the one set of
/// regions is not asked about another.
#[must_use]
pub fn space(regions: &[Region], whole: EmbeddingSpace) -> EmbeddingSpace {
    if let [only] = regions {
        return whole.within(only);
    }
    let within = |region: &Region| region.within(whole.preprocessing).0;
    let all: Vec<u8> = regions.iter().flat_map(within).chain(*b"regions").collect();
    EmbeddingSpace { preprocessing: Digest::of(&all), ..whole }
}

/// What the tasks of a configuration look through, where embeddings of whole pictures are of `whole`.
#[must_use]
pub fn spaces_in_use(config: &Config, whole: EmbeddingSpace) -> SpacesInUse {
    config.all_tasks().iter().fold(SpacesInUse::default(), |in_use, task| {
        let of_region = |region: Region| {
            let space = whole.within(&region);
            (region, space)
        };
        in_use.with(task.id.clone(), regions(task).into_iter().map(of_region).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Layer, Source};
    use crate::words::TaskId;

    fn whole() -> EmbeddingSpace {
        EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 4 }
    }

    fn config(tasks: &str) -> Config {
        let text = format!("watch: [{{ path: /srv/a }}, {{ path: /srv/b }}]\n{tasks}");
        let layer = Layer { name: "config.yaml".into(), source: Source::Yaml(text) };
        config::load(&[layer], "host").unwrap().config
    }

    #[test]
    fn who_looks_at_whole_pictures_has_the_backbones_space() {
        for tasks in
            ["", "tasks: [{ id: door }]", "tasks: [{ id: door, from: [{ watch: /srv/a }, { watch: /srv/b }] }]"]
        {
            let task = &config(tasks).all_tasks()[0];
            assert_eq!(regions(task), [Region::WHOLE]);
            assert_eq!(space(&regions(task), whole()), whole());
        }
        let in_use = spaces_in_use(&config(""), whole());
        assert_eq!(in_use, SpacesInUse::whole(whole()));
    }

    #[test]
    fn several_regions_make_a_space_of_their_own_whatever_their_order() {
        let (left, right) = ("[0, 0, 0.5, 1]", "[0.5, 0, 1, 1]");
        let task = |a: &str, b: &str| {
            format!(
                "tasks: [{{ id: door, from: [{{ watch: /srv/a, region: {a} }}, {{ watch: /srv/b, region: {b} }}] }}]"
            )
        };
        let of = |text: &str| space(&regions(&config(text).all_tasks()[0]), whole());
        let one = of(&task(left, left));
        assert_eq!(one, whole().within(&left.parse().unwrap()));
        let both = of(&task(left, right));
        assert_eq!(both, of(&task(right, left)));
        let moved = of(&task(left, "[0.6, 0, 1, 1]"));
        for (a, b) in [(one, both), (both, moved), (both, whole()), (one, whole())] {
            assert_ne!(a, b);
            assert_eq!((a.backbone, a.dim), (whole().backbone, 4));
        }
        let door: TaskId = "door".parse().unwrap();
        assert_eq!(spaces_in_use(&config(&task(left, right)), whole()).of(&door).len(), 2);
    }
}
