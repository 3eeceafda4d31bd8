//! What people do about a drift that is found.

use edgetuned::words::TaskId;

use super::super::world::{Content, World, class, image_id};
use super::people::{Actions, an_item, of_task};
use super::rest;

/// Where a drift stands when everything has come to rest: somebody labels what is new, and a training follows that is
/// good enough. That ends it.
pub fn answer(world: &mut World, actions: &mut Actions) {
    for task in world.tasks() {
        if world.model.of(&task).live.drift.is_some() {
            answer_of(world, actions, &task);
        }
    }
}

fn answer_of(world: &mut World, actions: &mut Actions, task: &TaskId) {
    let named = world.names_tasks().then(|| task.clone());
    let named = named.as_ref();
    for _ in 0..6 {
        let number = an_image_for(world, actions, task);
        let label = class(world.named_as(task, number));
        world.publish("label", an_item(&image_id(number).to_string(), Some(&label), named));
        actions.gave(world, named, number, Some(label));
    }
    world.hurry();
    rest(world, 1_000, 40);
    let payload = if world.names_tasks() { format!("{{{}}}", of_task(named)) } else { String::new() };
    world.publish("request/train", payload);
    rest(world, 1_000, 20);
    // A head in shadow has to see a few more.
    for _ in 0..6 {
        an_image_for(world, actions, task);
    }
    world.hurry();
    rest(world, 1_000, 60);
}

/// The next image that a task looks at comes, in a folder or from a camera; its number.
fn an_image_for(world: &mut World, actions: &mut Actions, task: &TaskId) -> u32 {
    if world.watches_only_sources(task) {
        let number = world.camera_shows(task);
        rest(world, 1_000, 2);
        return number;
    }
    let folder = if world.looks_into(task, 0) { "/in" } else { "/side" };
    loop {
        let number = actions.next_number();
        if world.sees(task, number) {
            world.create(format!("{folder}/after-{number}.jpg").into(), Content::Image(number), 1);
            return number;
        }
    }
}
