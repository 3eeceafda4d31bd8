//! `edgetuned regions`: what the tasks of a configuration look at.

use serde::Serialize;

use super::args::{Args, DrawRegions, Regions};
use super::configuration;
use super::embedding::read;
use super::failure::Failure;
use super::output::{Output, same, write_file};
use crate::config::{Config, Origin};
use crate::image::{Outline, outlined};
use crate::words::Region;

#[derive(Debug, Serialize)]
struct Done {
    out: String,
    width: u32,
    height: u32,
    regions: Vec<Drawn>,
}

#[derive(Debug, Serialize)]
struct Drawn {
    name: String,
    region: Region,
}

pub fn regions(args: &Args, command: &Regions, output: Output) -> Result<(), Failure> {
    match command {
        Regions::Draw(command) => draw(args, command, output),
    }
}

fn draw(args: &Args, command: &DrawRegions, output: Output) -> Result<(), Failure> {
    let DrawRegions { image, out, regions } = command;
    if out.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("png")) {
        return Err(Failure::usage(format!("cannot write {}: name the file .png", out.display())));
    }
    if same(out, image) {
        return Err(Failure::usage(format!("--out {} is the picture itself; give another file", out.display())));
    }
    let config = configuration::if_named(args)?;
    let mut outlines = config.as_ref().map(of_tasks).unwrap_or_default();
    let next = outlines.last().map_or(0, |last: &Outline| last.task + 1);
    outlines.extend(regions.iter().enumerate().map(|(place, region)| Outline {
        task: next + place,
        name: format!("--region {}", place + 1),
        region: region.clone(),
    }));
    if outlines.iter().all(|outline| outline.region.is_whole()) {
        return Err(Failure::failed(
            "there is no region to draw: every task looks at the whole picture; give a task of --config one \
             (tasks[].from[].region), or try one with --region 0,0.25,0.3,0.85",
        ));
    }
    let drawn = outlined(&read(image).map_err(Failure::failed)?, &outlines);
    write_file(out, &drawn.png().map_err(Failure::failed)?)?;
    let done = Done {
        out: out.display().to_string(),
        width: drawn.width(),
        height: drawn.height(),
        regions: outlines.into_iter().map(|Outline { name, region, .. }| Drawn { name, region }).collect(),
    };
    output.print(&done, |out| {
        writeln!(out, "picture    {} ({} x {})", done.out, done.width, done.height)?;
        done.regions.iter().try_for_each(|drawn| writeln!(out, "region     {}: {}", drawn.name, drawn.region))
    })
}

/// Every entry of `from` of every task, under the task's name and that of the source or watched folder.
fn of_tasks(config: &Config) -> Vec<Outline> {
    let of_task = |(task, named): (usize, &crate::config::Task)| {
        let outline = |view: &crate::config::View| Outline {
            task,
            name: match &view.of {
                Origin::Everything => named.id.to_string(),
                Origin::Watch(path) => format!("{} ({})", named.id, path.display()),
                Origin::Source(source) => format!("{} ({source})", named.id),
            },
            region: view.region.clone(),
        };
        named.from.iter().map(outline).collect::<Vec<_>>()
    };
    config.tasks.iter().enumerate().flat_map(of_task).collect()
}
