async () => {
    const place = edgetuned.open;
    const frame = () => new Promise(requestAnimationFrame);
    const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
    const time = (act) => {
        const began = performance.now();
        act();
        place.grid.element.offsetHeight;
        return performance.now() - began;
    };
    // What comes in meanwhile would be read and drawn in the middle of it.
    place.desk.soon = () => {};
    const first = time(() => place.loaded(() => []));
    await pause(500);
    const scroll = place.grid.element;
    const nodes = scroll.querySelectorAll("*").length;
    const frames = [];
    let last = await frame();
    for (let step = 1; step <= 200; step += 1) {
        scroll.scrollTop = (scroll.scrollHeight * step) / 200;
        const now = await frame();
        frames.push(now - last);
        last = now;
    }
    await pause(500);
    const all = time(() => place.all());
    if (place.selection.size < 10000) throw new Error(`only ${place.selection.size} are selected`);
    place.clear();
    const filter = time(() => place.choose({ ...place.filter, predicted: "nut", sort: "doubt" }));
    if (!(place.shown > 0 && place.shown < 10000)) throw new Error(`the filter leaves ${place.shown}`);
    const stacks = time(() => place.choose({ ...place.filter, predicted: null, stacks: true }));
    place.choose({ ...place.filter, stacks: false });
    return { first, nodes, frames, all, filter, stacks };
}
